"""Photographs, maps, batches and the sizes of networks that several topics share."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional

from recam.core.labels import IGNORE
from recam.data.augmentation import Augmentation
from recam.data.layout import WeakSplit
from recam.data.loading import pixels_of
from recam.io.checkpoints import ModelConfig
from recam.io.images import read_image, write_mask
from recam.methods.cam import Cam
from recam.models.segmenters import Segmenter

CLASSES = tuple(f"class {k}" for k in range(20))
SIZES = ((500, 375), (375, 500))  # width and height, of most images of VOC
QUALITY = 90
AUGMENTATION = Augmentation(
    resize_min=320, resize_max=640, crop=512, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
PRESENT = 2  # classes of an image


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A network and the size of its batches."""

    model_config: ModelConfig
    batch: int
    side: int  # pixels


DEFAULT = Setup(
    model_config=ModelConfig(
        method="recam",
        backbone="tf_efficientnet_lite0",
        output_stride=16,
        classes=CLASSES[:8],
        frozen_batch_norm=False,
        frozen_stem=False,
        weight=1.0,
    ),
    batch=16,
    side=128,
)


class Logits(nn.Module):
    """A classifier or segmenter whose output is its logits, as other libraries expect."""

    def __init__(self, model: Cam | Segmenter):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of a classifier, (B, N, h, w) of a segmenter."""
        return self.model.logits(images)


def published(device: torch.device, *, classes: int = 20) -> Setup:
    """ResNet-50 in batches of 16 crops of 512 px on a GPU, of 2 of 224 px on a CPU."""
    on_gpu = device.type == "cuda"
    model_config = replace(
        DEFAULT.model_config,
        backbone="resnet50",
        classes=tuple(f"class {k}" for k in range(classes)),
        frozen_batch_norm=True,
        frozen_stem=True,
    )
    return Setup(model_config=model_config, batch=16 if on_gpu else 2, side=512 if on_gpu else 224)


def noise_batch(setup: Setup, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) in channels-last layout and labels (B, K), the same at every call."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(setup.batch, 3, setup.side, setup.side, generator=generator)
    classes = len(setup.model_config.classes)
    labels = torch.rand(setup.batch, classes, generator=generator).argsort(dim=1) < PRESENT
    return images.to(device, memory_format=torch.channels_last), labels.to(device)


def photographs(folder: Path, count: int) -> tuple[WeakSplit, Path]:
    """JPEG files as large as VOC's with made labels, and the folder of their masks."""
    generator = np.random.default_rng(0)
    ids = tuple(f"{number:04d}" for number in range(count))
    for number, image_id in enumerate(ids):
        image, mask = draw(SIZES[number % len(SIZES)], generator)
        image.save(folder / f"{image_id}.jpg", quality=QUALITY)
        write_mask(folder / "masks" / f"{image_id}.png", mask)
    split = WeakSplit(
        name="train",
        ids=ids,
        images=tuple(folder / f"{image_id}.jpg" for image_id in ids),
        labels=generator.random((count, len(CLASSES))) < 0.1,
        classes=CLASSES,
    )
    return split, folder / "masks"


def made_photographs(folder: Path, count: int, *, size: tuple[int, int]) -> list[Path]:
    """JPEG files of one ``size`` (width, height)."""
    generator = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        draw(size, generator)[0].save(path, quality=QUALITY)
    return paths


def draw(size: tuple[int, int], generator: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """An image and its mask: three ellipses on clouds, under grain."""
    width, height = size
    clouds = generator.integers(256, size=(height // 25, width // 25, 3), dtype=np.uint8)
    image = Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC)
    mask = Image.new("L", size)
    for _ in range(3):
        x, y = generator.uniform(0, (width / 2, height / 2))
        box = (x, y, x + generator.uniform(50, 200), y + generator.uniform(50, 200))
        colour = tuple(generator.integers(256, size=3).tolist())
        ImageDraw.Draw(image).ellipse(box, fill=colour)
        ImageDraw.Draw(mask).ellipse(
            box, fill=int(generator.integers(1, len(CLASSES) + 1)), outline=IGNORE, width=5
        )
    grain = generator.integers(-12, 13, size=(height, width, 1))
    grainy = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(grainy), np.asarray(mask)


def made_scores(
    folder: Path, *, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Smooth maps of two classes (1, 2, H, W) and the pixels of a made photograph."""
    (path,) = made_photographs(folder, 1, size=size)
    pixels = pixels_of([read_image(path)], device)
    coarse = torch.rand(1, 2, 12, 16, generator=torch.Generator().manual_seed(0)).to(device)
    shape = (pixels.shape[2], pixels.shape[3])
    return functional.interpolate(coarse, size=shape, mode="bilinear"), pixels
