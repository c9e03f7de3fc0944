"""Segmenters by name: networks that are trained with masks and give a score for every class."""

from collections.abc import Callable
from pathlib import Path

import timm
import torch

from recam.artifacts import Blueprint, load_checkpoint
from recam.build.backbones import make_backbone
from recam.build.names import unknown
from recam.errors import UserError
from recam.models.backbones import TORCHVISION, backbone_of, freeze_batch_norm
from recam.models.deeplab import DeepLab
from recam.models.deeplabv2 import DeepLabV2
from recam.models.segmenters import Segmenter
from recam.models.smp import ARCHITECTURES, SmpSegmenter

SMP = "smp/"  # what the names of smp's architectures begin with


def make_segmenter(blueprint: Blueprint) -> Segmenter:
    """The network of a segmentation checkpoint, with fresh weights.

    Raises UserError for an unknown name or a pair that does not work together.
    """
    if blueprint.method not in SEGMENTERS:
        raise unknown("segmenter", blueprint.method, SEGMENTERS)
    return SEGMENTERS[blueprint.method](blueprint)


def load_segmenter(path: Path) -> tuple[Segmenter, Blueprint]:
    """The trained segmenter of a checkpoint, ready to predict on the CPU.

    Raises UserError where the file holds another network.
    """
    tensors, blueprint = load_checkpoint(path)
    if blueprint.method not in SEGMENTERS:
        raise UserError(
            f"{path}: expected a segmenter, got a network of method {blueprint.method}; give a "
            "segmenter.pt, which train_seg makes"
        )
    model = make_segmenter(blueprint)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(
            f"{path}: its tensors do not fit the network that it describes; train it again with "
            "this version of recam"
        ) from error
    return model.to(memory_format=torch.channels_last).eval(), blueprint


def _deeplab(blueprint: Blueprint) -> DeepLab:
    backbone = make_backbone(blueprint)
    return DeepLab(
        backbone,
        channels=backbone.channels,
        skip_channels=backbone.skip_channels,
        num_ids=len(blueprint.classes) + 1,
        rates=blueprint.rates,
    )


def _deeplabv2(blueprint: Blueprint) -> DeepLabV2:
    backbone = make_backbone(blueprint, dilated=True)
    if blueprint.frozen_batch_norm:
        freeze_batch_norm(backbone, affine=True)  # as published: only convolutions train
    return DeepLabV2(
        backbone,
        channels=backbone.channels,
        num_ids=len(blueprint.classes) + 1,
        rates=blueprint.rates,
    )


def _smp(blueprint: Blueprint) -> SmpSegmenter:
    name = blueprint.backbone
    if name not in (known := {*TORCHVISION, *timm.list_models()}):
        raise unknown("backbone", name, known)
    model = SmpSegmenter(
        blueprint.method.removeprefix(SMP),
        name,
        output_stride=blueprint.output_stride,
        num_ids=len(blueprint.classes) + 1,
    )
    if blueprint.frozen_batch_norm:
        freeze_batch_norm(model.backbone)
    if blueprint.frozen_stem:
        backbone_of(model).freeze_stem()
    return model


SEGMENTERS: dict[str, Callable[[Blueprint], Segmenter]] = {
    "deeplab": _deeplab,
    "deeplabv2": _deeplabv2,
    **{f"{SMP}{name}": _smp for name in ARCHITECTURES},
}
