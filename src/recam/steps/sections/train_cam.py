"""Section train_cam: the multi-label classifier."""

from typing import Annotated

from pydantic import Field

from recam.catalogue.names import TRAININGS
from recam.steps.sections.shared import (
    MOST_THREADS,
    BackboneName,
    FrozenBatchNorm,
    HeadRate,
    HeldOut,
    OutputStride,
    Replicate,
    Split,
    Training,
    Weights,
    name_from,
)


class TrainCam(Training):
    """The classifier of stage one."""

    threads: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_THREADS,
            description="threads of this step on a CPU: no other step can run then",
        ),
    ]
    split: Split
    held_out: HeldOut
    backbone: BackboneName
    weights: Weights
    output_stride: OutputStride
    frozen_batch_norm: FrozenBatchNorm
    frozen_stem: Annotated[
        bool, Field(description="the first convolution and its batch norm do not train")
    ]
    lr: Annotated[float, Field(gt=0, description="initial learning rate of the backbone")]
    lr_classifier: HeadRate
    seam_scale: Annotated[
        float,
        Field(gt=0, le=4, description="SEAM: size of the second view, relative to the crop"),
    ]
    seam_weight: Annotated[
        float,
        Field(ge=0, description="SEAM: weight of the difference between the maps of both views"),
    ]
    seam_pcm: Annotated[bool, Field(description="SEAM: train and use the pixel correlation module")]
    mctformer_contrast: Annotated[
        float, Field(ge=0, description="MCTformer: weight of the contrast between class tokens")
    ]


class TrainCamRun(TrainCam, Replicate):
    """Stage one of one training and replicate."""

    method: Annotated[
        str, *name_from(TRAININGS), Field(description="method by which the classifier is trained")
    ]
