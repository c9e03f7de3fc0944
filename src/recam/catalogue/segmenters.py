"""Segmenters by name: networks that train on masks and give logits of every class."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from recam.catalogue.backbones import make_backbone
from recam.catalogue.names import unknown
from recam.io.checkpoints import ModelConfig, load_network
from recam.models.backbones import (
    TORCHVISION,
    Backbone,
    TorchvisionResNet,
    backbone_of,
    freeze_batch_norm,
    no_early_level,
)
from recam.models.deeplab import DeepLab
from recam.models.deeplabv2 import DeepLabV2
from recam.models.light import Linear, TokenDecoder
from recam.models.segmenters import Segmenter
from recam.models.smp import SmpSegmenter

SMP = "smp/"  # what the names of smp's architectures begin with


def make_segmenter(model_config: ModelConfig) -> Segmenter:
    """The network of a segmentation checkpoint, with fresh weights.

    Raises UserError for an unknown name or a pair that does not work together.
    """
    if model_config.method not in SEGMENTERS:
        raise unknown("segmenter", model_config.method, SEGMENTERS)
    return SEGMENTERS[model_config.method](model_config)


def load_segmenter(path: Path) -> tuple[Segmenter, ModelConfig]:
    """The trained segmenter of a checkpoint, ready to predict on the CPU.

    Raises UserError where the file holds another network.
    """
    model, model_config = load_network(
        path,
        make_segmenter,
        methods=SEGMENTERS,
        expected="a segmenter",
        give="a segmenter.pt, which train_seg makes",
    )
    return model.to(memory_format=torch.channels_last).eval(), model_config


@runtime_checkable  # the tests check types at run time
class OnBackbone(Protocol):
    """A segmenter's class that needs a backbone and the number of mask ids only."""

    def __call__(self, backbone: Backbone, *, channels: int, num_ids: int) -> Segmenter:
        """The network with fresh weights."""
        ...


def on_backbone(network: OnBackbone, model_config: ModelConfig) -> Segmenter:
    """A segmenter on the backbone of its configuration."""
    backbone = make_backbone(model_config)
    return network(backbone, channels=backbone.channels, num_ids=len(model_config.classes) + 1)


def _deeplab(model_config: ModelConfig) -> DeepLab:
    backbone = make_backbone(model_config)
    if not backbone.skip_channels:
        raise no_early_level(model_config.backbone, backbone.level_strides)
    return DeepLab(
        backbone,
        channels=backbone.channels,
        skip_channels=backbone.skip_channels,
        num_ids=len(model_config.classes) + 1,
        rates=model_config.rates,
    )


def _deeplabv2(model_config: ModelConfig) -> DeepLabV2:
    backbone = make_backbone(model_config, dilated=True)
    if isinstance(backbone, TorchvisionResNet):
        backbone.round_up_pooling()
    if model_config.frozen_batch_norm:
        freeze_batch_norm(backbone, affine=True)  # as published: only convolutions train
    return DeepLabV2(
        backbone,
        channels=backbone.channels,
        num_ids=len(model_config.classes) + 1,
        rates=model_config.rates,
    )


def _smp(model_config: ModelConfig) -> SmpSegmenter:
    import timm  # noqa: PLC0415 slow to import

    name = model_config.backbone
    if name.partition(".")[0] not in (known := {*TORCHVISION, *timm.list_models()}):
        raise unknown("backbone", name, known)
    model = SmpSegmenter(
        model_config.method.removeprefix(SMP),
        name,
        output_stride=model_config.output_stride,
        num_ids=len(model_config.classes) + 1,
    )
    if model_config.frozen_batch_norm:
        freeze_batch_norm(model.backbone)
    if model_config.frozen_stem:
        backbone_of(model).freeze_stem()
    return model


SEGMENTERS: dict[str, Callable[[ModelConfig], Segmenter]] = {
    "deeplab": _deeplab,
    "deeplabv2": _deeplabv2,
    "linear": lambda model_config: on_backbone(Linear, model_config),
    "tokens": lambda model_config: on_backbone(TokenDecoder, model_config),
    "smp/unet": _smp,
    "smp/unetplusplus": _smp,
    "smp/manet": _smp,
    "smp/linknet": _smp,
    "smp/fpn": _smp,
    "smp/pspnet": _smp,
    "smp/deeplabv3": _smp,
    "smp/deeplabv3plus": _smp,
    "smp/pan": _smp,
    "smp/upernet": _smp,
    "smp/segformer": _smp,
}
