"""Segmenters: image in, a score per class and pixel out; trained on masks, whoever made them."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from recam.labels import IGNORE

REDUCED = 128  # channels of the features before the atrous branches
BRANCH = 64  # channels of each branch and of the fused level
SKIP = 32  # channels of the early level after reduction


@runtime_checkable  # the tests check types at run time
class TwoLevels(Protocol):
    """A module that gives an early, finer level beside its features, as our backbones do."""

    def with_skip(self, images: Float[Tensor, "B 3 H W"], /) -> tuple[Tensor, Tensor]:
        """The early level, at stride 4, and the features."""
        ...


class DeepLab(nn.Module):
    """Atrous branches over the backbone's features, refined with its level at stride 4.

    The branches are summed as in DeepLabV2 (Chen et al., PAMI 2018); the decoder with an early
    level is that of DeepLabV3+ (Chen et al., ECCV 2018), made narrow for small images.
    """

    def __init__(
        self,
        backbone: TwoLevels,
        *,
        channels: int,
        skip_channels: int,
        num_ids: int,
        rates: tuple[int, ...],
    ):
        super().__init__()
        self.backbone = backbone
        self.reduce = _convolution(channels, REDUCED, kernel=1)
        self.branches = nn.ModuleList(
            _convolution(REDUCED, BRANCH, kernel=3, rate=rate) for rate in rates
        )
        self.skip = _convolution(skip_channels, SKIP, kernel=1)
        self.fuse = _convolution(BRANCH + SKIP, BRANCH, kernel=3)
        self.classifier = nn.Conv2d(BRANCH, num_ids, kernel_size=1)

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N h w"]:
        """Logits of background and classes at a stride of 4 pixels."""
        early, features = self.backbone.with_skip(images)
        reduced = self.reduce(features)
        context = torch.stack([branch(reduced) for branch in self.branches]).sum(dim=0)
        context = _resized(context, early.shape[2:])
        return self.classifier(self.fuse(torch.cat([context, self.skip(early)], dim=1)))

    def loss(
        self, images: Float[Tensor, "B 3 H W"], masks: UInt8[Tensor, "B H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Cross-entropy averaged over the pixels that are not ignored; 0 if all are."""
        logits = _resized(self.logits(images), masks.shape[1:])
        targets = masks.long()
        total = functional.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")
        return {"ce": total / (targets != IGNORE).sum().clamp(min=1)}

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N h w"]:
        """Softmax probabilities of background and classes at a stride of 4 pixels."""
        return self.logits(images).softmax(dim=1)


def _convolution(inputs: int, outputs: int, *, kernel: int, rate: int = 1) -> nn.Sequential:
    padding = rate * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _resized(grid: Tensor, size: tuple[int, ...]) -> Tensor:
    return functional.interpolate(grid, size=size, mode="bilinear", align_corners=False)
