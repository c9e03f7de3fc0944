"""Section train_irn: edges learned from confident pixels (Ahn, Cho & Kwak, CVPR 2019)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from recam.steps.sections.shared import (
    BackboneName,
    CrfNumbers,
    HeadRate,
    OutputStride,
    Replicate,
    Split,
    Training,
    Weights,
)


class TrainIrn(Training, CrfNumbers):
    """IRN and its training labels."""

    split: Split
    backbone: BackboneName
    weights: Weights
    output_stride: OutputStride
    foreground: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="high background score, from 0 to 1: pixels still labelled as an object "
            "are confident foreground",
        ),
    ]
    background: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="low background score, from 0 to 1: pixels still labelled as background "
            "are confident background",
        ),
    ]
    certainty: Annotated[
        float,
        Field(gt=0, lt=1, description="probability of each label that the CRF receives, 0 to 1"),
    ]
    radius: Annotated[
        int, Field(ge=2, description="pairs of pixels are nearer than this, in steps of 4 pixels")
    ]
    resize_unit: Annotated[
        Literal["pixels", "percent"],
        Field(
            description="unit of resize_min and resize_max: pixels of the longer side, or percent "
            "of each image's own size (as published)"
        ),
    ]
    lr_edges: HeadRate
    lr_displacements: HeadRate

    def _at_most_resize_max(self) -> tuple[str, ...]:
        in_pixels = self.resize_unit == "pixels"
        return ("resize_min", "crop") if in_pixels else ("resize_min",)

    @model_validator(mode="after")
    def _scores_are_in_order(self) -> "TrainIrn":
        if self.background > self.foreground:
            words = (
                f"background: expected no more than foreground ({self.foreground}), got "
                f"{self.background}; lower it or raise foreground"
            )
            raise PydanticCustomError("sentence", "{words}", {"words": words})
        return self


class TrainIrnRun(TrainIrn, Replicate):
    """IRN of one method and replicate."""
