"""The default segmenter: a small DeepLab that trains in minutes on a CPU."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recam.models.segmenters import Segmenter, resized

REDUCED = 128  # channels of the features before the atrous branches
BRANCH = 64  # channels of each branch and of the fused level
SKIP = 32  # channels of the early level after reduction


@runtime_checkable  # the tests check types at run time
class TwoLevels(Protocol):
    """A module with an early, finer level besides its features, such as a backbone."""

    def with_skip(self, images: Float[Tensor, "B 3 H W"], /) -> tuple[Tensor, Tensor]:
        """The early level, at stride 4, and the features."""
        ...


class DeepLab(Segmenter):
    """Atrous branches on the backbone's features, and a decoder on its level at stride 4.

    The branches are summed as in DeepLabV2 (Chen et al., PAMI 2018); the decoder with an early
    level is that of DeepLabV3+ (Chen et al., ECCV 2018), narrowed for small images.
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
        """Logits of background and classes at stride 4."""
        early, features = self.backbone.with_skip(images)
        reduced = self.reduce(features)
        context = torch.stack([branch(reduced) for branch in self.branches]).sum(dim=0)
        context = resized(context, early.shape[2:])
        return self.classifier(self.fuse(torch.cat([context, self.skip(early)], dim=1)))


def _convolution(inputs: int, outputs: int, *, kernel: int, rate: int = 1) -> nn.Sequential:
    padding = rate * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
