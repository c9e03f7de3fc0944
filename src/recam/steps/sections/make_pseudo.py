"""Section make_pseudo: refinement of cams, and the threshold of pseudo masks."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from recam.catalogue.names import needs_affinity
from recam.steps.sections.refiner import RefinerChoice
from recam.steps.sections.shared import (
    CrfNumbers,
    Distances,
    OutputStride,
    PlacePath,
    Scale,
    Threshold,
    file_of_weights,
)

CLASSIFIER = "classifier"  # the affinity_backbone that a method has trained
SaliencySource = Annotated[
    Literal["none", "folder", "ccam"],
    Field(
        description="saliency maps that decide where masks are background: none, folder "
        "(those of download.saliency) or ccam (learned without labels by train_saliency)"
    ),
]


class MakePseudo(RefinerChoice, CrfNumbers):
    """Refinement and thresholds."""

    threshold: Threshold
    background: Annotated[
        float,
        Field(ge=0, le=1, description="background score, 0 to 1, for unrefined and PAMR's maps"),
    ]
    irn_background: Annotated[
        float, Field(ge=0, le=1, description="background score, 0 to 1, for IRN's maps")
    ]
    crf_background: Annotated[
        float,
        Field(ge=0, le=1, description="background score, 0 to 1, for maps that enter a CRF"),
    ]
    crf_discount: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="yen: the background score of maps that enter a CRF is lower by this, by "
            "half at most, since a CRF shrinks objects",
        ),
    ]
    saliency: SaliencySource
    saliency_threshold: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="pixels whose saliency is at most this fraction of its maximum in the "
            "image are background",
        ),
    ]
    margin: Annotated[
        float,
        Field(
            ge=0,
            le=0.5,
            description="pixels whose best score is within this margin of the background score "
            "are ignored in training",
        ),
    ]
    pamr_dilations: Annotated[
        Distances, Field(description="distances of PAMR's neighbours, in pixels")
    ]
    pamr_iterations: Annotated[int, Field(ge=0, description="iterations of PAMR")]
    irn_radius: Annotated[
        int,
        Field(ge=2, description="the walk steps to neighbours nearer than this, in 4 pixels"),
    ]
    irn_power: Annotated[
        float, Field(ge=0, description="beta: exponent of affinities; higher avoids weak edges")
    ]
    irn_cams_power: Annotated[
        float,
        Field(
            gt=0,
            description="exponent of cams before the random walk; above 1 lowers weak scores (1.5 "
            "in the authors' code for AdvCAM)",
        ),
    ]
    irn_steps: Annotated[int, Field(ge=0, description="steps of the random walk")]
    affinity: Annotated[
        Literal["features", "attention"],
        Field(
            description="affinity: by the cosines of features of any backbone, or by the attention "
            "of a transformer (CAA)"
        ),
    ]
    affinity_backbone: Annotated[
        str,
        Field(
            description="backbone of affinities: classifier (that of the method, trained), or a "
            "name as in train_cam.backbone"
        ),
    ]
    affinity_weights: Annotated[
        PlacePath,
        Field(
            description="weights of another affinity_backbone than classifier: imagenet, none, or "
            "a state dict's path"
        ),
    ]
    affinity_output_stride: OutputStride
    affinity_levels: Annotated[
        tuple[int, ...],
        Field(
            strict=False,
            min_length=1,
            description="levels whose cosines are averaged: 0 is the finest, -1 the coarsest",
        ),
    ]
    affinity_scale: Annotated[
        Scale,
        Field(
            description="scale, above 0 to 4, of the image that the backbone sees; lower where "
            "memory is short"
        ),
    ]
    affinity_power: Annotated[
        float,
        Field(gt=0, description="exponent of features' affinities; higher avoids weak ones"),
    ]
    affinity_steps: Annotated[
        int, Field(ge=1, description="steps of propagation by features' affinities")
    ]
    affinity_box: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="attention: scores count in the bounding boxes of the parts of a map above "
            "this fraction of its maximum",
        ),
    ]
    affinity_background: Annotated[
        float, Field(ge=0, le=1, description="background score, 0 to 1, for affinity's maps")
    ]
    batch_size: Annotated[
        int,
        Field(
            ge=1,
            description="images of one size refined together; a CRF takes about 60 MiB for each "
            "photograph, and one image per thread is fastest on a CPU",
        ),
    ]
    memory: Annotated[
        int,
        Field(
            ge=1,
            description="limit of a batch's random walk or affinities in each process, in MiB; "
            "larger batches are divided",
        ),
    ]
    examples: Annotated[int, Field(ge=1, description="rows of this step's picture")]

    @property
    def affinity_file(self) -> Path | None:
        """The file of weights that affinities need, or None."""
        is_read = needs_affinity(self.refiner) and self.affinity_backbone != CLASSIFIER
        return file_of_weights(self.affinity_weights) if is_read else None

    @property
    def needs_classifier(self) -> bool:
        """Whether affinities are those of the method's classifier."""
        return needs_affinity(self.refiner) and self.affinity_backbone == CLASSIFIER
