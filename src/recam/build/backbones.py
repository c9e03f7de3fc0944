"""Backbones by name: torchvision's ResNets, and any convolutional network of timm."""

import timm

from recam.artifacts import Blueprint
from recam.build.names import unknown
from recam.models.backbones import (
    TORCHVISION,
    Backbone,
    TimmBackbone,
    TorchvisionResNet,
    freeze_batch_norm,
)


def make_backbone(blueprint: Blueprint, *, dilated: bool = False) -> Backbone:
    """A backbone with fresh weights, frozen where the blueprint says so.

    ``dilated`` is for torchvision's ResNets; networks of timm that can change their stride are
    always dilated where they lost strides. Raises UserError for an unknown name or a stride that
    it cannot have.
    """
    name = blueprint.backbone
    if name in TORCHVISION:
        backbone = TorchvisionResNet(name, output_stride=blueprint.output_stride, dilated=dilated)
    elif name in (known := timm.list_models()):
        backbone = TimmBackbone(name, output_stride=blueprint.output_stride)
    else:
        raise unknown("backbone", name, {*TORCHVISION, *known})
    if blueprint.frozen_batch_norm:
        freeze_batch_norm(backbone)
    if blueprint.frozen_stem:
        backbone.freeze_stem()
    return backbone
