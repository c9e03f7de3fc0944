"""Maps of whole images: several scales, each with its mirror image, in batches of equal size."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from recam.core.errors import UserError
from recam.io.images import image_size, read_image, resized
from recam.runtime.precision import autocast
from recam.runtime.threads import read_ahead

Maps = Callable[[Tensor], Tensor]  # normalised images (B, 3, H, W) -> maps (B, K, h, w)


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualSizeBatch:
    """Some images of one size, with their positions in the list they come from."""

    positions: tuple[int, ...]
    pixels: Float[Tensor, "B 3 H W"]  # in [0, 1]
    stored: tuple[tuple[int, int], ...]  # height and width in the files: larger where shrunk


def equal_size_batches(
    paths: list[Path],
    *,
    batch_size: int,
    longest_side: int | None = None,
    faults: list[UserError] | None = None,
) -> Iterator[EqualSizeBatch]:
    """All images, grouped by size, so that nothing is padded and nothing runs alone needlessly.

    Images longer than ``longest_side`` are shrunk to it, one by one while they are read. The next
    batch is read while the caller works on one. What is wrong with a broken image is raised where
    its batch would have come, or there added to ``faults`` where that is given.
    """
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    stored: dict[int, tuple[int, int]] = {}
    for position, path in enumerate(paths):
        with _noting(faults):
            stored[position] = image_size(path)
            by_size[shrunk_size(stored[position], longest_side)].append(position)

    batches = (
        ({position: paths[position] for position in positions[start : start + batch_size]}, size)
        for size, positions in by_size.items()
        for start in range(0, len(positions), batch_size)
    )
    for batch, broken in read_ahead(lambda args: _read(*args, stored=stored), batches):
        for error in broken:
            with _noting(faults):
                raise error
        if batch:
            yield batch


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
    normalise: Callable[[Tensor], Tensor],
    device: torch.device,
    precision: torch.dtype = torch.float32,
) -> Iterator[tuple[int, Float[Tensor, "K H W"]]]:
    """The averaged maps of every image with its position in ``paths``, one after the other.

    ``normalise`` maps pixels in [0, 1] to the input of the network: ``Backbone.normalise``.
    """
    for batch in equal_size_batches(paths, batch_size=batch_size):
        with torch.inference_mode():
            images = normalise(batch.pixels.to(device))
            with autocast(precision, device):
                averaged = averaged_maps(maps, images, scales=scales)
        yield from zip(batch.positions, averaged, strict=True)


def shrunk_size(size: tuple[int, int], longest_side: int | None) -> tuple[int, int]:
    """Height and width, reduced alike so that neither is above ``longest_side`` (nor below 1)."""
    longest = max(size)
    if longest_side is None or longest <= longest_side:
        return size
    height, width = (max(1, round(length * longest_side / longest)) for length in size)
    return height, width


def _read(
    paths: dict[int, Path], size: tuple[int, int], *, stored: dict[int, tuple[int, int]]
) -> tuple[EqualSizeBatch | None, list[UserError]]:
    """A batch of those images that can be read, by position, and what is wrong with the others."""
    images: dict[int, Tensor] = {}
    broken: list[UserError] = []
    for position, path in paths.items():
        with _noting(broken):
            image = read_image(path, at_least=size)
            images[position] = _shrunk(image, size, stored=stored[position])
    if not images:
        return None, broken
    batch = EqualSizeBatch(
        positions=tuple(images),
        pixels=torch.stack(list(images.values())).float() / 255,
        stored=tuple(stored[position] for position in images),
    )
    return batch, broken


def _shrunk(
    image: UInt8[np.ndarray, "H W 3"], size: tuple[int, int], *, stored: tuple[int, int]
) -> UInt8[Tensor, "3 h w"]:
    if image.shape[:2] != stored:  # a JPEG that was decoded smaller
        image = resized(image, size, stored=stored).copy()
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    if tuple(pixels.shape[1:]) == size:
        return pixels
    return functional.interpolate(pixels[None], size=size, mode="bicubic", antialias=True)[0]


def _rescaled(images: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return images
    size = [max(1, round(length * scale)) for length in images.shape[2:]]
    scaled = functional.interpolate(images, size=size, mode="bicubic", antialias=True)
    return scaled.contiguous(memory_format=torch.channels_last)


@contextmanager
def _noting(faults: list[UserError] | None) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        if faults is None:
            raise
        faults.append(error)
