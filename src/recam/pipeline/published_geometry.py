"""Maps of whole images in the geometry of the authors' code (Chen et al., CVPR 2022).

It differs from that of ``recam.pipeline.inference`` in the place of cells and in the resizing of
images. Published thresholds were tuned on these maps.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from recam.methods.variant import Readout
from recam.pipeline.inference import equal_size_batches
from recam.runtime.precision import autocast

CELL = 16  # pixels between cells at scale 1: the stride of the authors' network


def published_maps_of_images(
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
    """The same as ``recam.pipeline.inference.maps_of_images``, with ``summed`` maps."""
    for batch in equal_size_batches(paths, batch_size=batch_size):
        present = torch.from_numpy(labels[list(batch.positions)]).to(device)
        with torch.no_grad(), autocast(precision, device):
            maps = summed(readout, batch.pixels, present, scales=scales, normalise=normalise)
        yield from zip(batch.positions, maps, strict=True)


def summed(
    readout: Readout,
    pixels: Float[Tensor, "B 3 H W"],
    present: Bool[Tensor, "B K"],
    *,
    scales: tuple[float, ...],
    normalise: Callable[[Tensor], Tensor],
) -> Float[Tensor, "B K H W"]:
    """The sum of a read-out over scales, at the size of the images.

    ``pixels`` in [0, 1] are resized as bytes on the CPU, where they are, so that a GPU need not
    wait; ``present`` is on the device of the maps. The maps of each scale are enlarged to the next
    multiples of 16 of the images' height and width, then cropped at the right and at the bottom:
    at scale 1, cells of a network of stride 16 are 16 pixels apart. Raises ValueError without a
    scale.
    """
    height, width = pixels.shape[2:]
    whole = [math.ceil(length / CELL) * CELL for length in (height, width)]
    grids = (
        readout(normalise(resized_bytes(pixels, scale).to(present.device)), present)
        for scale in scales
    )
    enlarged = [functional.interpolate(grid, size=whole, mode="bilinear") for grid in grids]
    if not enlarged:
        raise ValueError("scales: expected at least one, got none")
    return torch.stack(enlarged).sum(dim=0)[:, :, :height, :width]


def resized_bytes(pixels: Float[Tensor, "B 3 H W"], scale: float) -> Float[Tensor, "B 3 h w"]:
    """Pixels in [0, 1] on the CPU, rounded to bytes, resized by Pillow's bicubic filter.

    Height and width are multiplied by ``scale`` and rounded, halves to even numbers.
    """
    height, width = (max(1, round(length * scale)) for length in pixels.shape[2:])
    images = pixels.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    bicubic = Image.Resampling.BICUBIC
    resized = [np.asarray(Image.fromarray(i).resize((width, height), bicubic)) for i in images]
    stacked = torch.from_numpy(np.stack(resized))
    return stacked.permute(0, 3, 1, 2).to(pixels.dtype) / 255
