"""Training batches: random resizing, flipping and cropping, independent of the worker processes.

The augmentation of an image depends only on the random seed, the epoch and the image's index, so
batches do not depend on the number of workers.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from recam.core.errors import UserError
from recam.core.randomness import derived_seed, numpy_generator
from recam.data.augmentation import (
    Augmentation,
    View,
    augment,
    draw_view,
    mask_view,
    salient_view,
)
from recam.data.layout import WeakSplit
from recam.io.images import (
    check_mask,
    check_saliency,
    image_size,
    read_image,
    read_mask,
    read_saliency,
)
from recam.runtime.distributed import processes, shard

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)
Batch = TypeVar("Batch")
# DataLoader's messages for a worker killed by the system, and the error shown instead.
STOPPED = {
    "shared memory": (
        "the workers that load images ran out of shared memory (/dev/shm); enlarge it "
        "(docker run --shm-size=2g), or lower batch_size or crop"
    ),
    "DataLoader worker (pid": (
        "a worker that loads images was killed, probably because memory ran out; free memory or "
        "lower batch_size, then run again"
    ),
}


class _Augmented(Dataset[tuple[Tensor, ...]]):
    """Images of a split, each augmented by its own generator."""

    def __init__(self, split: WeakSplit, augmentation: Augmentation, *, random_seed: int):
        self.split = split
        self.augmentation = augmentation
        self.random_seed = random_seed

    def __len__(self) -> int:
        return len(self.split.images)

    def _image(self, epoch: int, index: int) -> tuple[UInt8[np.ndarray, "h w 3"], View]:
        """The image, decoded no larger than necessary for its view, and the view."""
        path = self.split.images[index]
        generator = numpy_generator(self.random_seed, "augment", epoch, index)
        view = draw_view(image_size(path), self.augmentation, generator)
        return read_image(path, at_least=view.size), view


class LabelledImages(_Augmented):
    """Augmented images (3, crop, crop) float32 with multi-hot labels (K,) bool, without masks."""

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, ...]:
        image, view = self._image(*key)
        varied, _ = augment(image, None, view, self.augmentation)
        return varied, *self.targets(key[1], view)

    def targets(self, index: int, view: View) -> tuple[Tensor, ...]:  # noqa: ARG002 of subclasses
        """The labels of an image."""
        return (torch.from_numpy(self.split.labels[index]),)


class SalientImages(LabelledImages):
    """Labelled images, each with its saliency (crop, crop) float32, 0 to 1, UNKNOWN in padding.

    ``saliency`` is a folder of 8-bit grey maps, <id>.png, of their images' sizes. Items raise
    UserError for a missing, corrupt or mismatching map.
    """

    def __init__(
        self, split: WeakSplit, saliency: Path, augmentation: Augmentation, *, random_seed: int
    ):
        super().__init__(split, augmentation, random_seed=random_seed)
        self.saliency = saliency

    def targets(self, index: int, view: View) -> tuple[Tensor, ...]:
        """The labels of an image, and its saliency in a view."""
        path = self.saliency / f"{self.split.ids[index]}.png"
        saliency = read_saliency(path)
        check_saliency(path, saliency, size=view.stored)
        return *super().targets(index, view), salient_view(saliency, view, self.augmentation)


class MaskedImages(_Augmented):
    """Augmented images (3, crop, crop) float32 with training masks (crop, crop) uint8.

    ``masks`` is a folder of pseudo masks, or of ground truth for the supervised upper bound.
    Items raise UserError for a missing, corrupt or mismatching file.
    """

    def __init__(
        self, split: WeakSplit, masks: Path, augmentation: Augmentation, *, random_seed: int
    ):
        super().__init__(split, augmentation, random_seed=random_seed)
        self.masks = masks

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, ...]:
        image, view = self._image(*key)
        varied, _ = augment(image, None, view, self.augmentation)
        return varied, *self.targets(key[1], view)

    def targets(self, index: int, view: View) -> tuple[Tensor, ...]:
        """The mask of an image in a view."""
        path = self.masks / f"{self.split.ids[index]}.png"
        mask = read_mask(path)
        check_mask(path, mask, size=view.stored, num_ids=len(self.split.classes) + 1)
        return (mask_view(mask, view, self.augmentation),)


def pixels_of(images: list[np.ndarray], device: torch.device) -> Float[Tensor, "B 3 H W"]:
    """Stack RGB uint8 images (H, W, 3) of equal size as a float32 batch in [0, 1]."""
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2) / 255


@runtime_checkable  # the tests check types at run time
class Views(Protocol[Item_co]):
    """The varied images of a split: an item for each epoch and index."""

    split: WeakSplit
    random_seed: int

    def __len__(self) -> int:
        """The number of images."""
        ...

    def __getitem__(self, key: tuple[int, int], /) -> Item_co:
        """The item of (epoch, index)."""
        ...


def training_batches(
    dataset: Views[tuple[Tensor, ...]], *, batch_size: int, workers: int
) -> Callable[[int], Iterator[list[Tensor]]]:
    """Return a function from the epoch to its shuffled batches, without an incomplete last one.

    In distributed training each process gets its shard of every batch. Raises UserError if there
    are fewer images than ``batch_size``, or if the processes cannot share a batch evenly.
    """
    return batches_of(dataset, batch_size=batch_size, workers=workers, collate=default_collate)


def batches_of(
    dataset: Views[Item], *, batch_size: int, workers: int, collate: Callable[[list[Item]], Batch]
) -> Callable[[int], Iterator[Batch]]:
    """The batches of ``training_batches``; ``collate``, in the workers, makes one of its items."""
    if batch_size % processes():
        raise UserError(
            f"batch_size: expected a multiple of the {processes()} devices that share a batch, got "
            f"{batch_size}; change batch_size or devices"
        )
    if len(dataset) < batch_size:
        raise UserError(
            f"batch_size: expected at most {len(dataset)}, the number of images of the split, got "
            f"{batch_size}; lower batch_size"
        )

    def batches(epoch: int) -> Iterator[Batch]:
        order = _Shuffled(len(dataset), batch_size, random_seed=dataset.random_seed, epoch=epoch)
        loader = DataLoader(
            _Batches(dataset, collate),
            batch_size=None,  # _Batches returns complete batches
            sampler=order,
            num_workers=workers,
            # Without workers the CPU trains, and pinning would occupy a GPU that is there.
            pin_memory=workers > 0 and torch.cuda.is_available(),
            generator=torch.Generator(),  # otherwise DataLoader draws from torch's global generator
        )
        return _delivered(loader)

    return batches


class _Batches(Dataset[Batch | UserError], Generic[Item, Batch]):
    """Complete batches, or the UserError raised by one of their files.

    The error is returned, since DataLoader would add the worker's traceback to its message.
    """

    def __init__(self, dataset: Views[Item], collate: Callable[[list[Item]], Batch]):
        self.dataset = dataset
        self.collate = collate

    def __getitem__(self, keys: list[tuple[int, int]]) -> Batch | UserError:
        try:
            return self.collate([self.dataset[key] for key in keys])
        except UserError as error:
            return error


def _delivered(loader: DataLoader[Batch | UserError]) -> Iterator[Batch]:
    """Yield batches. Raises UserError for an invalid file or a worker killed by the system."""
    try:
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch
    except RuntimeError as error:
        for words, sentence in STOPPED.items():
            if words in f"{error} {error.__cause__}":
                raise UserError(sentence) from error
        raise


class _Shuffled(Sampler[list[tuple[int, int]]]):
    """Yields batches of (epoch, index) pairs, which carry the epoch to the workers."""

    def __init__(self, length: int, batch_size: int, *, random_seed: int, epoch: int):
        self.length = length
        self.batch_size = batch_size
        self.seed = derived_seed(random_seed, "order", epoch)
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng(self.seed).permutation(self.length)
        for batch in order[: len(self) * self.batch_size].reshape(-1, self.batch_size):
            yield shard([(self.epoch, int(index)) for index in batch])
