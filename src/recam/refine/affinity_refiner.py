"""The refiner `affinity`: score maps propagated by the features or the attention of a backbone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from recam.refine.affinities import STRIDE
from recam.refine.affinity import attended, attention_weights, block_for, feature_walk, joined
from recam.refine.interface import TINY
from recam.runtime.peak import META, peak_bytes, without_values

BLOCKS = tuple(range(-8, 0))  # whose attention is averaged: the last eight (authors' code)
SHRINK = 0.95  # further factor of a scale at which the image might just fit
LEAST_SIDE = 64  # pixels; an image is shrunk no further

Maps = Float[Tensor, "B n H W"]
Cells = Float[Tensor, "B n h w"]
Pixels = Float[Tensor, "B 3 H W"]
Images = Float[Tensor, "B 3 Y X"]  # pixels at the scale of the network


@runtime_checkable  # the tests check types at run time
class Features(Protocol):
    """A backbone that gives the features of its levels."""

    def with_levels(self, images: Images, /) -> tuple[list[Tensor], Tensor]:
        """Levels (B, c, h, w), the finest first, and the final features."""
        ...

    def normalise(self, pixels: Pixels, /) -> Pixels:
        """The input of the network for pixels in [0, 1]."""
        ...


@runtime_checkable
class Attending(Protocol):
    """A backbone of tokens that gives the attention between them."""

    def stream(self, images: Images, /, *, attention: Sequence[Sequence[int]]) -> Any:
        """A pass; its ``attention`` (B, T, T) ends with the tokens of its ``patches``."""
        ...

    def normalise(self, pixels: Pixels, /) -> Pixels:
        """The input of the network for pixels in [0, 1]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureAffinity:
    """Numbers of the affinity by features: a mean cosine's excess to a power, in some steps."""

    levels: tuple[int, ...]  # of the backbone; 0 is the finest, -1 the last before the features
    power: float
    steps: int

    def refined(self, backbone: nn.Module, scores: Maps, images: Images) -> Cells:
        """Maps on cells of 4 pixels, or of the finest level if that is coarser."""
        if not isinstance(backbone, Features):
            raise TypeError(f"expected a backbone with levels, got {type(backbone).__name__}")
        levels = backbone.with_levels(backbone.normalise(images))[0]
        chosen = [levels[number] for number in self.levels]
        del levels
        height, width = (
            min(math.ceil(length / STRIDE), max(grid.shape[axis] for grid in chosen))
            for axis, length in ((2, scores.shape[2]), (3, scores.shape[3]))
        )
        features = joined(chosen, size=(height, width))
        del chosen
        cells = functional.adaptive_avg_pool2d(scores, (height, width))
        return feature_walk(
            cells,
            features,
            power=self.power,
            steps=self.steps,
            block=block_for(height, width),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionAffinity:
    """Numbers of the affinity by attention: the score, relative to the peak, of boxes."""

    box: float

    def refined(self, backbone: nn.Module, scores: Maps, images: Images) -> Cells:
        """Maps on patches."""
        if not isinstance(backbone, Attending):
            raise TypeError(f"expected a transformer, got {type(backbone).__name__}")
        stream = backbone.stream(backbone.normalise(images), attention=[BLOCKS])
        size = stream.patches.shape[2:]
        patches = math.prod(size)
        attention: Tensor = stream.attention[0][:, -patches:, -patches:]
        del stream
        cells = functional.adaptive_avg_pool2d(scores, size)
        return attended(cells, attention_weights(attention), box=self.box)


class Affinity:
    """A backbone, in eval mode, and how it propagates maps.

    ``scale`` is that of the images that the network sees. It is lowered for images whose pass would
    take more than half of ``memory`` (bytes), since an allocator keeps some freed blocks. The
    largest score of each map becomes 1; a map of zeros stays zero.
    """

    def __init__(
        self,
        backbone: nn.Module,
        kind: FeatureAffinity | AttentionAffinity,
        *,
        scale: float,
        memory: int,
    ):
        self.backbone = backbone
        self.kind = kind
        self.scale = scale
        self.memory = memory
        self.sizes_only = without_values(backbone)
        self.scales: dict[tuple[int, int], float] = {}  # by height and width of images

    def __call__(self, scores: Maps, pixels: Pixels) -> Maps:
        """The propagated maps of images of one size, in [0, 1]."""
        return self._refined(self.backbone, scores, pixels)

    def need(self, height: int, width: int, num_scores: int) -> int:
        """The bytes that one image of that size takes, its scores and pixels included."""
        scores, pixels = (
            torch.empty(1, count, height, width, device=META) for count in (num_scores, 3)
        )
        self.scale_of(height, width)  # found first: it runs the network several times
        given = scores.nbytes + pixels.nbytes
        return given + peak_bytes(partial(self._refined, self.sizes_only, scores, pixels))

    def scale_of(self, height: int, width: int) -> float:
        """The scale of the network's image for an image of that size."""
        if (height, width) not in self.scales:
            scale, one = self.scale, torch.empty(1, 1, height, width, device=META)
            pixels = one.expand(1, 3, height, width)
            while (
                taken := peak_bytes(partial(self._cells, self.sizes_only, one, pixels, scale=scale))
            ) > self.memory // 2 and scale * min(height, width) > LEAST_SIDE:
                # Bytes grow as the square of the scale, those of attention as its fourth power.
                scale *= SHRINK * (self.memory / 2 / taken) ** 0.25
            self.scales[height, width] = scale
        return self.scales[height, width]

    def _refined(self, backbone: nn.Module, scores: Maps, pixels: Pixels) -> Maps:
        height, width = scores.shape[2:]
        scale = self.scale_of(height, width)
        cells = self._cells(backbone, scores, pixels, scale=scale)
        fine = functional.interpolate(cells, size=(height, width), mode="bilinear")
        return fine / fine.amax(dim=(2, 3), keepdim=True).clamp(min=TINY)

    def _cells(self, backbone: nn.Module, scores: Maps, pixels: Pixels, *, scale: float) -> Cells:
        size = [max(1, round(length * scale)) for length in pixels.shape[2:]]
        if size != list(pixels.shape[2:]):
            images = functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
            return self.kind.refined(backbone, scores, images)
        return self.kind.refined(backbone, scores, pixels)
