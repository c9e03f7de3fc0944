"""The base class of segmenters, and the losses and counts that they share."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from recam.core.labels import BACKGROUND, IGNORE
from recam.runtime.distributed import all_reduce_sum, processes
from recam.runtime.precision import to_float32


class Segmenter(nn.Module, ABC):
    """A network on a ``backbone``, trained on masks, that predicts N = K+1 probabilities a pixel.

    A subclass defines ``logits``; loss and maps follow from them. Training counts the foreground
    pixels of predictions and masks, for the watchdog in ``recam.pipeline.watch``. ``pixel_loss`` is
    one of ``PIXEL_LOSSES``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.foreground = ForegroundCounts()
        self.pixel_loss: PixelLoss = cross_entropy

    @abstractmethod
    def logits(self, images: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B N h w"]:
        """Logits of background and classes, on the network's grid."""

    def loss(
        self, images: Float[Tensor, "B _ _ _"], masks: UInt8[Tensor, "B H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The pixel loss at the size of the masks; ``images`` may be features in their place."""
        logits = resized(to_float32(self.logits(images)), masks.shape[1:])
        self.foreground.add(logits, masks)
        return {"ce": self.pixel_loss(logits, masks)}

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N h w"]:
        """Softmax probabilities of background and classes, on the grid of the logits."""
        return to_float32(self.logits(images)).softmax(dim=1)


class ForegroundCounts:
    """Counts of foreground pixels in masks and predictions, ignored pixels left out."""

    def __init__(self) -> None:
        self.counts: Tensor | None = None  # pixels: judged, foreground in masks, in predictions

    @torch.no_grad()
    def add(self, logits: Float[Tensor, "B N H W"], masks: UInt8[Tensor, "B H W"]) -> None:
        """Add a batch; this does not synchronise with the device."""
        judged = masks != IGNORE
        in_masks = judged & (masks != BACKGROUND)
        predicted = judged & (logits.argmax(dim=1) != BACKGROUND)
        counts = torch.stack([judged.sum(), in_masks.sum(), predicted.sum()])
        self.counts = counts if self.counts is None else self.counts + counts

    def shares(self) -> tuple[float, float]:
        """Fractions of foreground in masks and predictions, of all ranks since the last call."""
        counts = all_reduce_sum(self.counts) if self.counts is not None else torch.zeros(3)
        judged, in_masks, predicted = counts.tolist()
        self.counts = None
        return in_masks / max(judged, 1), predicted / max(judged, 1)


def cross_entropy(
    logits: Float[Tensor, "B N H W"], masks: UInt8[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """The mean over the pixels that are not ignored (255); 0 if all are.

    If several ranks share the batch, the pixels of all are counted: the mean of the ranks' losses
    is the loss of the whole batch.
    """
    targets = masks.long()
    total = functional.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")
    return total * processes() / all_reduce_sum((targets != IGNORE).sum()).clamp(min=1)


def balanced_cross_entropy(
    logits: Float[Tensor, "B N H W"], masks: UInt8[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Half the mean over background pixels plus half the mean over foreground pixels.

    Rare foreground then counts as much as background. A part without a pixel adds 0.
    """
    losses = functional.cross_entropy(logits, masks.long(), ignore_index=IGNORE, reduction="none")
    background = masks == BACKGROUND
    parts = [background, ~background & (masks != IGNORE)]
    means = [
        _sum_of(losses, part) * processes() / all_reduce_sum(part.sum()).clamp(min=1)
        for part in parts
    ]
    return torch.stack(means).mean()


def _sum_of(losses: Float[Tensor, "B H W"], part: Bool[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """The sum over the pixels of a part; indexing by a mask would make a GPU wait for its size."""
    if losses.device.type == "cpu":
        return losses[part].sum()
    return losses.masked_fill(~part, 0).sum()


PixelLoss = Callable[[Tensor, Tensor], Tensor]  # logits (B, N, H, W), masks (B, H, W) -> loss
PIXEL_LOSSES: dict[str, PixelLoss] = {
    "cross_entropy": cross_entropy,
    "balanced": balanced_cross_entropy,
}


def resized(grid: Float[Tensor, "B N h w"], size: tuple[int, ...]) -> Float[Tensor, "B N H W"]:
    """Resize to ``size`` (height, width), bilinearly, corners not aligned."""
    return functional.interpolate(grid, size=size, mode="bilinear", align_corners=False)
