"""Section make_pseudo: refinement of cams, and the threshold of pseudo masks."""

from typing import Annotated, Literal

from pydantic import Field

from recam.steps.sections.refiner import RefinerChoice
from recam.steps.sections.shared import CrfNumbers, Distances, Threshold

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
    batch_size: Annotated[
        int,
        Field(
            ge=1,
            description="images of one size refined together; a CRF takes about 220 MiB for each "
            "photograph, and one image per thread is fastest on a CPU",
        ),
    ]
    memory: Annotated[
        int,
        Field(
            ge=1,
            description="limit of a batch's random walk in each process, in MiB; larger batches "
            "are divided",
        ),
    ]
    examples: Annotated[int, Field(ge=1, description="rows of this step's picture")]
