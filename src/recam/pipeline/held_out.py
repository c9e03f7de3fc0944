"""Losses and errors of a classifier on images whose labels it has not seen: no mask is needed."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recam.core.randomness import derived_seed
from recam.data.layout import WeakSplit
from recam.data.loading import Views
from recam.methods.variant import Variant

PREFIX = "held-out "  # of these values' names in a training curve
BATCH = 16  # images


def divided(split: WeakSplit, fraction: float) -> tuple[WeakSplit, WeakSplit | None]:
    """The images to train on, and the ``fraction`` that is held out; None if that is no image.

    The choice depends on the ids alone: it is the same for all methods and random seeds.
    """
    count = round(fraction * len(split.ids))
    if not count:
        return split, None
    order = sorted(range(len(split.ids)), key=lambda i: derived_seed(0, "held out", split.ids[i]))
    return _chosen(split, sorted(order[count:])), _chosen(split, sorted(order[:count]))


def _chosen(split: WeakSplit, positions: list[int]) -> WeakSplit:
    return WeakSplit(
        name=split.name,
        ids=tuple(split.ids[i] for i in positions),
        images=tuple(split.images[i] for i in positions),
        labels=split.labels[positions],
        classes=split.classes,
    )


def recall_and_precision(
    logits: Float[np.ndarray, "N K"], labels: Bool[np.ndarray, "N K"]
) -> dict[str, float]:
    """Fractions, 0 to 1, of the true (image, class) pairs found and of the found ones true.

    NaN without a true pair, or without a found one.
    """
    found = logits > 0
    right = (found & labels).sum()
    pairs = {"recall": labels.sum(), "precision": found.sum()}
    return {name: float(right / n) if n else float("nan") for name, n in pairs.items()}


def held_out_scores(
    model: Variant, images: Views[tuple[Tensor, ...]]
) -> Callable[[], dict[str, float]]:
    """A function that gives the losses, the recall and the precision on held-out images.

    Every call sees the same views of the images. Recall and precision count (image, class) pairs;
    a class counts as predicted where its logit is above 0. The model returns to training mode.
    """

    @torch.no_grad()
    def scores() -> dict[str, float]:
        model.eval()
        device = next(model.parameters()).device
        sums: dict[str, float] = {}
        logits: list[np.ndarray] = []
        for start in range(0, len(images), BATCH):
            items = [images[0, i] for i in range(start, min(start + BATCH, len(images)))]
            first, *targets = (torch.stack(each).to(device) for each in zip(*items, strict=True))
            batch = first.contiguous(memory_format=torch.channels_last)
            for name, loss in model.loss(batch, *targets).items():
                sums[name] = sums.get(name, 0.0) + float(loss) * len(items) / len(images)
            logits.append(model.logits(batch).cpu().numpy())
        model.train()
        found = sums | recall_and_precision(np.concatenate(logits), images.split.labels)
        return {PREFIX + name: value for name, value in found.items()}

    return scores
