"""The refiner: a number of make_pseudo that train_irn receives too."""

from typing import Annotated

from pydantic import Field

from recam.catalogue.names import REFINERS
from recam.steps.sections.shared import Section, name_from


class RefinerChoice(Section):
    """The refiner of cams."""

    refiner: Annotated[
        str,
        *name_from(tuple(REFINERS)),
        Field(
            description="refinement of cams: by image colours (crf, pamr), by a random walk "
            "between learned edges (irn), by a backbone's features or attention (affinity), or by "
            "one after the other"
        ),
    ]
