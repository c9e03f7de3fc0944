"""Refiners by name: each takes score maps (B, n, H, W) and pixels in [0, 1] (B, 3, H, W)."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from recam.refine.none import unrefined
from recam.refine.pamr import pamr

Refiner = Callable[[Tensor, Tensor], Tensor]

REFINERS: dict[str, Callable[[tuple[int, ...], int], Refiner]] = {
    "none": lambda dilations, iterations: unrefined,  # noqa: ARG005 one signature for all
    "pamr": lambda dilations, iterations: partial(pamr, dilations=dilations, iterations=iterations),
}


def make_refiner(name: str, *, dilations: tuple[int, ...], iterations: int) -> Refiner:
    """The refiner of that name with its numbers set."""
    return REFINERS[name](dilations, iterations)
