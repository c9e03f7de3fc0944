"""Section train_recam: re-activation of a trained CAM."""

from typing import Annotated

from pydantic import Field

from recam.catalogue.names import METHODS
from recam.steps.sections.shared import (
    HeadRate,
    Replicate,
    Split,
    Training,
    name_from,
)


class TrainRecam(Training):
    """Stage two."""

    split: Split
    weight: Annotated[float, Field(ge=0, description="lambda: weight of the softmax loss")]
    lr: Annotated[
        float,
        Field(gt=0, description="initial learning rate of the backbone and the first classifier"),
    ]
    lr_reclassifier: HeadRate


class TrainRecamRun(TrainRecam, Replicate):
    """Stage two of one method and replicate."""

    method: Annotated[
        str, *name_from(METHODS), Field(description="method to train from a trained CAM")
    ]
