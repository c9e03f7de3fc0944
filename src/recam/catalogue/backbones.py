"""Backbones by name: those listed here, convolutional networks and transformers of timm."""

from collections.abc import Callable

from recam.catalogue.names import unknown
from recam.io.checkpoints import ModelConfig
from recam.models.backbones import Backbone, TimmBackbone, TorchvisionResNet, freeze_batch_norm
from recam.models.frozen import freeze
from recam.models.tokens import TokenBackbone, has_tokens


def make_backbone(model_config: ModelConfig, *, dilated: bool = False) -> Backbone:
    """A backbone with fresh weights, frozen as ``model_config`` says.

    ``dilated`` concerns torchvision's ResNets; a timm network that can change its stride always
    dilates the stages that lose it. Raises UserError for an unknown name or a stride that the
    network does not have.
    """
    name = model_config.backbone
    if name in BACKBONES:
        backbone = BACKBONES[name](model_config, dilated)
    else:
        backbone = _of_timm(model_config)
    if model_config.frozen_batch_norm:
        freeze_batch_norm(backbone)
    if model_config.frozen_stem:
        backbone.freeze_stem()
    if model_config.frozen_backbone:
        freeze(backbone)
    return backbone


def _of_timm(model_config: ModelConfig) -> Backbone:
    import timm  # noqa: PLC0415 slow to import

    name = model_config.backbone
    if name.partition(".")[0] not in (known := timm.list_models()):  # a tag names its weights
        raise unknown("backbone", name, {*BACKBONES, *known})
    kind = TokenBackbone if has_tokens(name) else TimmBackbone
    return kind(name, output_stride=model_config.output_stride)


def _lite(model_config: ModelConfig, dilated: bool) -> Backbone:  # noqa: ARG001 it always dilates
    return TimmBackbone(model_config.backbone, output_stride=model_config.output_stride)


def _torchvision(model_config: ModelConfig, dilated: bool) -> Backbone:
    return TorchvisionResNet(
        model_config.backbone, output_stride=model_config.output_stride, dilated=dilated
    )


BACKBONES: dict[str, Callable[[ModelConfig, bool], Backbone]] = {
    "tf_efficientnet_lite0": _lite,
    "resnet18": _torchvision,
    "resnet34": _torchvision,
    "resnet50": _torchvision,
    "resnet101": _torchvision,
}
