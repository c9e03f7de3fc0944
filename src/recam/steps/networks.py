"""Whether the networks of an experiment can be built, found out before its first step.

Names are compared with timm's source text, in every dry run, too. Listed backbones have every
stride; others are built once, which takes seconds, when a run starts; transformers without memory
for their tensors.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from recam.catalogue.names import (
    LISTED,
    METHODS,
    needs_affinity,
    needs_class_tokens,
    needs_irn,
    needs_texts,
    networks_of_timm,
    no_class_tokens,
    unknown,
)
from recam.core.errors import UserError
from recam.steps.params import Experiment

CLASSES = ("any",)  # their number does not matter to a backbone


class _Network(NamedTuple):
    backbone: str
    output_stride: int
    method: str = ""  # of the classifier or segmenter on the backbone; empty for none
    rates: tuple[int, ...] = ()


def name_errors(numbers: Experiment) -> Iterator[str]:
    """An error for each backbone that neither this project nor timm has; imports no PyTorch."""
    named = {"train_cam": numbers.train_cam.backbone, "train_seg": numbers.train_seg.backbone}
    if needs_irn(numbers.make_pseudo.refiner):
        named["train_irn"] = numbers.train_irn.backbone
    pseudo = numbers.make_pseudo
    if needs_affinity(pseudo.refiner) and not pseudo.needs_classifier:
        named["make_pseudo.affinity_backbone"] = pseudo.affinity_backbone
    others = {name: backbone for name, backbone in named.items() if backbone not in LISTED}
    if any(map(needs_texts, numbers.methods)):
        others["train_cam.clip_tower"] = numbers.train_cam.clip_tower.partition(".")[0]
    known = networks_of_timm() if others else frozenset[str]()
    for name, backbone in others.items():
        if known and backbone.partition(".")[0] not in known:  # a tag names its weights
            yield f"{name}: {unknown('backbone', backbone, {*LISTED, *known})}"
    if numbers.train_cam.backbone in LISTED and any(map(needs_class_tokens, numbers.methods)):
        yield f"train_cam: {no_class_tokens(numbers.train_cam.backbone)}"


def network_errors(numbers: Experiment) -> Iterator[str]:
    """An error for each training whose backbone is unknown or lacks the output stride."""
    seg, cam, irn = numbers.train_seg, numbers.train_cam, numbers.train_irn
    is_listed = seg.segmenter in ("deeplab", "deeplabv2")
    if seg.backbone not in LISTED or not is_listed:
        network = _Network(seg.backbone, seg.output_stride, seg.segmenter, tuple(seg.rates))
        yield from _errors("train_seg", network)
    if cam.backbone not in LISTED:
        joined = [method for method in numbers.methods if needs_class_tokens(method)]
        for training in {METHODS[method].training for method in joined} or {""}:
            yield from _errors("train_cam", _Network(cam.backbone, cam.output_stride, training))
    for training in {METHODS[method].training for method in filter(needs_texts, numbers.methods)}:
        tower = _Network(*cam.network_of(training), training)
        yield from _errors("train_cam.clip_tower and clip_stride", tower)
    if needs_irn(numbers.make_pseudo.refiner) and irn.backbone not in LISTED:
        yield from _errors("train_irn", _Network(irn.backbone, irn.output_stride))
    if needs_affinity(numbers.make_pseudo.refiner):
        from recam.steps.affinity import affinity_errors  # noqa: PLC0415 imports PyTorch

        yield from affinity_errors(numbers)


def _errors(name: str, network: _Network) -> Iterator[str]:
    from recam.catalogue.backbones import make_backbone  # noqa: PLC0415 imports PyTorch, for seconds
    from recam.catalogue.methods import make_classifier  # noqa: PLC0415
    from recam.catalogue.segmenters import make_segmenter  # noqa: PLC0415
    from recam.io.checkpoints import ModelConfig  # noqa: PLC0415
    from recam.models.tokens import place_of_trial  # noqa: PLC0415

    build: Callable[[ModelConfig], object] = make_backbone
    if network.method:
        build = make_classifier if network.method in METHODS else make_segmenter
    config = ModelConfig(
        method=network.method,
        backbone=network.backbone,
        output_stride=network.output_stride,
        classes=CLASSES,
        frozen_batch_norm=False,
        frozen_stem=False,
        rates=network.rates,
    )
    try:
        with place_of_trial(network.backbone):
            build(config)
    except UserError as error:
        yield f"{name}: {error}"
