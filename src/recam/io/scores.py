"""Score maps on disk, one file for each image: cams and refined maps."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from jaxtyping import Float, Integer, Shaped
from numpy.lib import format as npy

from recam.core.errors import UserError
from recam.core.labels import MAX_CLASSES
from recam.io.archives import located
from recam.io.origins import remedy_of
from recam.io.seals import not_a, read_sealed, write_sealed

SCORE_STEPS = 200  # of a saved score: every threshold of a sweep is a step

SCORE_MAPS = "score maps"


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
    archive = io.BytesIO()
    np.savez_compressed(archive, scores=steps, classes=scored.classes.astype(np.uint8))
    write_sealed(path, archive)


def load_scores(path: Path) -> ScoredClasses:
    """Read float32 score maps: those of ``save_scores``, or float maps from another source.

    Raises UserError for a missing, damaged or foreign file, for pickles, for scores that are not
    finite or not in [0, 1], and for classes that are not indices in ascending order.
    """
    path = located(path)
    with _opened(path) as archive:
        saved, classes = _array(archive, "scores"), _array(archive, "classes")
    is_score = saved.dtype == np.uint8 or saved.dtype.kind == "f"
    if not is_score or saved.ndim != 3 or len(saved) != classes.size:
        raise UserError(
            f"{path}: expected one score map for each of {classes.size} classes, got "
            f"{saved.dtype} {saved.shape}; {remedy_of(path)}"
        )
    classes = _indices(path, classes)
    with np.errstate(over="ignore"):  # too large for float32: infinity, which is refused
        scores = saved.astype(np.float32)
    if saved.dtype == np.uint8:
        scores /= SCORE_STEPS
    _require_finite(path, scores)
    if scores.size and (scores.min() < 0 or scores.max() > 1):
        raise UserError(
            f"{path}: expected scores in [0, 1], got {scores.min():g} to {scores.max():g}; "
            "normalise the maps"
        )
    return ScoredClasses(scores=scores, classes=classes)


def load_classes(path: Path) -> Integer[np.ndarray, "n"]:
    """The class indices of a file of score maps, without its maps. Raises as ``load_scores``."""
    path = located(path)
    with _opened(path) as archive:
        return _indices(path, _array(archive, "classes"))


@contextmanager
def _opened(path: Path) -> Iterator[ZipFile]:
    content = io.BytesIO(read_sealed(path, kind=SCORE_MAPS))
    try:
        with ZipFile(content) as archive:
            yield archive
    except (OSError, ValueError, KeyError, BadZipFile, EOFError) as error:
        raise not_a(SCORE_MAPS, path) from error


def _array(archive: ZipFile, name: str) -> Shaped[np.ndarray, "..."]:
    """An array of plain numbers. Raises ValueError, before any allocation, for another one."""
    with archive.open(f"{name}.npy") as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
        content = file.read()
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"{name}: no array of numbers")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{name}: {len(content)} bytes for shape {shape}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")


def _indices(path: Path, classes: Shaped[np.ndarray, "..."]) -> Integer[np.ndarray, "n"]:
    is_row = classes.ndim == 1 and classes.dtype.kind in "iu"
    if not is_row or any(np.diff(classes.astype(np.int64)) <= 0) or not _in_range(classes):
        got = " ".join(str(classes).split())
        raise UserError(
            f"{path}: expected classes as ascending indices from 0 to {MAX_CLASSES - 1}, got "
            f"{got:.40}; {remedy_of(path)}"
        )
    return classes.astype(np.int64)


def _in_range(classes: Integer[np.ndarray, "n"]) -> bool:
    return not classes.size or bool(classes.min() >= 0 and classes.max() < MAX_CLASSES)


def _require_finite(path: Path, scores: Float[np.ndarray, "n H W"]) -> None:
    broken = ~np.isfinite(scores)
    if broken.any():
        raise UserError(
            f"{path}: expected finite scores, got NaN or infinity in {broken.mean():.1%} of the "
            "pixels; the network that made them diverged, so lower its learning rate"
        )
