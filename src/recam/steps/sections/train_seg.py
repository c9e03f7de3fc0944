"""Section train_seg: the segmenter trained on pseudo masks."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from recam.catalogue.names import LIGHT_SEGMENTERS, SEGMENTERS
from recam.steps.sections.shared import (
    BackboneName,
    Distances,
    FrozenBackbone,
    FrozenBatchNorm,
    HeadRate,
    OutputStride,
    PlacePath,
    Replicate,
    Split,
    Training,
    name_from,
    require_fixed_colours,
)


class TrainSeg(Training):
    """The segmenter and its training."""

    split: Split
    segmenter: Annotated[
        str,
        *name_from(SEGMENTERS),
        Field(
            description="deeplab (small, for a CPU), deeplabv2 (as published), linear or tokens "
            "(on the final features alone), or an architecture of segmentation-models-pytorch"
        ),
    ]
    backbone: BackboneName
    weights: Annotated[
        PlacePath,
        Field(
            description="initial weights of the backbone: classifier (those of train_cam), "
            "imagenet, none, or a state dict's path"
        ),
    ]
    output_stride: OutputStride
    frozen_batch_norm: FrozenBatchNorm
    frozen_backbone: FrozenBackbone
    loss: Annotated[
        Literal["cross_entropy", "balanced"],
        Field(
            description="cross_entropy (mean over pixels), or balanced (background and foreground "
            "count alike)"
        ),
    ]
    rates: Annotated[
        Distances,
        FrozenBackbone,
        Field(
            description="atrous rates of the head's branches, in cells of the feature grid "
            "(deeplab and deeplabv2)"
        ),
    ]
    gradient_accumulation_steps: Annotated[
        int,
        Field(
            ge=1,
            description="a batch passes the network in this many equal parts, to save memory; "
            "batch norms that train see one part at a time",
        ),
    ]
    lr: Annotated[float, Field(gt=0, description="initial learning rate of the backbone")]
    lr_head: HeadRate
    lr_head_bias: Annotated[
        float,
        Field(gt=0, description="initial learning rate of the head's biases, without decay"),
    ]
    lr_step_interval: Annotated[
        int, Field(ge=1, description="steps between two changes of the learning rates")
    ]

    @model_validator(mode="after")
    def _frozen_features_suffice(self) -> "TrainSeg":
        if not self.frozen_backbone:
            return self
        require_fixed_colours(self)
        if self.segmenter not in LIGHT_SEGMENTERS:
            words = (
                f"segmenter: expected {' or '.join(LIGHT_SEGMENTERS)} with frozen_backbone, whose "
                f"final features alone are stored, got {self.segmenter}; change one"
            )
            raise PydanticCustomError("sentence", "{words}", {"words": words})
        return self


class TrainSegRun(TrainSeg, Replicate):
    """The segmenter of one method and replicate."""
