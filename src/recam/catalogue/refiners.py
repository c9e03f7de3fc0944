"""Refiners by name, and the network that some of them need."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from recam.catalogue.backbones import make_backbone
from recam.catalogue.names import REFINERS
from recam.io.checkpoints import ModelConfig
from recam.refine.affinities import STRIDE
from recam.refine.affinity_refiner import Affinity
from recam.refine.interface import Propagate
from recam.refine.irn import Irn, edges_of
from recam.refine.pamr import Pamr, pamr
from recam.refine.random_walk import Walk, walk_bytes, walked


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerNumbers:
    """Parameters of all refiners; each uses its own."""

    pamr: Pamr
    walk: Walk
    irn: Irn | None  # trained; of refiners with a random walk
    affinity: Affinity | None  # of refiners that read a backbone's features or attention


# By the first of the two parts in recam.catalogue.names.REFINERS.
PROPAGATORS: dict[str, Callable[[RefinerNumbers], Propagate]] = {
    "none": lambda numbers: lambda scores, pixels: scores,  # noqa: ARG005
    "pamr": lambda numbers: _pamr(numbers.pamr),
    "irn": lambda numbers: _irn(numbers.irn, numbers.walk),
    "affinity": lambda numbers: _affinity(numbers.affinity),
}


def make_propagator(refiner: str, numbers: RefinerNumbers) -> Propagate:
    """The propagation of the refiner of that name, without its CRF."""
    return PROPAGATORS[REFINERS[refiner].propagation](numbers)


def make_irn(model_config: ModelConfig) -> Irn:
    """The network of an IRN checkpoint, with fresh weights."""
    return Irn(make_backbone(model_config), radius=model_config.radius)


def _pamr(numbers: Pamr) -> Propagate:
    return lambda scores, pixels: pamr(
        scores, pixels, dilations=numbers.dilations, iterations=numbers.iterations
    )


def _irn(irn: Irn | None, numbers: Walk) -> Propagate:
    if irn is None:
        raise TypeError("a walk needs a trained IRN")

    def propagate(scores: Tensor, pixels: Tensor) -> Tensor:
        return walked(
            scores,
            edges_of(irn, pixels),
            radius=numbers.radius,
            power=numbers.power,
            steps=numbers.steps,
            cams_power=numbers.cams_power,
        )

    return propagate


def _affinity(affinity: Affinity | None) -> Propagate:
    if affinity is None:
        raise TypeError("affinities need a backbone")
    return affinity


def bytes_of_walk(height: int, width: int, num_scores: int, *, radius: int) -> int:
    """The most bytes that the random walk takes for one image of that size."""
    rows, columns = (math.ceil(length / STRIDE) for length in (height, width))
    return walk_bytes(rows, columns, num_scores=num_scores, radius=radius)
