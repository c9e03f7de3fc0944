"""Section make_clusters: prototypes of the classes, for LPCAM."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from recam.catalogue.names import CLUSTERED
from recam.steps.sections.shared import BatchSize, Replicate, Section, Split, name_from

Probability = Annotated[float, Field(ge=0, le=1)]


class MakeClusters(Section):
    """Clusters of local features of each class (Chen & Sun, CVPR 2023)."""

    split: Split
    images: Annotated[
        int, Field(ge=1, description="images to take features from, evenly spaced in the split")
    ]
    clusters: Annotated[
        int,
        Field(
            ge=1, le=256, description="clusters of the foreground of a class, and of its context"
        ),
    ]
    foreground: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="peak-normalised CAM, 0 to 1, above which a position is foreground of a "
            "present class; all others are its context",
        ),
    ]
    judge: Annotated[
        Literal["classifier", "reclassifier"],
        Field(
            description="weights that give the probability of a cluster's class in a re-activated "
            "model: W or V"
        ),
    ]
    judged_foreground: Annotated[
        Probability,
        Field(description="probability above which a foreground cluster is a prototype"),
    ]
    context_min: Annotated[
        Probability, Field(description="probability above which a context cluster is a prototype")
    ]
    context_max: Annotated[
        Probability, Field(description="probability below which a context cluster is a prototype")
    ]
    batch_size: BatchSize

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> "MakeClusters":
        if self.context_min >= self.context_max:
            words = (
                f"context_min: expected less than context_max ({self.context_max}), got "
                f"{self.context_min}; lower context_min or raise context_max"
            )
            raise PydanticCustomError("sentence", "{words}", {"words": words})
        return self


class MakeClustersRun(MakeClusters, Replicate):
    """Clusters of one method and replicate."""

    method: Annotated[
        str, *name_from(CLUSTERED), Field(description="method whose maps are read by prototypes")
    ]
