"""Prototypes of LPCAM: the centres that a linear classifier recognises, and their file."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from recam.core.errors import UserError
from recam.io.checkpoints import load_state, save_state
from recam.io.origins import damaged
from recam.methods.lpcam import Prototypes
from recam.methods.variant import Weights

FORMAT = "recam-clusters-1"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of q_k, the softmax probability of class k, of the centres that are kept."""

    foreground: float  # below q_k of a foreground centre
    context_min: float  # below q_k of a context centre
    context_max: float  # above q_k of a context centre


def judged(
    centres: Prototypes, weights: Weights, *, limits: Limits, classes: tuple[str, ...]
) -> Prototypes:
    """The centres within the limits; ``weights`` give q, a softmax over all classes.

    The length of a centre counts: it should be about that of its features. A class of which no
    foreground centre is kept keeps the one of the highest q_k, and a warning names the class.
    """
    foreground, context = list[Tensor](), list[Tensor]()
    for k, name in enumerate(classes):
        near, around = centres.foreground[k], centres.context[k]
        of_near, of_around = (_probability(found, weights, k) for found in (near, around))
        kept = of_near > limits.foreground
        if not len(near):
            logger.warning("class %s has no local features: its maps stay those of CAM", name)
        elif not kept.any():
            kept[of_near.argmax()] = True
            logger.warning(
                "class %s: no foreground cluster has a probability above %g; the best, of %.2g, "
                "is kept; lower make_clusters.judged_foreground",
                *(name, limits.foreground, float(of_near.max())),
            )
        foreground.append(near[kept])
        is_context = (of_around > limits.context_min) & (of_around < limits.context_max)
        context.append(around[is_context])
    return Prototypes(foreground=tuple(foreground), context=tuple(context))


def _probability(
    centres: Float[Tensor, "n C"], weights: Weights, class_index: int
) -> Float[Tensor, "n"]:
    return torch.softmax(centres @ weights.T, dim=1)[:, class_index]


def save_prototypes(path: Path, prototypes: Prototypes, classes: tuple[str, ...]) -> None:
    """Write the prototypes of ``classes``, atomically."""
    save_state(
        path,
        {
            "format": FORMAT,
            "classes": list(classes),
            "foreground": list(prototypes.foreground),
            "context": list(prototypes.context),
        },
    )


def load_prototypes(path: Path) -> tuple[Prototypes, tuple[str, ...]]:
    """The prototypes on the CPU, and their classes. Raises UserError for any other file."""
    content = load_state(path)
    if content is None:
        raise UserError(f"{path}: not found; run make_clusters")
    if content.get("format") != FORMAT:
        raise UserError(f"{path}: expected clusters, got another file; pass one by make_clusters")
    classes, *kinds = (content.get(name) for name in ("classes", "foreground", "context"))
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise damaged(path, "expected the names of classes")
    near, around = (_centres(path, found, count=len(classes)) for found in kinds)
    if len({centres.shape[1] for centres in (*near, *around)}) > 1:
        raise damaged(path, "expected centres with the same number of channels")
    return Prototypes(foreground=near, context=around), tuple(classes)


def _centres(path: Path, found: object, *, count: int) -> tuple[Float[Tensor, "_ C"], ...]:
    """A tensor of centres for each class; each row has a direction."""
    if not isinstance(found, list) or len(found) != count or not all(map(_is_centres, found)):
        raise damaged(path, f"expected a matrix of finite numbers for each of {count} classes")
    return tuple(found)


def _is_centres(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.ndim == 2
        and value.dtype == torch.float32
        and bool(torch.isfinite(value).all())
    )
