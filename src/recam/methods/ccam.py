"""CCAM: class-agnostic maps of objects, learned from images without any label.

Xie et al., "C2AM: Contrastive Learning of Class-Agnostic Activation Map for Weakly Supervised
Object Localization and Semantic Segmentation", CVPR 2022. Each image is split softly into two
regions. Over a batch, the features of the two regions are made unlike each other, and those of the
same region in different images alike. The border tells afterwards which region shows the objects.

Axes: B images, C channels, H W pixels, h w feature grid.
"""

from typing import Protocol, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from recam.runtime.precision import to_float32, without_autocast

LIMITS = (0.0005, 0.9995)  # of a cosine before its logarithm (authors' code)

Vectors = Float[Tensor, "B C"]
Regions = Float[Tensor, "B 1 h w"]


class _Levelled(Protocol):
    def with_levels(self, images: Tensor, /) -> tuple[list[Tensor], Tensor]: ...


class Ccam(nn.Module):
    """P = sigmoid(BN(conv(f))), the map of one region; 1 - P is that of the other.

    f are the final features and the last level but one, at the grid of the final ones. A 3x3
    convolution without bias has one output. Cost: one forward pass a view.

    >>> from recam.models.backbones import TorchvisionResNet
    >>> backbone = TorchvisionResNet("resnet18", output_stride=16)
    >>> ccam = Ccam(backbone, channels=512 + 256, rank_decay=0.25)
    >>> ccam.maps(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 1, 2, 2])
    """

    def __init__(self, backbone: nn.Module, *, channels: int, rank_decay: float):
        super().__init__()
        self.backbone = backbone
        self.rank_decay = rank_decay
        convolution = nn.Conv2d(channels, 1, kernel_size=3, padding=1, bias=False)
        self.region_head = nn.Sequential(convolution, nn.BatchNorm2d(1), nn.Sigmoid())

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> Regions:
        """P, in [0, 1]: of objects or of the background, see ``shows_background``."""
        return self._regions(images)[0]

    def loss(
        self,
        images: Float[Tensor, "B 3 H W"],
        labels: Tensor,  # noqa: ARG002 learned without labels
    ) -> dict[str, Tensor]:
        """The losses between the regions and within each, over the images of a batch.

        Each of several devices compares the images of its own part of the batch.
        """
        regions, features = self._regions(images)
        with without_autocast(features):
            first, second = pooled(features, regions), pooled(features, 1 - regions)
            return {
                "between": unlike_loss(first, second),
                "within": alike_loss(first, rank_decay=self.rank_decay)
                + alike_loss(second, rank_decay=self.rank_decay),
            }

    def _regions(self, images: Tensor) -> tuple[Tensor, Tensor]:
        levels, final = cast(_Levelled, self.backbone).with_levels(images)
        height, width = final.shape[2:]
        early = functional.adaptive_avg_pool2d(levels[-2], (height, width))
        features = to_float32(torch.cat([final, early], dim=1))
        with without_autocast(features):
            return self.region_head(features), features


def pooled(features: Float[Tensor, "B C h w"], regions: Regions) -> Vectors:
    """The spatial mean of the features times the map of a region."""
    return (features * regions).mean(dim=(2, 3))


def unlike_loss(first: Vectors, second: Vectors) -> Float[Tensor, ""]:
    """The mean of -log(1 - cosine) over all pairs of a first and a second region."""
    return -torch.log(1 - _cosines(first, second).clamp(*LIMITS)).mean()


def alike_loss(vectors: Vectors, *, rank_decay: float) -> Float[Tensor, ""]:
    """The mean of -w log(cosine) over all pairs of images, for one region.

    w = exp(-rank_decay · rank): the rank of an image among the neighbours of another one is 0 for
    the most alike. An image has rank -1 in its own row, which adds a constant.
    """
    cosines = _cosines(vectors, vectors)
    order = cosines.detach().fill_diagonal_(2).argsort(dim=1, descending=True)
    rank = order.argsort(dim=1) - 1
    return -(torch.exp(-rank_decay * rank) * torch.log(cosines.clamp(*LIMITS))).mean()


def shows_background(maps: Float[Tensor, "*B h w"]) -> Bool[Tensor, ""]:
    """Whether P is the background: its mean on the border exceeds that of the rest.

    Photographs are framed so that their border shows background more often than objects. The rule
    decides by most images, once for a split. Maps without a rest are all border: False.
    """
    inner = maps[..., 1:-1, 1:-1]
    if not inner.numel():
        return torch.tensor(data=False)
    border = (maps.sum() - inner.sum()) / (maps.numel() - inner.numel())
    return border > inner.mean()


def _cosines(first: Vectors, second: Vectors) -> Float[Tensor, "B B"]:
    return functional.normalize(first) @ functional.normalize(second).T
