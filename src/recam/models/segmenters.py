"""What all segmenters are: image in, a score per class and pixel out; trained on masks."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from recam.core.labels import BACKGROUND, IGNORE
from recam.runtime.distributed import all_reduce_sum, processes
from recam.runtime.precision import to_float32


class Segmenter(nn.Module, ABC):
    """A network on a ``backbone``, trained on masks, whoever made them; it gives probabilities.

    A segmenter says how images become ``logits``; its loss and its maps follow from them. What it
    calls foreground while it trains is counted beside what the masks do, so that a network which
    calls everything background is noticed (``recam.pipeline.watch``).
    """

    def __init__(self) -> None:
        super().__init__()
        self.foreground = ForegroundCounts()

    @abstractmethod
    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N h w"]:
        """Logits of background and classes, on a grid of the network's own."""

    def loss(
        self, images: Float[Tensor, "B 3 H W"], masks: UInt8[Tensor, "B H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Cross-entropy averaged over the pixels that are not ignored; 0 if all are."""
        logits = resized(to_float32(self.logits(images)), masks.shape[1:])
        self.foreground.add(logits, masks)
        return {"ce": cross_entropy(logits, masks)}

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N h w"]:
        """Softmax probabilities of background and classes, on the grid of the logits."""
        return to_float32(self.logits(images)).softmax(dim=1)


class ForegroundCounts:
    """How many of the judged pixels are of some class, in the masks and by the network."""

    def __init__(self) -> None:
        self.counts: Tensor | None = None  # pixels: judged, in the masks, by the network

    @torch.no_grad()
    def add(self, logits: Float[Tensor, "B N H W"], masks: UInt8[Tensor, "B H W"]) -> None:
        """Count a batch, without waiting for the device."""
        judged = masks != IGNORE
        true = judged & (masks != BACKGROUND)
        found = judged & (logits.argmax(dim=1) != BACKGROUND)
        counts = torch.stack([judged.sum(), true.sum(), found.sum()])
        self.counts = counts if self.counts is None else self.counts + counts

    def shares(self) -> tuple[float, float]:
        """Since the last call: shares of foreground in the masks and by the network, 0 to 1."""
        counts = all_reduce_sum(self.counts) if self.counts is not None else torch.zeros(3)
        judged, true, found = counts.tolist()
        self.counts = None
        return true / max(judged, 1), found / max(judged, 1)


def cross_entropy(
    logits: Float[Tensor, "B N H W"], masks: UInt8[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """The mean over the pixels that are not ignored; 0 if all are.

    Where several processes share the batch, the pixels of all count: the mean of what they return
    is that of the whole batch.
    """
    targets = masks.long()
    total = functional.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")
    return total * processes() / all_reduce_sum((targets != IGNORE).sum()).clamp(min=1)


def resized(grid: Float[Tensor, "B N h w"], size: tuple[int, ...]) -> Float[Tensor, "B N H W"]:
    """Bilinear, corners not aligned."""
    return functional.interpolate(grid, size=size, mode="bilinear", align_corners=False)
