"""Section train_recam: re-activation of a trained CAM."""

from typing import Annotated

from pydantic import Field

from recam.catalogue.names import RETRAINED
from recam.steps.sections.shared import (
    HeadRate,
    HeldOut,
    Replicate,
    Split,
    Training,
    name_from,
)


class TrainRecam(Training):
    """Stage two."""

    split: Split
    held_out: HeldOut
    weight: Annotated[float, Field(ge=0, description="lambda: weight of the softmax loss")]
    warmup_steps: Annotated[
        int,
        Field(
            ge=0,
            description="steps before the training in which the re-classifier trains alone, at a "
            "constant lr_warmup",
        ),
    ]
    lr_warmup: Annotated[
        float, Field(gt=0, description="learning rate of the re-classifier in the warm-up")
    ]
    lr: Annotated[
        float,
        Field(gt=0, description="initial learning rate of the backbone and the first classifier"),
    ]
    lr_reclassifier: HeadRate


class TrainRecamRun(TrainRecam, Replicate):
    """Stage two of one method and replicate."""

    method: Annotated[
        str, *name_from(RETRAINED), Field(description="method to train from a trained classifier")
    ]
