"""Section make_cams: maps of a trained classifier."""

from typing import Annotated, Literal

from pydantic import Field

from recam.catalogue.names import METHODS
from recam.steps.sections.shared import BatchSize, Scales, Section, Split, name_from


class MakeCams(Section):
    """Maps of the present classes, averaged over scales and mirror images."""

    split: Split
    combine: Annotated[
        Literal["mean", "product", "reclassifier", "classifier", "sum"],
        Field(
            description="weights that make the maps of a re-activated model: V * W (product, as "
            "published on VOC), V, W (as published on COCO), V + W, or the mean of the maps of W "
            "and V * W"
        ),
    ]
    geometry: Annotated[
        Literal["image", "published"],
        Field(
            description="place of maps: each grid is stretched to the image (image), or enlarged "
            "to the next multiples of 16 pixels and cropped, with images resized as bytes "
            "(published); published thresholds were tuned on the latter"
        ),
    ]
    scales: Scales
    batch_size: BatchSize


class MakeCamsRun(MakeCams):
    """Maps of one method."""

    method: Annotated[
        str, *name_from(tuple(METHODS)), Field(description="method whose read-out gives the maps")
    ]
