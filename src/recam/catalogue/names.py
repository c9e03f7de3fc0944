"""Names that must be known before PyTorch is, and what catalogues say of one they do not have."""

import difflib
from collections.abc import Collection
from typing import NamedTuple

from recam.core.errors import UserError


class Parts(NamedTuple):
    """What a refiner does one after the other."""

    spread: (
        str  # how maps are spread over the image: a name in recam.catalogue.refiners.PROPAGATORS
    )
    has_crf: bool


REFINERS = {
    "none": Parts("none", has_crf=False),
    "crf": Parts("none", has_crf=True),
    "pamr": Parts("pamr", has_crf=False),
    "pamr+crf": Parts("pamr", has_crf=True),
    "irn": Parts("irn", has_crf=False),
    "irn+crf": Parts("irn", has_crf=True),
}


def needs_irn(refiner: str) -> bool:
    """Whether the refiner walks between the edges of a trained IRN."""
    return REFINERS[refiner].spread == "irn"


def unknown(kind: str, name: str, known: Collection[str]) -> UserError:
    """One sentence with the nearest names that are known."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:3]
    return UserError(
        f"{kind}: there is no {name!r}; expected one of {len(known)} names, nearest are "
        f"{', '.join(near)}"
    )
