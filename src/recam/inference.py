"""Maps of whole images: several scales, each with its mirror image, in batches of equal size."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from recam.files import image_size, read_image

Maps = Callable[[Tensor], Tensor]  # normalised images (B, 3, H, W) -> maps (B, K, h, w)


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualSizeBatch:
    """Some images of one size, with their positions in the list they come from."""

    positions: tuple[int, ...]
    pixels: Float[Tensor, "B 3 H W"]  # in [0, 1]


def equal_size_batches(paths: list[Path], *, batch_size: int) -> Iterator[EqualSizeBatch]:
    """All images, grouped by size, so that nothing is padded and nothing runs alone needlessly."""
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for position, path in enumerate(paths):
        by_size[image_size(path)].append(position)
    for positions in by_size.values():
        for start in range(0, len(positions), batch_size):
            chosen = tuple(positions[start : start + batch_size])
            images = np.stack([read_image(paths[p]) for p in chosen])
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
            yield EqualSizeBatch(positions=chosen, pixels=pixels)


def normalise(
    pixels: Float[Tensor, "B 3 H W"],
    *,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Float[Tensor, "B 3 H W"]:
    """What a backbone expects of pixels in [0, 1]: channels last in memory."""
    centre, spread = (pixels.new_tensor(v)[:, None, None] for v in (mean, std))
    return ((pixels - centre) / spread).contiguous(memory_format=torch.channels_last)


def averaged_maps(
    maps: Maps, images: Float[Tensor, "B 3 H W"], *, scales: tuple[float, ...]
) -> Float[Tensor, "B K H W"]:
    """The mean over scales and mirror images, at the size of the images."""
    size = images.shape[2:]
    total: Tensor | None = None
    for scale in scales:
        scaled = _rescaled(images, scale)
        # Both views in one batch: the mirror image's maps are mirrored back and added.
        plain, mirrored = maps(torch.cat([scaled, scaled.flip(3)])).chunk(2)
        both = functional.interpolate(plain + mirrored.flip(3), size=size, mode="bilinear")
        total = both if total is None else total + both
    if total is None:
        raise ValueError("at least one scale is needed")
    return total / (2 * len(scales))


def maps_of_images(
    maps: Maps,
    paths: list[Path],
    *,
    scales: tuple[float, ...],
    batch_size: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    device: torch.device,
) -> Iterator[tuple[int, Float[Tensor, "K H W"]]]:
    """The averaged maps of every image with its position in ``paths``, one after the other."""
    for batch in equal_size_batches(paths, batch_size=batch_size):
        with torch.inference_mode():
            images = normalise(batch.pixels.to(device), mean=mean, std=std)
            averaged = averaged_maps(maps, images, scales=scales)
        yield from zip(batch.positions, averaged, strict=True)


def _rescaled(images: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return images
    size = [max(1, round(length * scale)) for length in images.shape[2:]]
    resized = functional.interpolate(images, size=size, mode="bicubic", antialias=True)
    return resized.contiguous(memory_format=torch.channels_last)
