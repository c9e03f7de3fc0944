"""Refiners: how maps are fitted to their images, and the network that some of them need."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from recam.artifacts import Blueprint
from recam.build.backbones import make_backbone
from recam.build.names import REFINERS
from recam.inference import normalise
from recam.models.backbones import backbone_of
from recam.refine.irn import STRIDE, Irn
from recam.refine.none import unrefined
from recam.refine.pamr import pamr
from recam.refine.walk import walk_bytes, walked
from recam.refining import Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Pamr:
    """The numbers of PAMR: distances of neighbours in pixels, and rounds."""

    dilations: tuple[int, ...]
    iterations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The numbers of IRN's random walk: reach in cells of 4 pixels, beta, and steps."""

    radius: int
    power: float
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadNumbers:
    """What a way to spread maps is made of; each takes its own."""

    pamr: Pamr
    walk: Walk
    irn: Irn | None  # trained, for those that walk


# By the first of the two parts in recam.build.names.REFINERS.
SPREADS: dict[str, Callable[[SpreadNumbers], Spread]] = {
    "none": lambda numbers: unrefined,  # noqa: ARG005 one signature for all
    "pamr": lambda numbers: _pamr(numbers.pamr),
    "irn": lambda numbers: _irn(numbers.irn, numbers.walk),
}


def make_spread(refiner: str, numbers: SpreadNumbers) -> Spread:
    """How the refiner of that name spreads maps over images, its CRF left out."""
    return SPREADS[REFINERS[refiner].spread](numbers)


def make_irn(blueprint: Blueprint) -> Irn:
    """The network of an IRN checkpoint, with fresh weights."""
    return Irn(make_backbone(blueprint), radius=blueprint.radius)


def _pamr(numbers: Pamr) -> Spread:
    return lambda scores, pixels: pamr(
        scores, pixels, dilations=numbers.dilations, iterations=numbers.iterations
    )


def _irn(irn: Irn | None, numbers: Walk) -> Spread:
    if irn is None:
        raise TypeError("a walk needs a trained IRN")

    def spread(scores: Tensor, pixels: Tensor) -> Tensor:
        return walked(
            scores,
            edges_of(irn, pixels),
            radius=numbers.radius,
            power=numbers.power,
            steps=numbers.steps,
        )

    return spread


def edges_of(irn: Irn, pixels: Tensor) -> Tensor:
    """Edges (B, h, w) of images whose pixels (B, 3, H, W) are in [0, 1]."""
    backbone = backbone_of(irn)
    return irn.edges(normalise(pixels, mean=backbone.mean, std=backbone.std))


def bytes_of_walk(height: int, width: int, num_scores: int, *, radius: int) -> int:
    """What the random walk over one image of so many pixels takes at most."""
    rows, columns = (math.ceil(length / STRIDE) for length in (height, width))
    return walk_bytes(rows, columns, num_scores=num_scores, radius=radius)
