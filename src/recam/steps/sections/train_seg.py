"""Section train_seg: the segmenter trained on pseudo masks."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from recam.catalogue.names import LIGHT_SEGMENTERS, SEGMENTERS
from recam.steps.sections.shared import (
    BackboneName,
    CrfNumbers,
    Distances,
    FrozenBackbone,
    FrozenBatchNorm,
    HeadRate,
    OutputStride,
    PlacePath,
    Replicate,
    Scales,
    Split,
    Training,
    name_from,
    require_fixed_colours,
)


class TrainSeg(Training, CrfNumbers):
    """The segmenter and its training; a CRF refines the masks of self-training."""

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
    self_training: Annotated[
        Literal["none", "second_round"],
        Field(
            description="none, or second_round: the segmenter's masks of its training images, "
            "restricted to their labels, train a second one as long; supervised never does this"
        ),
    ]
    self_training_confidence: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="probability below which a pixel of these masks is ignored",
        ),
    ]
    self_training_scales: Scales

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
