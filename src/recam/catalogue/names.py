"""Names in the catalogue, known without PyTorch: Snakemake and the checks of params.yaml need them.

A name is a key of a dictionary literal in a file of this room. Keys are read from the source text,
since an import of that file would import PyTorch, for seconds in every call of Snakemake.
"""

import ast
import difflib
import importlib.util
import re
from collections.abc import Collection, Iterable
from itertools import product, starmap
from pathlib import Path
from typing import NamedTuple

from recam.core.errors import UserError

ROOM = Path(__file__).parent
PLAIN = "cam"  # the training that a method's name leaves out before a re-activation
WITH_CRF = "+crf"  # after the name of a propagation: a CRF refines its maps


_TIMM_NETWORK = re.compile(rb"^@register_model\s+def (\w+)\(", re.MULTILINE)


class Parts(NamedTuple):
    """The stages of a refiner, in order."""

    propagation: str  # a name in recam.catalogue.refiners.PROPAGATORS
    has_crf: bool


class Method(NamedTuple):
    """The parts of a method, keys of the dictionaries in ``methods`` and ``readouts``."""

    training: str
    reactivation: str  # empty for none
    readout: str  # empty for the classifier's own maps

    @property
    def classifier(self) -> str:
        """The name of the method whose checkpoint is read: the same without a read-out."""
        return _joined(self.training, self.reactivation)

    @property
    def name(self) -> str:
        """``cam``, ``recam``, ``cam-lpcam``, ``seam-recam``: `cam` is left out before `recam`."""
        return "-".join(filter(None, (self.classifier, self.readout)))


def _joined(training: str, reactivation: str) -> str:
    if training == PLAIN and reactivation:
        return reactivation
    return "-".join(filter(None, (training, reactivation)))


def methods_of(
    trainings: Iterable[str], reactivations: Iterable[str], readouts: Iterable[str]
) -> dict[str, Method]:
    """All methods by name: each training, with and without re-activation and read-out."""
    parts = product(trainings, ("", *reactivations), ("", *readouts))
    return {method.name: method for method in starmap(Method, parts)}


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
TRAININGS = names_in("methods", "TRAININGS")
WITH_TEXTS = ("clip_es",)  # trainings that train nothing: a frozen tower and text vectors
METHODS = {
    name: method
    for name, method in methods_of(
        TRAININGS, names_in("methods", "REACTIVATIONS"), names_in("readouts", "READOUTS")
    ).items()
    # `control` continues the training of stage one, and these have none.
    if method.training not in WITH_TEXTS or method.reactivation != "control"
}
# From a trained classifier of stage one.
RETRAINED = tuple(name for name, m in METHODS.items() if m.reactivation and not m.readout)
# Their read-out needs the clusters of make_clusters.
CLUSTERED = tuple(name for name, m in METHODS.items() if m.readout == "lpcam")
# Trainings that learn from saliency maps of the training images, those of download.saliency.
WITH_SALIENCY = ("eps",)
# Trainings and segmenters that read the final features only: those of a frozen backbone may be
# read from files.
ON_FEATURES = ("cam",)
LIGHT_SEGMENTERS = ("linear", "tokens")
# Trainings with a token for each class in the stream of a transformer.
WITH_CLASS_TOKENS = ("mctformer",)
MADE = names_in("datasets", "MADE")
REAL = names_in("datasets", "REAL")
# Backbones known to have every output stride; others are networks of timm.
LISTED = names_in("backbones", "BACKBONES")
SEGMENTERS = names_in("segmenters", "SEGMENTERS")
LIVE_LOGS = names_in("live_logs", "LIVE_LOGS")
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


def needs_affinity(refiner: str) -> bool:
    """Whether the refiner propagates scores by the features or the attention of a backbone."""
    return REFINERS[refiner].propagation == "affinity"


def needs_saliency(method: str) -> bool:
    """Whether the classifier of a method learns from saliency maps; ``supervised`` has none."""
    return method != SUPERVISED and METHODS[method].training in WITH_SALIENCY


def needs_texts(method: str) -> bool:
    """Whether the classifier of a method is an image tower with text vectors."""
    return method != SUPERVISED and METHODS[method].training in WITH_TEXTS


def needs_class_tokens(method: str) -> bool:
    """Whether class tokens join the backbone of a method; ``supervised`` has none."""
    return method != SUPERVISED and METHODS[method].training in WITH_CLASS_TOKENS


def no_class_tokens(backbone: str) -> UserError:
    """An error about a backbone that class tokens cannot join."""
    return UserError(
        f"backbone {backbone}: {', '.join(WITH_CLASS_TOKENS)} expects a plain transformer without "
        "rotary embeddings, which class tokens can join; choose one, such as "
        "deit_small_patch16_224 with output_stride: 16, or another method"
    )


def networks_of_timm() -> frozenset[str]:
    """The names of timm's networks, from its source text; empty if timm is not installed."""
    found = importlib.util.find_spec("timm")
    folders = found.submodule_search_locations if found else None
    files = [file for folder in folders or () for file in Path(folder, "models").rglob("*.py")]
    return frozenset(
        name.decode() for file in files for name in _TIMM_NETWORK.findall(file.read_bytes())
    )


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
