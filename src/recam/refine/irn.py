"""IRN: a network that learns the borders of objects from confident pixels.

Ahn, Cho & Kwak, "Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations",
CVPR 2019. Pairs of nearby confident pixels, of the same class or of different classes, supervise
two heads on the features of a frozen backbone: edges, which a path between pixels of different
classes must cross, and displacements from each pixel to the centre of its object. Masks need the
edges only (section 5.2); displacements separate objects of one class.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from recam.core.labels import BACKGROUND, IGNORE
from recam.refine.affinities import (
    STRIDE,
    pair_affinities,
    pair_offsets,
    pair_sources,
    pair_targets,
)
from recam.runtime.distributed import all_reduce_sum, processes
from recam.runtime.precision import to_float32

EDGE_WIDTH = 32  # channels of each level in the edge head; this and the next five: authors' code
FINE_WIDTH = 64  # channels of the first fine level in the displacement head; doubled at each next
WIDTH = 256  # channels of its coarse levels
GROUP, GROUPS = 8, 16  # group norm: channels in a group, and the largest number of groups
EPSILON = 1e-5  # keeps logarithms and quotients finite
MOMENTUM = 0.1  # of the running mean of displacements


@runtime_checkable  # the tests check types at run time
class Levels(Protocol):
    """A backbone with the features of every level, the finest first."""

    level_channels: tuple[int, ...]
    level_strides: tuple[int, ...]

    def levels(self, images: Float[Tensor, "B 3 H W"], /) -> list[Tensor]:
        """Features (B, c, h, w) by level."""
        ...

    def normalise(self, pixels: Float[Tensor, "B 3 H W"], /) -> Float[Tensor, "B 3 H W"]:
        """The input of ``levels`` for pixels in [0, 1]."""
        ...


class Irn(nn.Module):
    """Edges and displacements at stride 4, on a frozen backbone, whose levels may be coarser.

    ``radius`` is the reach of training pairs, in cells of 4 pixels.
    """

    def __init__(self, backbone: Levels, *, radius: int):
        super().__init__()
        if not isinstance(backbone, nn.Module):
            raise TypeError(f"expected a module, got {type(backbone).__name__}")
        self.backbone = backbone.requires_grad_(requires_grad=False)
        self.radius = radius
        self.edge_head = EdgeHead(backbone.level_channels, backbone.level_strides)
        self.displacement_head = DisplacementHead(backbone.level_channels, backbone.level_strides)

    def train(self, mode: bool = True) -> "Irn":
        """Set the mode of the heads; the backbone stays in eval mode, batch norms included."""
        super().train(mode)
        self.backbone.eval()
        return self

    def edges(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w"]:
        """Edge probabilities in [0, 1], averaged over normalised images and their mirror images."""
        plain, mirrored = self.edge_head(self._levels(torch.cat([images, images.flip(3)]))).chunk(2)
        edges = ((plain + mirrored.flip(2)) / 2).sigmoid()
        if min(self.backbone.level_strides) <= STRIDE:
            return edges
        # Grids of a backbone that resizes its images, such as a transformer, cover the whole image.
        size = [math.ceil(side / STRIDE) for side in images.shape[2:]]
        return functional.interpolate(edges[:, None], size=size, mode="bilinear")[:, 0]

    def displacements(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 2 h w"]:
        """Displacements, in cells, to the centre of each cell's object: rows, then columns."""
        return self.displacement_head(self._levels(images))

    def loss(
        self, images: Float[Tensor, "B 3 H W"], masks: UInt8[Tensor, "B H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The losses of sections 4.3 and 4.4 over all pairs of the batch; their sum is minimised.

        ``masks`` hold the ids of confident pixels, 255 elsewhere. The loss of a kind of pairs
        without any pair is 0.
        """
        features = self._levels(images)
        edges = self.edge_head(features).sigmoid()
        displacements = self.displacement_head(features)
        pairs = confident_pairs(reduced(masks, size=edges.shape[1:]), radius=self.radius)
        affinities = pair_affinities(edges, radius=self.radius)
        attraction, repulsion = (affinities + EPSILON).log(), (1 + EPSILON - affinities).log()
        differences, offsets = displacement_differences(displacements, radius=self.radius)
        return {
            "alike": -(_mean(attraction, pairs.object) + _mean(attraction, pairs.background)) / 4,
            "different": -_mean(repulsion, pairs.different) / 2,
            "centre": _mean((differences - offsets).abs().sum(1), pairs.object) / 4,
            "still": _mean(differences.abs().sum(1), pairs.background) / 4,
        }

    def _levels(self, images: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return self.backbone.levels(images)


def edges_of(irn: Irn, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w"]:
    """Edge probabilities in [0, 1] of images whose pixels are in [0, 1], at stride 4."""
    return irn.edges(irn.backbone.normalise(pixels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs of confident pixels: of one object class, of background, or of different classes.

    Pairs are in the order of ``pair_targets``.
    """

    object: Bool[Tensor, "B offsets y x"]
    background: Bool[Tensor, "B offsets y x"]
    different: Bool[Tensor, "B offsets y x"]


def confident_pairs(masks: UInt8[Tensor, "B h w"], *, radius: int) -> Pairs:
    """The pairs of a grid of ids, without those that have an ignored pixel (255). Section 4.2."""
    first, second = pair_sources(masks, radius=radius)[:, None], pair_targets(masks, radius=radius)
    both = (first != IGNORE) & (second != IGNORE)
    same, empty = first == second, first == BACKGROUND
    return Pairs(
        object=both & same & ~empty, background=both & same & empty, different=both & ~same
    )


def displacement_differences(
    displacements: Float[Tensor, "B 2 h w"], *, radius: int
) -> tuple[Float[Tensor, "B 2 offsets y x"], Float[Tensor, "2 offsets 1 1"]]:
    """The difference of two neighbours' displacements, and the offset between the neighbours.

    Inside one object both point to the same centre, so the two are equal (section 4.3).
    """
    rows_and_columns = [
        pair_sources(d, radius=radius)[:, None] - pair_targets(d, radius=radius)
        for d in displacements.unbind(1)
    ]
    offsets = displacements.new_tensor(pair_offsets(radius)).T[..., None, None]
    return torch.stack(rows_and_columns, dim=1), offsets


class EdgeHead(nn.Module):
    """Edge logits (B, h, w) at stride 4 from the features of all levels."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...]):
        super().__init__()
        self.levels = nn.ModuleList(
            _Level(c, EDGE_WIDTH, stride=s, target=STRIDE)
            for c, s in zip(channels, strides, strict=True)
        )
        self.join = nn.Conv2d(EDGE_WIDTH * len(channels), 1, kernel_size=1)

    def forward(self, features: list[Tensor]) -> Float[Tensor, "B h w"]:
        """One logit for each cell, in float32."""
        return to_float32(self.join(_joined(self.levels, features))[:, 0])


class DisplacementHead(nn.Module):
    """Displacements (B, 2, h, w) at stride 4; coarse levels are joined first.

    Training keeps a running mean of the displacements. In eval mode it is subtracted, so that their
    mean over a data set is zero (section 4.3).
    """

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...]):
        super().__init__()
        levels = list(zip(channels, strides, strict=True))
        fine = [c for c, s in levels if s <= STRIDE]
        coarse = [(c, s) for c, s in levels if s > STRIDE]
        widths = [FINE_WIDTH * 2**i for i in range(len(fine))]
        coarsest_kept = min(s for _, s in coarse)
        self.fine = nn.ModuleList(
            _Level(c, width, stride=s, target=STRIDE)
            for (c, s), width in zip(levels, widths, strict=False)
        )
        self.coarse = nn.ModuleList(
            _Level(c, WIDTH, stride=s, target=coarsest_kept) for c, s in coarse
        )
        self.up = _Level(WIDTH * len(coarse), WIDTH, stride=coarsest_kept, target=STRIDE)
        self.join = _Level(sum(widths) + WIDTH, WIDTH, stride=STRIDE, target=STRIDE)
        self.last = nn.Conv2d(WIDTH, 2, kernel_size=1, bias=False)
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, features: list[Tensor]) -> Float[Tensor, "B 2 h w"]:
        """Displacements in cells, float32: rows down, then columns to the right."""
        fine, coarse = features[: len(self.fine)], features[len(self.fine) :]
        joined = self.up(_joined(self.coarse, coarse))
        finest = [level(f) for level, f in zip(self.fine, fine, strict=True)]
        displacements = to_float32(self.last(self.join(_fitted([*finest, joined]))))
        if not self.training:
            return displacements - self.mean[:, None, None]
        with torch.no_grad():
            of_all = all_reduce_sum(displacements.mean((0, 2, 3))) / processes()
            self.mean.lerp_(of_all, MOMENTUM)
        return displacements


class _Level(nn.Module):
    """A 1x1 convolution, group norm and ReLU, brought from one stride to another."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, target: int):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
        self.norm = nn.GroupNorm(min(GROUPS, outputs // GROUP), outputs)
        self.stride = stride
        self.target = target

    def forward(self, features: Tensor) -> Tensor:
        normed = self.norm(self.convolution(features))
        if self.stride < self.target:
            normed = functional.avg_pool2d(normed, self.target // self.stride, ceil_mode=True)
        elif self.stride > self.target:
            size = [round(side * self.stride / self.target) for side in normed.shape[2:]]
            normed = functional.interpolate(normed, size=size, mode="bilinear")
        return normed.relu()


def _joined(levels: Iterable[nn.Module], features: list[Tensor]) -> Tensor:
    return _fitted([level(f) for level, f in zip(levels, features, strict=True)])


def _fitted(grids: list[Tensor]) -> Tensor:
    """Concatenate grids of one stride; rows and columns that scaling added are cut off."""
    height, width = (min(grid.shape[axis] for grid in grids) for axis in (2, 3))
    return torch.cat([grid[:, :, :height, :width] for grid in grids], dim=1)


def reduced(masks: UInt8[Tensor, "B H W"], *, size: Sequence[int]) -> UInt8[Tensor, "B h w"]:
    """Masks on a coarser grid: the id at the centre of each cell."""
    shrunk = functional.interpolate(masks[:, None].float(), size=list(size), mode="nearest-exact")
    return shrunk[:, 0].to(torch.uint8)


def _mean(values: Tensor, which: Bool[Tensor, "..."]) -> Float[Tensor, ""]:
    """The mean over the pairs of all ranks that share the batch (see ``cross_entropy``)."""
    return (values * which).sum() * processes() / (all_reduce_sum(which.sum()) + EPSILON)
