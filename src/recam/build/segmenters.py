"""Segmenters by name: networks that are trained with masks and give a score for every class."""

from recam.artifacts import Blueprint
from recam.build.backbones import make_backbone
from recam.models.segmenters import DeepLab

SEGMENTERS = {"deeplab": DeepLab}


def make_segmenter(blueprint: Blueprint) -> DeepLab:
    """The network of a segmentation checkpoint, with fresh weights."""
    backbone = make_backbone(blueprint)
    return SEGMENTERS[blueprint.method](
        backbone,
        channels=backbone.channels,
        skip_channels=backbone.skip_channels,
        num_ids=len(blueprint.classes) + 1,
        rates=blueprint.rates,
    )
