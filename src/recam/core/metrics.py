"""Confusion matrices, and metrics computed from them: IoU, mIoU, error shares, threshold curves.

A confusion matrix is (K+1, K+1) int64: ground truth in rows, prediction in columns, background
first. Pixels whose ground truth is 255 never count.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, UInt8

from recam.core.labels import BACKGROUND, IGNORE

Confusion = Int64[np.ndarray, "N N"]
LEVELS = 100  # background scores of a threshold sweep: 0.00, 0.01, ... 0.99


def confusion_matrix(
    truth: UInt8[np.ndarray, "..."], prediction: UInt8[np.ndarray, "..."], *, num_ids: int
) -> Confusion:
    """Count the pixels of each pair of ground truth id and predicted id.

    ``num_ids`` is K+1. Raises ValueError if the shapes differ or an id is not in 0..K; the ground
    truth may also be 255.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth is {truth.shape}, prediction {prediction.shape}: sizes must agree")
    # One byte pair per pixel, truth in the high byte: one pass of bincount counts all pairs.
    pairs = truth.ravel().astype(np.uint16) << 8 | prediction.ravel()
    counts = np.bincount(pairs, minlength=1 << 16).reshape(256, 256)
    judged = counts[:IGNORE]
    if judged[num_ids:].any() or judged[:, num_ids:].any():
        raise ValueError(f"an id in truth or prediction is beyond 0..{num_ids - 1}")
    return judged[:num_ids, :num_ids].astype(np.int64)


def iou_per_class(confusion: Confusion) -> Float[np.ndarray, "N"]:
    """Intersection over union of each id, in [0, 1]; NaN for an id without any pixel."""
    intersection = np.diag(confusion).astype(np.float64)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
    return np.divide(intersection, union, out=np.full(len(union), np.nan), where=union > 0)


def miou(confusion: Confusion) -> float:
    """Mean IoU, in [0, 1], over the ids in ground truth or prediction; NaN without any pixel."""
    return float(np.nanmean(iou_per_class(confusion))) if confusion.any() else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorShares:
    """Correct pixels and three kinds of error, as fractions of all judged pixels: they sum to 1."""

    correct: float
    object_for_object: float  # one class predicted for another
    object_for_background: float  # false positives
    background_for_object: float  # misses


def error_shares(confusion: Confusion) -> ErrorShares:
    """The shares of correct pixels and of the three kinds of error; NaN without any pixel."""
    # Counts are exact: a difference of shares could be -1e-17.
    objects = confusion[BACKGROUND + 1 :, BACKGROUND + 1 :]
    pixels = int(confusion.sum()) or float("nan")
    return ErrorShares(
        correct=int(np.trace(confusion)) / pixels,
        object_for_object=int(objects.sum() - np.trace(objects)) / pixels,
        object_for_background=int(confusion[BACKGROUND, BACKGROUND + 1 :].sum()) / pixels,
        background_for_object=int(confusion[BACKGROUND + 1 :, BACKGROUND].sum()) / pixels,
    )


def level_histogram(
    truth: UInt8[np.ndarray, "H W"],
    top_id: UInt8[np.ndarray, "H W"],
    top_score: Float[np.ndarray, "H W"],
    *,
    num_ids: int,
) -> Int64[np.ndarray, "N N levels"]:
    """Count pixels by ground truth, best class and level of its score, for every threshold at once.

    Level l holds scores in ((l-1)/100, l/100]: at background score i/100 a pixel is foreground if
    and only if its level is above i. Raises ValueError for a score that is not finite and for an
    id that is not in 0..K.
    """
    if not np.isfinite(top_score).all():
        raise ValueError("a score is not finite")
    judged = truth != IGNORE
    rows, columns = truth[judged].astype(np.int64), top_id[judged].astype(np.int64)
    if rows.size and max(rows.max(), columns.max()) >= num_ids:
        raise ValueError(f"an id in truth or prediction is beyond 0..{num_ids - 1}")
    levels = levels_of(top_score[judged])
    flat = (rows * num_ids + columns) * (LEVELS + 1) + levels
    size = num_ids * num_ids * (LEVELS + 1)
    return np.bincount(flat, minlength=size).reshape(num_ids, num_ids, LEVELS + 1).astype(np.int64)


def levels_of(score: Float[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """The number of thresholds below each score, compared in the precision of the score."""
    bounds = thresholds().astype(score.dtype)
    lower = np.concatenate([[-np.inf], bounds]).astype(score.dtype)
    upper = np.concatenate([bounds, [np.inf]]).astype(score.dtype)
    guess = np.ceil(np.clip(score, 0, 1) * LEVELS).astype(np.int64)  # off by one at most
    return guess - (lower[guess] >= score) + (upper[guess] < score)


def thresholds() -> Float[np.ndarray, "levels"]:
    """The background scores of a sweep, ascending: 0.00, 0.01, ... 0.99."""
    return np.arange(LEVELS) / LEVELS


def confusions_by_threshold(
    histogram: Int64[np.ndarray, "N N levels"],
) -> Int64[np.ndarray, "thresholds N N"]:
    """The confusion matrix at each background score of ``thresholds()``."""
    at_least = histogram[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]  # pixels at this level or above
    confusions = np.moveaxis(at_least[:, :, 1:], 2, 0).copy()
    below = histogram.sum(axis=(1, 2)) - confusions.sum(axis=2)  # the others are background
    confusions[:, :, BACKGROUND] += below
    return confusions
