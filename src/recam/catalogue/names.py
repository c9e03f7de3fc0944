"""Names in the catalogue, known without PyTorch: Snakemake and the checks of params.yaml need them.

A name is a key of a dictionary literal in a file of this room. Keys are read from the source text,
since an import of that file would import PyTorch, for seconds in every call of Snakemake.
"""

import ast
import difflib
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from recam.core.errors import UserError

ROOM = Path(__file__).parent
WITH_CRF = "+crf"  # after the name of a propagation: a CRF refines its maps


class Parts(NamedTuple):
    """The stages of a refiner, in order."""

    propagation: str  # a name in recam.catalogue.refiners.PROPAGATORS
    has_crf: bool


def names_in(module: str, dictionary: str) -> tuple[str, ...]:
    """The keys of the literal ``dictionary`` in ``recam.catalogue.module``, in their order."""
    for node in ast.parse((ROOM / f"{module}.py").read_text(encoding="utf-8")).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == dictionary:
            value = getattr(node, "value", None)
            if isinstance(value, ast.Dict):
                return tuple(ast.literal_eval(key) for key in value.keys if key)
    raise KeyError(f"{module}.py has no dictionary literal {dictionary}")


SUPERVISED = "supervised"  # the upper bound: a segmenter trained on ground truth, without cams
METHODS = names_in("methods", "METHODS")
MADE = names_in("datasets", "MADE")
REAL = names_in("datasets", "REAL")
SEGMENTERS = names_in("segmenters", "SEGMENTERS")
# Every propagation is a refiner, alone and before a CRF; a CRF alone is called `crf`.
REFINERS = {
    name: Parts(propagation, has_crf=has_crf)
    for propagation in names_in("refiners", "PROPAGATORS")
    for name, has_crf in (
        (propagation, False),
        ("crf" if propagation == "none" else propagation + WITH_CRF, True),
    )
}


def needs_irn(refiner: str) -> bool:
    """Whether the refiner propagates scores between the edges of a trained IRN."""
    return REFINERS[refiner].propagation == "irn"


def unknown(kind: str, name: str, known: Collection[str]) -> UserError:
    """An error with the nearest known names."""
    near = nearest(name, known, cutoff=0.5) or sorted(known)[:3]
    return UserError(
        f"{kind}: there is no {name!r}; expected one of {len(known)} names, nearest are "
        f"{', '.join(near)}"
    )


def nearest(name: str, known: Collection[str], *, cutoff: float = 0.6) -> list[str]:
    """The known names most like ``name``, at most three."""
    return difflib.get_close_matches(name, known, n=3, cutoff=cutoff)
