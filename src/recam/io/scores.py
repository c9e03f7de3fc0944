"""Score maps on disk, one file for each image: cams and refined maps."""

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Integer

from recam.core.errors import UserError
from recam.io.atomic import replacing

SCORE_STEPS = 200  # of a saved score: every threshold of a sweep is a step


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredClasses:
    """The score maps of an image's present classes, each in [0, 1]."""

    scores: Float[np.ndarray, "n H W"]
    classes: Integer[np.ndarray, "n"]  # class indices, ascending


def save_scores(path: Path, scored: ScoredClasses) -> None:
    """Write a compressed ``.npz``: ``scores`` uint8 (n, H, W) in 200ths, ``classes`` uint8 (n,).

    Scores are rounded up: a saved score is above a threshold i/200 if and only if the score was.
    Raises UserError for a score that is not finite.
    """
    _require_finite(path, scored.scores)
    saved = np.arange(SCORE_STEPS + 1, dtype=np.float32) / SCORE_STEPS
    steps = np.searchsorted(saved[:-1], scored.scores).astype(np.uint8)  # the first not below
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, scores=steps, classes=scored.classes.astype(np.uint8))


def load_scores(path: Path) -> ScoredClasses:
    """Read float32 score maps: those of ``save_scores``, or float maps from another source.

    Raises UserError for a missing or foreign file, for pickles, and for scores that are not finite
    or not in [0, 1].
    """
    with _opened(path) as arrays:
        scores, classes = arrays["scores"], arrays["classes"]
        is_in_steps = scores.dtype == np.uint8
        scores = scores.astype(np.float32)
    if scores.ndim != 3 or len(scores) != len(classes):
        raise UserError(
            f"{path}: expected one score map for each of {len(classes)} classes, got "
            f"{scores.shape}; delete it"
        )
    if is_in_steps:
        scores /= SCORE_STEPS
    _require_finite(path, scores)
    if scores.size and (scores.min() < 0 or scores.max() > 1):
        raise UserError(
            f"{path}: expected scores in [0, 1], got {scores.min():g} to {scores.max():g}; "
            "normalise the maps"
        )
    return ScoredClasses(scores=scores, classes=classes.astype(np.int64))


def load_classes(path: Path) -> Integer[np.ndarray, "n"]:
    """The class indices of a file of score maps, without its maps. Raises as ``load_scores``."""
    with _opened(path) as arrays:
        return arrays["classes"].astype(np.int64)


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run the step that makes it") from error
    except (OSError, ValueError, KeyError, TypeError, BadZipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: not a file of score maps; delete it and rerun its step"
        ) from error


def _require_finite(path: Path, scores: Float[np.ndarray, "n H W"]) -> None:
    broken = ~np.isfinite(scores)
    if broken.any():
        raise UserError(
            f"{path}: expected finite scores, got NaN or infinity in {broken.mean():.1%} of the "
            "pixels; the network that made them diverged, so lower its learning rate"
        )
