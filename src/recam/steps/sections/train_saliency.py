"""Section train_saliency: maps of objects learned without labels (CCAM, Xie et al., CVPR 2022)."""

from typing import Annotated

from pydantic import Field

from recam.steps.sections.shared import (
    BackboneName,
    HeadRate,
    OutputStride,
    Replicate,
    Split,
    Training,
    Weights,
)


class TrainSaliency(Training):
    """CCAM, only with make_pseudo.saliency: ccam; its backbone is that of train_cam."""

    lr: Annotated[float, Field(gt=0, description="initial learning rate of the backbone")]
    lr_head: HeadRate
    rank_decay: Annotated[
        float,
        Field(
            ge=0,
            description="alpha: a pair of images counts exp(-alpha · rank) in the losses within a "
            "region, where rank 0 is the nearest neighbour",
        ),
    ]


class TrainSaliencyRun(TrainSaliency, Replicate):
    """CCAM of one replicate, on the images of make_cams and the backbone of train_cam."""

    split: Split
    backbone: BackboneName
    weights: Weights
    output_stride: OutputStride
