"""Section make_cams: maps of a trained classifier."""

from typing import Annotated, Literal

from pydantic import Field

from recam.catalogue.names import METHODS
from recam.steps.sections.shared import (
    BatchSize,
    InferencePrecision,
    Scales,
    Section,
    Split,
    name_from,
)


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
    levels: Annotated[
        tuple[Annotated[int, Field(le=-1)], ...],
        Field(
            strict=False,
            min_length=1,
            description="levels of the backbone whose maps are fused, for read-outs by gradients "
            "(gradcam, gradcampp, layercam): -1 is the final features, -2 the level before",
        ),
    ]
    scales: Scales
    batch_size: BatchSize
    inference_precision: InferencePrecision
    mctformer_blocks: Annotated[
        int,
        Field(
            ge=1,
            description="MCTformer: last blocks whose attention of class tokens is averaged; at "
            "most all",
        ),
    ]
    mctformer_affinity: Annotated[
        bool, Field(description="MCTformer: attention between patches refines the maps")
    ]
    advcam_weights: Annotated[
        Literal["product", "reclassifier", "classifier", "sum"],
        Field(
            description="AdvCAM: the classifier that is climbed in a re-activated model, by the "
            "names of combine"
        ),
    ]
    advcam_steps: Annotated[
        int, Field(ge=1, description="AdvCAM: maps that are added up, a forward pass each")
    ]
    advcam_step_size: Annotated[
        float,
        Field(ge=0, description="AdvCAM: xi, the largest change of a normalised pixel in a step"),
    ]
    advcam_lambda: Annotated[
        float, Field(ge=0, description="AdvCAM: weight of the penalty that keeps strong responses")
    ]
    advcam_penalty: Annotated[
        Literal["mean", "published"],
        Field(
            description="AdvCAM: unit of lambda: the mean change of CAMs over positions, the same "
            "for every network and image size, or the summed change of Grad-CAMs (as published)"
        ),
    ]
    advcam_threshold: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="AdvCAM: tau, the share of a map's maximum above which the penalty acts",
        ),
    ]
    advcam_batch_size: Annotated[
        int,
        Field(
            ge=1,
            description="AdvCAM: classes of images of one batch that are climbed together; each "
            "keeps the activations of two images in memory",
        ),
    ]


class MakeCamsRun(MakeCams):
    """Maps of one method."""

    method: Annotated[
        str, *name_from(tuple(METHODS)), Field(description="method whose read-out gives the maps")
    ]
