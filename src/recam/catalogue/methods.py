"""Classifiers by name: how one is trained, and whether it is re-activated.

The name of a method joins a key of each dictionary here and of ``recam.catalogue.readouts`` by
``-``; see ``recam.catalogue.names.METHODS``.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from recam.catalogue.backbones import make_backbone
from recam.catalogue.names import METHODS, no_class_tokens
from recam.io.checkpoints import ModelConfig, load_network
from recam.methods.cam import Cam
from recam.methods.clip_es import ClipEs
from recam.methods.eps import Eps
from recam.methods.mctformer import Mctformer
from recam.methods.recam import MEAN, ReCam
from recam.methods.seam import Seam
from recam.methods.variant import Variant, Weights
from recam.models.backbones import Backbone
from recam.models.tokens import TokenBackbone

# How the classifier is trained: from a backbone and the configuration to a variant.
TRAININGS: dict[str, Callable[[Backbone, ModelConfig], Variant]] = {
    "cam": lambda backbone, config: Cam(
        backbone, channels=backbone.channels, num_classes=len(config.classes)
    ),
    "seam": lambda backbone, config: Seam(
        backbone,
        num_classes=len(config.classes),
        scale=config.view_scale,
        pcm=config.pcm,
        weight=config.view_weight,
    ),
    "eps": lambda backbone, config: Eps(
        backbone, channels=backbone.channels, num_classes=len(config.classes)
    ),
    "clip_es": lambda backbone, config: ClipEs(
        backbone,
        num_classes=len(config.classes),
        num_background=config.background_texts,
        text_channels=config.text_channels,
    ),
    "mctformer": lambda backbone, config: Mctformer(
        _with_class_tokens(backbone, config),
        num_classes=len(config.classes),
        contrast=config.contrast,
    ),
}
# From a trained variant to the network of stage two; `control` trains as long as `recam`, with the
# variant's own losses.
REACTIVATIONS: dict[str, Callable[[Variant, float], Variant]] = {
    "control": lambda variant, weight: variant,  # noqa: ARG005 one signature for all
    "recam": lambda variant, weight: ReCam(variant, weight=weight),
}


def _with_class_tokens(backbone: Backbone, config: ModelConfig) -> TokenBackbone:
    """The backbone, if class tokens can join it; otherwise UserError."""
    if isinstance(backbone, TokenBackbone) and not getattr(backbone.network, "rope", None):
        return backbone
    raise no_class_tokens(config.backbone)


def make_classifier(model_config: ModelConfig) -> Variant:
    """The network of a classification checkpoint, with fresh weights."""
    method = METHODS[model_config.method]
    variant = TRAININGS[method.training](make_backbone(model_config), model_config)
    if not method.reactivation:
        return variant
    return REACTIVATIONS[method.reactivation](variant, model_config.weight)


def load_classifier(path: Path) -> tuple[Variant, tuple[str, ...]]:
    """The trained classifier of a checkpoint, in eval mode on the CPU, and its classes.

    Raises UserError where the file holds another network.
    """
    model, model_config = load_network(
        path,
        make_classifier,
        methods=METHODS,
        expected="a classifier",
        give="a classifier.pt, which train_cam or train_recam makes",
    )
    return model.to(memory_format=torch.channels_last).eval(), model_config.classes


def weights_of(model: Variant, combine: str) -> Weights:
    """The linear classifier whose evidence a read-out follows: W, or its combination with V.

    ``mean`` is of maps and not of weights; ``product`` takes its place.
    """
    if not isinstance(model, ReCam):
        return model.weights
    return model.combined("product" if combine == MEAN else combine)
