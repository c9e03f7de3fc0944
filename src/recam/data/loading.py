"""From files to training batches: random size, flip and crop, the same whoever loads them.

Each image's augmentation depends on the replicate's seed, the epoch and the image's position only,
so the number of worker processes changes nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from recam.data.layout import WeakSplit
from recam.errors import UserError
from recam.files import check_mask, read_image, read_mask
from recam.labels import IGNORE
from recam.randomness import derived_seed, numpy_generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How a training image is varied, as the authors do: aspect ratio and colours are kept."""

    resize_min: int  # pixels of the longer side, least
    resize_max: int  # and most
    crop: int  # pixels of the square that is cut out or padded to
    mean: tuple[float, float, float]  # of pixels in [0, 1]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.resize_min > self.resize_max:
            raise UserError(
                f"resize_min: expected no more than resize_max ({self.resize_max}), "
                f"got {self.resize_min}"
            )


class _Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Images of a split, each varied by a generator of its own."""

    def __init__(self, split: WeakSplit, augmentation: Augmentation, *, random_seed: int):
        self.split = split
        self.augmentation = augmentation
        self.random_seed = random_seed

    def __len__(self) -> int:
        return len(self.split.images)

    def _generator(self, epoch: int, index: int) -> np.random.Generator:
        return numpy_generator(self.random_seed, "augment", epoch, index)


class LabelledImages(_Augmented):
    """Augmented images (3, crop, crop) float32 with multi-hot labels (K,) bool. No masks."""

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = key
        image = read_image(self.split.images[index])
        varied, _ = augment(image, None, self.augmentation, self._generator(epoch, index))
        return varied, torch.from_numpy(self.split.labels[index])


class MaskedImages(_Augmented):
    """Augmented images (3, crop, crop) float32 with masks (crop, crop) uint8 to train on.

    The masks come from a folder of their own: pseudo masks, unless the caller asks for true ones.
    """

    def __init__(
        self, split: WeakSplit, masks: Path, augmentation: Augmentation, *, random_seed: int
    ):
        super().__init__(split, augmentation, random_seed=random_seed)
        self.masks = masks

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = key
        path = self.masks / f"{self.split.ids[index]}.png"
        image, mask = read_image(self.split.images[index]), read_mask(path)
        check_mask(path, mask, size=image.shape[:2], num_ids=len(self.split.classes) + 1)
        return augment(image, mask, self.augmentation, self._generator(epoch, index))


def augment(
    image: UInt8[np.ndarray, "H W 3"],
    mask: UInt8[np.ndarray, "H W"] | None,
    augmentation: Augmentation,
    generator: np.random.Generator,
) -> tuple[Float[Tensor, "3 crop crop"], UInt8[Tensor, "crop crop"]]:
    """Resize, flip and crop an image and its mask alike; outside is 0 after normalisation, ignored.

    Without a mask the second value is all 255, so that one path serves both.
    """
    height, width = image.shape[:2]
    longer = generator.integers(augmentation.resize_min, augmentation.resize_max, endpoint=True)
    scale = longer / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    ids = np.full(pixels.shape[:2], IGNORE, np.uint8)
    if mask is not None:
        ids = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    if generator.random() < 0.5:
        pixels, ids = pixels[:, ::-1], ids[:, ::-1]
    mean, std = (np.array(values, np.float32) for values in (augmentation.mean, augmentation.std))
    normal = (pixels / np.float32(255) - mean) / std
    return _cropped(normal, ids, augmentation.crop, generator)


def training_batches(
    dataset: LabelledImages | MaskedImages, *, batch_size: int, workers: int
) -> Callable[[int], Iterator[list[Tensor]]]:
    """A function from the epoch to its shuffled batches. What is left of an epoch is dropped.

    Raises UserError where there are fewer images than the batch holds.
    """
    if len(dataset) < batch_size:
        raise UserError(
            f"the split has {len(dataset)} images, fewer than one batch; "
            f"expected batch_size of at most {len(dataset)}, got {batch_size}"
        )

    def batches(epoch: int) -> Iterator[list[Tensor]]:
        return iter(
            DataLoader(
                dataset,
                batch_size=batch_size,
                sampler=_Shuffled(len(dataset), random_seed=dataset.random_seed, epoch=epoch),
                drop_last=True,
                num_workers=workers,
                pin_memory=torch.cuda.is_available(),
            )
        )

    return batches


class _Shuffled(Sampler[tuple[int, int]]):
    """Yields (epoch, index), so that workers know the epoch without being told."""

    def __init__(self, length: int, *, random_seed: int, epoch: int):
        self.length = length
        self.seed = derived_seed(random_seed, "order", epoch)
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng(self.seed).permutation(self.length)
        return iter((self.epoch, int(index)) for index in order)


def _cropped(
    normal: Float[np.ndarray, "H W 3"],
    ids: UInt8[np.ndarray, "H W"],
    crop: int,
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Cut a random square; where the image is smaller, place it at random in the square."""
    canvas = np.zeros((crop, crop, 3), np.float32)
    canvas_ids = np.full((crop, crop), IGNORE, np.uint8)
    source, target = zip(*(_overlap(n, crop, generator) for n in ids.shape), strict=True)
    canvas[target] = normal[source]
    canvas_ids[target] = ids[source]
    return torch.from_numpy(canvas).permute(2, 0, 1), torch.from_numpy(canvas_ids)


def _overlap(length: int, crop: int, generator: np.random.Generator) -> tuple[slice, slice]:
    """Along one axis: the part of the image that is seen and its place in the square."""
    shift = int(generator.integers(min(0, length - crop), max(0, length - crop), endpoint=True))
    start, place = max(shift, 0), max(-shift, 0)
    seen = min(length, crop)
    return slice(start, start + seen), slice(place, place + seen)
