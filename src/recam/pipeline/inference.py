"""Maps of whole images, averaged over scales and mirror images, in batches of equal size."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from recam.core.errors import UserError
from recam.io.images import image_size, read_image, resized
from recam.io.resumable import ResumableFolder
from recam.methods.variant import Readout, both_views
from recam.runtime.distributed import batches_left
from recam.runtime.precision import autocast
from recam.runtime.threads import read_ahead

Maps = Callable[[Tensor], Tensor]  # normalised images (B, 3, H, W) -> maps (B, K, h, w)
Source = Path | UInt8[np.ndarray, "H W 3"]  # of an image: its file, or its upright pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualSizeBatch:
    """Images of one size, with their positions in the list of images."""

    positions: tuple[int, ...]
    pixels: Float[Tensor, "B 3 H W"]  # in [0, 1]
    stored: tuple[tuple[int, int], ...]  # height and width in the files


def equal_size_batches(
    images: Sequence[Source],
    *,
    batch_size: int,
    longest_side: int | None = None,
    errors: list[UserError] | None = None,
) -> Iterator[EqualSizeBatch]:
    """Yield all images in batches of one size, so that no image is padded.

    Images longer than ``longest_side`` pixels are shrunk to it while they are read. The next batch
    is prefetched. The UserError of an unreadable image is raised in place of its batch, or appended
    to ``errors`` if that is given.
    """
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    stored: dict[int, tuple[int, int]] = {}
    for position, source in enumerate(images):
        with _collecting(errors):
            stored[position] = _stored_size(source)
            by_size[shrunk_size(stored[position], longest_side)].append(position)

    batches = (
        ({position: images[position] for position in positions[start : start + batch_size]}, size)
        for size, positions in by_size.items()
        for start in range(0, len(positions), batch_size)
    )
    for batch, broken in read_ahead(lambda args: _read(*args, stored=stored), batches):
        for error in broken:
            with _collecting(errors):
                raise error
        if batch:
            yield batch


def positions_of_equal_size(images: Sequence[Path], *, batch_size: int) -> list[list[int]]:
    """The positions of the images in each batch of ``equal_size_batches``, in its order."""
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for position, path in enumerate(images):
        by_size[image_size(path)].append(position)
    return [
        positions[start : start + batch_size]
        for positions in by_size.values()
        for start in range(0, len(positions), batch_size)
    ]


def positions_left(
    images: Sequence[Path], names: Sequence[str], folder: ResumableFolder, *, batch_size: int
) -> list[int]:
    """The positions of this rank's batches of the part of ``folder``; those it has are left out.

    ``names`` are the files that the images become.
    """
    batches = batches_left(
        range(len(images)),
        lambda _: positions_of_equal_size(images, batch_size=batch_size),
        is_done=lambda position: folder.has(names[position]),
        part=folder.part,
    )
    return [position for batch in batches for position in batch]


def averaged_maps(
    maps: Maps, images: Float[Tensor, "B 3 H W"], *, scales: tuple[float, ...]
) -> Float[Tensor, "B K H W"]:
    """The mean of maps over scales and mirror images, at the size of the images.

    Raises ValueError without a scale.
    """
    everything = torch.ones(len(images), 0, dtype=torch.bool)
    return averaged(both_views(maps), images, everything, scales=scales)


def averaged(
    readout: Readout,
    images: Float[Tensor, "B 3 H W"],
    present: Bool[Tensor, "B _"],
    *,
    scales: tuple[float, ...],
) -> Float[Tensor, "B K H W"]:
    """The mean of a read-out over scales, at the size of the images.

    Raises ValueError without a scale.
    """
    size = images.shape[2:]
    total: Tensor | None = None
    for scale in scales:
        maps = readout(_rescaled(images, scale), present)
        both = functional.interpolate(maps, size=size, mode="bilinear")
        total = both if total is None else total + both
    if total is None:
        raise ValueError("scales: expected at least one, got none")
    return total / (2 * len(scales))


def maps_of_images(
    readout: Readout,
    paths: list[Path],
    labels: Bool[np.ndarray, "N K"],
    *,
    scales: tuple[float, ...],
    batch_size: int,
    normalise: Callable[[Tensor], Tensor],
    device: torch.device,
    precision: torch.dtype = torch.float32,
) -> Iterator[tuple[int, Float[Tensor, "K H W"]]]:
    """Yield the position in ``paths`` and the averaged maps of every image, ordered by size.

    ``labels`` are the present classes of the images. ``normalise`` maps pixels in [0, 1] to the
    input of the network, as ``Backbone.normalise`` does. Raises UserError for an unreadable image.
    """
    for batch in equal_size_batches(paths, batch_size=batch_size):
        present = torch.from_numpy(labels[list(batch.positions)]).to(device)
        # Not inference mode: some read-outs climb gradients.
        with torch.no_grad(), autocast(precision, device):
            images = normalise(batch.pixels.to(device))
            maps = averaged(readout, images, present, scales=scales)
        yield from zip(batch.positions, maps, strict=True)


def shrunk_size(size: tuple[int, int], longest_side: int | None) -> tuple[int, int]:
    """Height and width, scaled down alike to at most ``longest_side`` and at least 1 pixel."""
    longest = max(size)
    if longest_side is None or longest <= longest_side:
        return size
    height, width = (max(1, round(length * longest_side / longest)) for length in size)
    return height, width


def _read(
    sources: dict[int, Source], size: tuple[int, int], *, stored: dict[int, tuple[int, int]]
) -> tuple[EqualSizeBatch | None, list[UserError]]:
    """A batch of the readable images, or None, and the errors of the others."""
    images: dict[int, Tensor] = {}
    broken: list[UserError] = []
    for position, source in sources.items():
        with _collecting(broken):
            image = read_image(source, at_least=size) if isinstance(source, Path) else source
            images[position] = _shrunk(image, size, stored=stored[position])
    if not images:
        return None, broken
    batch = EqualSizeBatch(
        positions=tuple(images),
        pixels=torch.stack(list(images.values())).float() / 255,
        stored=tuple(stored[position] for position in images),
    )
    return batch, broken


def _stored_size(source: Source) -> tuple[int, int]:
    if isinstance(source, Path):
        return image_size(source)
    height, width, _ = source.shape
    return height, width


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
def _collecting(errors: list[UserError] | None) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        if errors is None:
            raise
        errors.append(error)
