"""Made photographs of any size, and maps for them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from recam.data.loading import pixels_of
from recam.io.images import read_image


def made_photographs(folder: Path, count: int, *, size: tuple[int, int]) -> list[Path]:
    """JPEG files of smooth noise, of ``size`` (width, height)."""
    width, height = size
    generator = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        noise = generator.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(size).save(path)
    return paths


def made_scores(
    folder: Path, *, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Smooth maps of two classes (1, 2, H, W) and the pixels of a made photograph."""
    (path,) = made_photographs(folder, 1, size=size)
    pixels = pixels_of([read_image(path)], device)
    coarse = torch.rand(1, 2, 12, 16, generator=torch.Generator().manual_seed(0)).to(device)
    shape = (pixels.shape[2], pixels.shape[3])
    return functional.interpolate(coarse, size=shape, mode="bilinear"), pixels
