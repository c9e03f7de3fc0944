"""Warnings about labels from which a classifier cannot learn, although every file is valid."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool

from recam.checks.inventory import Inventory, file_of, side_of
from recam.checks.report import Fault

FEW = 20  # images of a class, below which a classifier learns these images by heart
MOST = 0.5  # fraction of a split without labels, above which its images are hardly used
NAMED = 10  # classes or pairs in a detail

# The kinds of warnings, each with its remedy.
FEW_IMAGES = f"fewer than {FEW} images of a class; add images, or leave the class out"
EVERYWHERE = "a class is in every image, so it cannot be learned; add images without it"
ONE_CLASS = (
    "only one class has images, so re-activation has no other class to learn from; add classes, or "
    "run cam without recam"
)
TOGETHER = (
    "two classes are always together, so they cannot be told apart; merge them, or add images of "
    "one without the other"
)
UNLABELLED = "more than half of the images have no label; label them, or leave them out"


def unlearnable_labels(data: Inventory) -> Iterator[Fault]:
    """At most one warning of each kind for every training split; the detail has the numbers."""
    for split, ids in data.splits.items():
        labels = data.labels_of(ids)
        if side_of(split) == "train" and len(labels):
            for kind, detail in _findings(labels, data.classes):
                yield Fault.warning(file_of(split), kind, detail)


def _findings(
    labels: Bool[np.ndarray, "N K"], classes: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Kind and detail of each warning. A class without images has another warning."""
    counts, images = labels.sum(axis=0), len(labels)
    named = list(zip(classes, counts.tolist(), strict=True))
    if few := [f"{name} {count}" for name, count in named if 0 < count < FEW]:
        yield FEW_IMAGES, f"{_listed(few)}, of {images:,} images"
    if everywhere := [name for name, count in named if count == images]:
        yield EVERYWHERE, f"{_listed(everywhere)}, {images:,} images"
    if (counts > 0).sum() == 1:
        yield ONE_CLASS, classes[int(counts.argmax())]
    if together := _inseparable(labels, classes):
        yield TOGETHER, _listed(together)
    bare = int((~labels.any(axis=1)).sum())
    if bare > MOST * images:
        yield UNLABELLED, f"{bare:,} of {images:,}"


def _inseparable(labels: Bool[np.ndarray, "N K"], classes: tuple[str, ...]) -> list[str]:
    """Groups of classes with the same images, other than all images and none."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for k in np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0)):
        groups[labels[:, k].tobytes()].append(int(k))
    return [
        f"{' with '.join(classes[k] for k in group)} in {int(labels[:, group[0]].sum()):,} images"
        for group in groups.values()
        if len(group) > 1
    ]


def _listed(words: Iterable[str]) -> str:
    words = list(words)
    more = [f"and {len(words) - NAMED:,} more"] if len(words) > NAMED else []
    return ", ".join(words[:NAMED] + more)
