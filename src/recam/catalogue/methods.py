"""Methods by name: how a classifier is trained, whether it is re-activated, how its maps are read.

The name of a method joins a key of each dictionary by ``-``; see ``recam.catalogue.names.METHODS``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from recam.catalogue.backbones import make_backbone
from recam.catalogue.names import METHODS
from recam.io.checkpoints import ModelConfig, load_checkpoint
from recam.methods.advcam import AdvCam, Climb
from recam.methods.cam import Cam
from recam.methods.gradient_maps import (
    GradientRule,
    grad_cam,
    grad_cam_plus_plus,
    gradient_readout,
    layer_cam,
)
from recam.methods.lpcam import Prototypes, lpcam
from recam.methods.recam import MEAN, ReCam
from recam.methods.seam import Seam
from recam.methods.variant import Readout, Variant, Weights, both_views
from recam.models.backbones import Backbone, backbone_of

# How the classifier is trained: from a backbone and the configuration to a variant.
TRAININGS: dict[str, Callable[[Backbone, ModelConfig], Variant]] = {
    "cam": lambda backbone, config: Cam(
        backbone, channels=backbone.channels, num_classes=len(config.classes)
    ),
    "seam": lambda backbone, config: Seam(
        backbone, num_classes=len(config.classes), scale=config.view_scale, pcm=config.pcm
    ),
}
# From a trained variant to the network of stage two; `control` trains as long as `recam`, with the
# variant's own losses.
REACTIVATIONS: dict[str, Callable[[Variant, float], Variant]] = {
    "control": lambda variant, weight: variant,  # noqa: ARG005 one signature for all
    "recam": lambda variant, weight: ReCam(variant, weight=weight),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadoutNumbers:
    """Parameters of all read-outs; each uses its own."""

    combine: str  # of W and V; of ReCAM only
    levels: tuple[int, ...]  # from -1, the final features, to finer ones; of gradients
    advcam_weights: str  # the classifier that is climbed: a name in COMBINATIONS
    advcam: Climb
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
        model, prototypes_in(numbers), fallback=own_maps(model, numbers)
    ),
}


def make_classifier(model_config: ModelConfig) -> Variant:
    """The network of a classification checkpoint, with fresh weights."""
    method = METHODS[model_config.method]
    variant = TRAININGS[method.training](make_backbone(model_config), model_config)
    if not method.reactivation:
        return variant
    return REACTIVATIONS[method.reactivation](variant, model_config.weight)


def load_classifier(path: Path) -> tuple[Variant, tuple[str, ...]]:
    """The trained classifier of a checkpoint, in eval mode on the CPU, and its classes."""
    tensors, model_config = load_checkpoint(path)
    model = make_classifier(model_config)
    model.load_state_dict(tensors)
    return model.to(memory_format=torch.channels_last).eval(), model_config.classes


def make_readout(method: str, model: Variant, numbers: ReadoutNumbers) -> Readout:
    """The read-out of a method, of its trained classifier."""
    if readout := METHODS[method].readout:
        return READOUTS[readout](model, numbers)
    return own_maps(model, numbers)


def own_maps(model: Variant, numbers: ReadoutNumbers) -> Readout:
    """The maps of a classifier without a read-out."""
    if isinstance(model, ReCam):
        return both_views(partial(model.maps, combine=numbers.combine))
    return both_views(model.maps)


def prototypes_in(numbers: ReadoutNumbers) -> Prototypes:
    """The prototypes of LPCAM. Raises TypeError where the numbers have none."""
    if numbers.prototypes is None:
        raise TypeError("LPCAM needs prototypes, which make_clusters finds")
    return numbers.prototypes


def weights_of(model: Variant, combine: str) -> Weights:
    """The linear classifier whose evidence a read-out follows: W, or its combination with V.

    ``mean`` is of maps and not of weights; ``product`` takes its place.
    """
    if not isinstance(model, ReCam):
        return model.weights
    return model.combined("product" if combine == MEAN else combine)


def _by_gradients(model: Variant, numbers: ReadoutNumbers, rule: GradientRule) -> Readout:
    weights = weights_of(model, numbers.combine)
    return gradient_readout(backbone_of(model), weights, rule, levels=numbers.levels)
