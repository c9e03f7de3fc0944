"""The backbone whose features or attention the refiner `affinity` reads."""

from collections.abc import Iterator
from pathlib import Path

from torch import device as Device  # noqa: N812 a type

from recam.catalogue.backbones import make_backbone
from recam.catalogue.methods import load_classifier
from recam.catalogue.names import SUPERVISED, needs_affinity
from recam.core.errors import UserError
from recam.data.layout import require_classes
from recam.io.checkpoints import ModelConfig
from recam.models.backbones import Backbone, backbone_of
from recam.models.initialisation import seeded_initialisation
from recam.models.tokens import TokenBackbone, place_of_trial
from recam.models.weights import load_weights
from recam.pipeline.pseudo_masks import MIB
from recam.refine.affinity_refiner import Affinity, AttentionAffinity, FeatureAffinity
from recam.steps.params import Experiment
from recam.steps.sections.make_pseudo import MakePseudo


def affinity_of(
    numbers: MakePseudo, classifier: Path | None, classes: tuple[str, ...], device: Device
) -> Affinity | None:
    """The affinity that the refiner reads, or None for other refiners.

    ``classifier`` is that of the method. Raises UserError where it is needed and missing, or has
    other classes, and for a backbone that lacks attention or a level.
    """
    if not needs_affinity(numbers.refiner):
        return None
    backbone = _trained(classifier, classes) if numbers.needs_classifier else _named(numbers)
    for error in _lacks(backbone, numbers):
        raise UserError(error)
    return affinity_on(backbone.eval().to(device), numbers)


def affinity_on(backbone: Backbone, numbers: MakePseudo) -> Affinity:
    """The affinity of this backbone, in eval mode, with the numbers of the step."""
    kinds = {
        "features": FeatureAffinity(
            levels=numbers.affinity_levels,
            power=numbers.affinity_power,
            steps=numbers.affinity_steps,
        ),
        "attention": AttentionAffinity(box=numbers.affinity_box),
    }
    return Affinity(
        backbone,
        kinds[numbers.affinity],
        scale=numbers.affinity_scale,
        memory=numbers.memory * MIB,
    )


def untrained_affinity(
    numbers: MakePseudo, classifier: ModelConfig, device: Device
) -> Affinity | None:
    """As ``affinity_of``, with random weights, to measure time; the backbone of ``classifier``."""
    if not needs_affinity(numbers.refiner):
        return None
    config = classifier
    if not numbers.needs_classifier:
        config = _config(numbers.affinity_backbone, numbers.affinity_output_stride)
    return affinity_on(make_backbone(config).eval().to(device), numbers)


def affinity_errors(numbers: Experiment) -> Iterator[str]:
    """An error for each backbone that cannot be built, or lacks attention or a level."""
    pseudo, cam = numbers.make_pseudo, numbers.train_cam
    networks = [(pseudo.affinity_backbone, pseudo.affinity_output_stride)]
    if pseudo.needs_classifier:  # of each method, whose tower may be that of CLIP
        networks = [cam.network_of(method) for method in numbers.methods if method != SUPERVISED]
    for name, stride in dict.fromkeys(networks):
        try:
            with place_of_trial(name):
                backbone = make_backbone(_config(name, stride))
        except UserError as error:
            yield f"make_pseudo: {error}"
        else:
            yield from _lacks(backbone, pseudo)


def _trained(classifier: Path | None, classes: tuple[str, ...]) -> Backbone:
    if classifier is None:
        raise UserError(
            "--classifier: affinities of the classifier expect its checkpoint, got none; pass the "
            "classifier.pt of the method, or set affinity_backbone to a name"
        )
    model, known = load_classifier(classifier)
    require_classes(known, classes, source=classifier)
    return backbone_of(model)


def _named(numbers: MakePseudo) -> Backbone:
    name = numbers.affinity_backbone
    with seeded_initialisation(0, "affinity"):
        backbone = make_backbone(_config(name, numbers.affinity_output_stride))
    load_weights(backbone, name=name, weights=numbers.affinity_weights)
    return backbone


def _config(name: str, output_stride: int) -> ModelConfig:
    return ModelConfig(
        method="affinity",
        backbone=name,
        output_stride=output_stride,
        classes=(),
        frozen_batch_norm=False,
        frozen_stem=False,
    )


def _lacks(backbone: Backbone, numbers: MakePseudo) -> Iterator[str]:
    if numbers.affinity == "attention":
        if not isinstance(backbone, TokenBackbone):
            yield (
                "make_pseudo.affinity: attention expects a transformer, got a convolutional "
                "backbone; set affinity: features, or affinity_backbone to a vit_ or deit_ network"
            )
        return
    count = len(backbone.level_channels)
    for level in numbers.affinity_levels:
        if not -count <= level < count:
            yield (
                f"make_pseudo.affinity_levels: expected levels from {-count} to {count - 1} of "
                f"this backbone, got {level}; correct it"
            )
