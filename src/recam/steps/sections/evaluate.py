"""Section evaluate: scores of maps and masks against ground truth."""

from typing import Annotated

from pydantic import Field

from recam.steps.sections.shared import (
    BatchSize,
    CrfNumbers,
    InferencePrecision,
    Scales,
    Score,
    Split,
    Threshold,
)


class Evaluate(CrfNumbers):
    """Splits, threshold and prediction."""

    maps_split: Split
    seg_split: Split
    threshold: Threshold
    cams_threshold: Score
    scales: Scales
    batch_size: BatchSize
    inference_precision: InferencePrecision
    crf: Annotated[bool, Field(description="a dense CRF refines the segmenter's masks")]
    examples: Annotated[
        int,
        Field(ge=0, description="images of maps_split that the segmenter predicts for the picture"),
    ]
    agreement_images: Annotated[
        int,
        Field(
            ge=0,
            description="images of maps_split, evenly spaced, on which predictions and CAM's "
            "pseudo masks are compared with pseudo masks; all if seg_split is the same split",
        ),
    ]
    causal_images: Annotated[
        int,
        Field(
            ge=0,
            description="images of maps_split, evenly spaced, whose maps get insertion and "
            "deletion scores; each map takes 102 forward passes of the classifier",
        ),
    ]
