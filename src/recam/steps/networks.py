"""Whether the networks of an experiment can be built, found out before its first step.

Names are compared with timm's source text, in every dry run, too. Listed backbones have every
stride; others are built once, which takes seconds, when a run starts; transformers without memory
for their tensors.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext

from recam.catalogue.names import (
    LISTED,
    METHODS,
    needs_class_tokens,
    needs_irn,
    needs_texts,
    networks_of_timm,
    no_class_tokens,
    unknown,
)
from recam.core.errors import UserError
from recam.steps.params import Experiment
from recam.steps.sections.shared import Section

CLASSES = ("any",)  # their number does not matter to a backbone


def name_errors(numbers: Experiment) -> Iterator[str]:
    """An error for each backbone that neither this project nor timm has; imports no PyTorch."""
    named = {"train_cam": numbers.train_cam.backbone, "train_seg": numbers.train_seg.backbone}
    if needs_irn(numbers.make_pseudo.refiner):
        named["train_irn"] = numbers.train_irn.backbone
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
    is_listed = numbers.train_seg.segmenter in ("deeplab", "deeplabv2")
    if numbers.train_seg.backbone not in LISTED or not is_listed:
        yield from _errors("train_seg", numbers.train_seg, method=numbers.train_seg.segmenter)
    if numbers.train_cam.backbone not in LISTED:
        joined = [method for method in numbers.methods if needs_class_tokens(method)]
        trainings = {METHODS[method].training for method in joined}
        for training in trainings or [""]:
            yield from _errors("train_cam", numbers.train_cam, method=training)
    if needs_irn(numbers.make_pseudo.refiner) and numbers.train_irn.backbone not in LISTED:
        yield from _errors("train_irn", numbers.train_irn)


def _errors(name: str, section: Section, *, method: str = "") -> Iterator[str]:
    import torch  # noqa: PLC0415 takes seconds

    from recam.catalogue.backbones import make_backbone  # noqa: PLC0415 imports PyTorch
    from recam.catalogue.methods import make_classifier  # noqa: PLC0415 imports PyTorch
    from recam.catalogue.segmenters import make_segmenter  # noqa: PLC0415 imports PyTorch
    from recam.io.checkpoints import ModelConfig  # noqa: PLC0415 imports PyTorch
    from recam.models.tokens import has_tokens  # noqa: PLC0415 imports PyTorch

    build: Callable[[ModelConfig], object] = make_backbone
    if method:
        build = make_classifier if method in METHODS else make_segmenter
    given = section.model_dump()
    config = ModelConfig(
        method=method,
        backbone=given["backbone"],
        output_stride=given["output_stride"],
        classes=CLASSES,
        frozen_batch_norm=False,
        frozen_stem=False,
        rates=tuple(given.get("rates", ())),
    )
    # Building a transformer runs no image, so that its tensors need no values.
    place = torch.device("meta") if has_tokens(config.backbone) else nullcontext()
    try:
        with place:
            build(config)
    except UserError as error:
        yield f"{name}: {error}"
