"""Read-outs by name: how maps are read from a trained classifier.

Only make_cams imports this file, so that a change of a read-out trains nothing again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from recam.catalogue.methods import weights_of
from recam.catalogue.names import METHODS
from recam.methods.advcam import AdvCam, Climb
from recam.methods.gradient_maps import (
    GradientRule,
    grad_cam,
    grad_cam_plus_plus,
    gradient_readout,
    layer_cam,
)
from recam.methods.lpcam import Prototypes, lpcam
from recam.methods.mctformer import Fusion, Mctformer
from recam.methods.recam import ReCam
from recam.methods.variant import Readout, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadoutNumbers:
    """Parameters of all read-outs; each uses its own."""

    combine: str  # of W and V; of ReCAM only
    levels: tuple[int, ...]  # from -1, the final features, to finer ones; of gradients
    advcam_weights: str  # the classifier that is climbed: a name in COMBINATIONS
    advcam: Climb
    fusion: Fusion  # of MCTformer only
    prototypes: Prototypes | None  # of LPCAM only


# How maps are read from a classifier; without one of these, its own maps of both views.
READOUTS: dict[str, Callable[[Variant, ReadoutNumbers], Readout]] = {
    "gradcam": lambda model, numbers: _by_gradients(model, numbers, grad_cam),
    "gradcampp": lambda model, numbers: _by_gradients(model, numbers, grad_cam_plus_plus),
    "layercam": lambda model, numbers: _by_gradients(model, numbers, layer_cam),
    "advcam": lambda model, numbers: AdvCam(
        model, weights_of(model, numbers.advcam_weights), numbers.advcam
    ),
    "lpcam": lambda model, numbers: lpcam(
        model, prototypes_in(numbers), fallback=own_maps(model, combine=numbers.combine)
    ),
}


def make_readout(method: str, model: Variant, numbers: ReadoutNumbers) -> Readout:
    """The read-out of a method, of its trained classifier."""
    variant = model.variant if isinstance(model, ReCam) else model
    if isinstance(variant, Mctformer):
        variant.fusion = numbers.fusion
    if readout := METHODS[method].readout:
        return READOUTS[readout](model, numbers)
    return own_maps(model, combine=numbers.combine)


def own_maps(model: Variant, *, combine: str) -> Readout:
    """The maps of a classifier without a read-out; ``combine`` is of ReCAM only."""
    return model.readout(combine=combine)


def prototypes_in(numbers: ReadoutNumbers) -> Prototypes:
    """The prototypes of LPCAM. Raises TypeError where the numbers have none."""
    if numbers.prototypes is None:
        raise TypeError("LPCAM needs prototypes, which make_clusters finds")
    return numbers.prototypes


def _by_gradients(model: Variant, numbers: ReadoutNumbers, rule: GradientRule) -> Readout:
    weights = weights_of(model, numbers.combine)
    return gradient_readout(model, weights, rule, levels=numbers.levels)
