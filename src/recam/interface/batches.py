"""Batches of the user's images and labels, checked before anything is trained."""

from collections.abc import Collection, Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from recam.core.errors import UserError

Data: TypeAlias = Iterable[Sequence[Tensor]] | Dataset
Labels: TypeAlias = Tensor | Sequence[Collection[str]]
BATCH_SIZE = 16  # of a Dataset
NO_BATCH = "data: expected at least one batch (images, labels), got none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """The number of batches and the kind of labels, found in one pass over the data."""

    batches: int
    single_label: bool  # labels are class indices


def batches_of(data: object) -> Iterable[Sequence[Tensor]]:
    """Batches (images, labels); a Dataset is read in shuffled batches of 16.

    Raises UserError for data that can be read only once.
    """
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        if isinstance(data, Sized) and not len(data):
            raise UserError(NO_BATCH)
        return DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)
    if not isinstance(data, Iterable):
        raise UserError(
            f"data: expected batches (images, labels), a Dataset or a DataLoader, got "
            f"{type(data).__name__}"
        )
    if iter(data) is data:
        raise UserError(
            "data: expected batches that can be read in every epoch, got an iterator; give a list "
            "of batches, a Dataset or a DataLoader"
        )
    return cast(Iterable[Sequence[Tensor]], data)


def inspected(batches: Iterable[Sequence[Tensor]], *, num_classes: int) -> Inspected:
    """Check every batch.

    Raises UserError without a batch or without a present class, and for images and labels of other
    types and sizes.
    """
    count = positives = 0
    kinds: set[bool] = set()
    for batch in batches:
        images, labels = pair_of(batch)
        positives += int(present_of(labels, [str(n) for n in range(num_classes)]).sum())
        if len(images) != len(labels):
            raise UserError(
                f"data: expected as many labels as images, got {len(labels)} labels for "
                f"{len(images)} images"
            )
        kinds.add(labels.ndim == 1)
        count += 1
    if not count:
        raise UserError(NO_BATCH)
    if len(kinds) > 1:
        raise UserError("labels: expected class indices or rows of 0 and 1, got both; choose one")
    if not positives:
        raise UserError(
            "labels: expected present classes, got none in any image; re-activation learns from "
            "the present ones"
        )
    return Inspected(batches=count, single_label=kinds == {True})


def pair_of(batch: object) -> tuple[Tensor, Tensor]:
    """Images and labels of a batch. Raises UserError for anything else."""
    if not isinstance(batch, list | tuple) or len(batch) < 2:
        raise UserError(f"data: expected batches (images, labels), got {_kind(batch)}")
    images, labels = cast(Sequence[object], batch)[:2]
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        raise UserError(
            "images: expected a floating-point tensor (B, 3, H, W), prepared as the model expects "
            f"it, got {_kind(images)}"
        )
    if not len(images):
        raise UserError("images: expected at least one in every batch, got an empty batch; drop it")
    if not bool(torch.isfinite(images).all()):
        raise UserError("images: expected finite numbers, got NaN or infinity; look for bad images")
    if not isinstance(labels, Tensor):
        raise UserError(
            "labels: expected a tensor of class indices (B) or of rows of 0 and 1 (B, K), got "
            f"{_kind(labels)}"
        )
    return images, labels


def present_of(labels: Labels, classes: Sequence[str]) -> Bool[Tensor, "B K"]:
    """The present classes of every image.

    ``labels`` are class indices (B), rows of 0 and 1 (B, K), or a list of names for each image.
    Raises UserError for other values.
    """
    if not isinstance(labels, Tensor):
        return _named(labels, classes)
    if labels.ndim == 1 and not labels.is_floating_point() and labels.dtype != torch.bool:
        return _indexed(labels, len(classes))
    if labels.ndim != 2 or labels.shape[1] != len(classes):
        raise UserError(
            f"labels: expected class indices (B) or rows of {len(classes)} values, one for each "
            f"output of the model, got {_kind(labels)}"
        )
    if not bool(((labels == 0) | (labels == 1)).all()):
        raise UserError("labels: expected rows of 0 and 1, got other values; mark present classes")
    return labels.bool()


def _indexed(labels: Tensor, num_classes: int) -> Bool[Tensor, "B K"]:
    if not bool(((labels >= 0) & (labels < num_classes)).all()):
        raise UserError(
            f"labels: expected class indices from 0 to {num_classes - 1}, as the model has "
            f"{num_classes} outputs, got {int(labels.min())} to {int(labels.max())}"
        )
    return torch.nn.functional.one_hot(labels.long(), num_classes).bool()


def _named(labels: Sequence[Collection[str]], classes: Sequence[str]) -> Bool[Tensor, "B K"]:
    present = torch.zeros(len(labels), len(classes), dtype=torch.bool)
    for row, names in enumerate(labels):
        if isinstance(names, str):
            raise UserError(f"labels: expected a list of names for each image, got {names!r}")
        for name in names:
            if name not in classes:
                raise UserError(f"labels: {name!r} is not one of the {len(classes)} classes")
            present[row, classes.index(name)] = True
    return present


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}".removeprefix("torch.")
    return f"{type(value).__name__}" + (
        f" of {len(value)}" if isinstance(value, list | tuple) else ""
    )
