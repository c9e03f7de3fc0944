"""Backbones by name: torchvision's ResNets, and any convolutional network of timm."""

import timm

from recam.catalogue.names import unknown
from recam.io.checkpoints import ModelConfig
from recam.models.backbones import (
    TORCHVISION,
    Backbone,
    TimmBackbone,
    TorchvisionResNet,
    freeze_batch_norm,
)


def make_backbone(model_config: ModelConfig, *, dilated: bool = False) -> Backbone:
    """A backbone with fresh weights, frozen where the model_config says so.

    ``dilated`` is for torchvision's ResNets; networks of timm that can change their stride are
    always dilated where they lost strides. Raises UserError for an unknown name or a stride that
    it cannot have.
    """
    name = model_config.backbone
    if name in TORCHVISION:
        backbone = TorchvisionResNet(
            name, output_stride=model_config.output_stride, dilated=dilated
        )
    elif name in (known := timm.list_models()):
        backbone = TimmBackbone(name, output_stride=model_config.output_stride)
    else:
        raise unknown("backbone", name, {*TORCHVISION, *known})
    if model_config.frozen_batch_norm:
        freeze_batch_norm(backbone)
    if model_config.frozen_stem:
        backbone.freeze_stem()
    return backbone
