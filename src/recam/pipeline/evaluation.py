"""Evaluation of score maps and masks against ground truth.

Only this module and the supervised upper bound read ground truth.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from recam.core.errors import UserError
from recam.core.labels import IGNORE, class_names_with_background, seed_mask, top_class
from recam.core.metrics import (
    LEVELS,
    Confusion,
    confusion_matrix,
    confusions_by_threshold,
    error_shares,
    iou_per_class,
    level_histogram,
    miou,
    thresholds,
)
from recam.io.archives import files_in
from recam.io.images import check_mask, read_mask
from recam.io.scores import load_scores

PERCENT = 100.0
# Columns of the confusion of every image: mask ids and their pixels; only pairs that occur have a
# row.
COUNTS = ("image", "truth", "prediction", "pixels")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruth:
    """The ground truth of a split; images without a mask are not scored."""

    ids: tuple[str, ...]
    masks: Path  # folder of palette PNGs, ID.png
    classes: tuple[str, ...]

    @property
    def num_ids(self) -> int:
        """K+1: background and the classes."""
        return len(self.classes) + 1

    def scored_ids(self) -> list[str]:
        """The ids with a mask, in the order of the split. Raises UserError without the folder."""
        if not self.masks.is_dir():
            raise UserError(
                f"{self.masks}: ground truth folder not found; create it, empty if there is none"
            )
        # With broken links, which raise later.
        masks = {file.name for file in files_in(self.masks, ".png")}
        return [image_id for image_id in self.ids if f"{image_id}.png" in masks]

    def mask(self, image_id: str, *, size: tuple[int, ...]) -> UInt8[np.ndarray, "H W"]:
        """The mask of an image of ``size`` (H, W). Raises UserError if it does not fit."""
        path = self.masks / f"{image_id}.png"
        mask = read_mask(path)
        check_mask(path, mask, size=size, num_ids=self.num_ids)
        return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class MapScores:
    """The evaluation of score maps, cut into masks at a constant background score."""

    confusion: Confusion  # at the fixed threshold
    counts: pd.DataFrame  # the same for every image; columns COUNTS
    curve: Float[np.ndarray, "thresholds"]  # mIoU, 0 to 1, at ``thresholds()``; empty if unscored

    def metrics(self, *, threshold: float) -> dict[str, float]:
        """Error shares and mIoU, in percent, at the fixed and at the oracle threshold.

        The oracle threshold maximises mIoU on the same ground truth. Without a judged pixel only
        the fixed threshold is given.
        """
        fixed = {**mask_metrics(self.confusion), "threshold": threshold}
        if not len(self.curve):
            return fixed
        best = int(np.nanargmax(self.curve))
        return {
            **fixed,
            "oracle_miou": PERCENT * float(self.curve[best]),
            "oracle_threshold": float(thresholds()[best]),
        }


def score_maps(folder: Path, truth: GroundTruth, *, threshold: float) -> MapScores:
    """Evaluate a folder of ``.npz`` score maps at one threshold and over the threshold sweep.

    Raises UserError for missing or foreign files and for maps that do not fit the data set.
    """
    confusion = np.zeros((truth.num_ids, truth.num_ids), np.int64)
    histogram = np.zeros((*confusion.shape, LEVELS + 1), np.int64)
    counts: list[tuple[str, int, int, int]] = []
    for image_id in truth.scored_ids():
        path = folder / f"{image_id}.npz"
        scored = load_scores(path)
        if len(scored.classes) and scored.classes.max() >= len(truth.classes):
            raise UserError(
                f"{path}: expected class indices below {len(truth.classes)}, got "
                f"{scored.classes.max()}; make the maps again"
            )
        mask = truth.mask(image_id, size=scored.scores.shape[1:])
        fixed = seed_mask(scored.scores, scored.classes, threshold=threshold)
        of_image = confusion_matrix(mask, fixed, num_ids=truth.num_ids)
        confusion += of_image
        counts += _rows_of(image_id, of_image)
        ids, best = top_class(scored.scores, scored.classes)
        histogram += level_histogram(mask, ids, best, num_ids=truth.num_ids)
    judged = confusions_by_threshold(histogram) if confusion.any() else ()
    curve = np.array([miou(c) for c in judged], np.float64)
    return MapScores(
        confusion=confusion, counts=pd.DataFrame(counts, columns=list(COUNTS)), curve=curve
    )


def score_masks(folder: Path, truth: GroundTruth) -> tuple[Confusion, pd.DataFrame]:
    """The confusion of a folder of predicted masks, in total and for every image (COUNTS).

    Pixels predicted as 255 are not judged. Raises UserError for masks that do not fit.
    """
    confusion = np.zeros((truth.num_ids, truth.num_ids), np.int64)
    counts: list[tuple[str, int, int, int]] = []
    for image_id in truth.scored_ids():
        predicted = read_mask(folder / f"{image_id}.png")
        mask = truth.mask(image_id, size=predicted.shape)
        judged = np.where(predicted == IGNORE, np.uint8(IGNORE), mask)
        known = np.where(predicted == IGNORE, np.uint8(0), predicted)
        of_image = confusion_matrix(judged, known, num_ids=truth.num_ids)
        confusion += of_image
        counts += _rows_of(image_id, of_image)
    return confusion, pd.DataFrame(counts, columns=list(COUNTS))


def _rows_of(image_id: str, confusion: Confusion) -> Iterator[tuple[str, int, int, int]]:
    for truth, prediction in np.argwhere(confusion).tolist():
        yield image_id, truth, prediction, int(confusion[truth, prediction])


def mask_metrics(confusion: Confusion) -> dict[str, float]:
    """MIoU, the share of correct pixels and the shares of three kinds of error, in percent.

    Empty without a judged pixel.
    """
    if not confusion.any():
        return {}
    shares = asdict(error_shares(confusion))
    values = {"miou": miou(confusion), **shares}
    return {name: PERCENT * value for name, value in values.items()}


def per_class_table(confusions: Mapping[str, Confusion], classes: tuple[str, ...]) -> pd.DataFrame:
    """Columns stage, class, iou (percent; empty for a class without a pixel)."""
    names = class_names_with_background(classes)
    rows = [
        (stage, name, iou)
        for stage, confusion in confusions.items()
        if confusion.any()
        for name, iou in zip(names, (PERCENT * iou_per_class(confusion)).round(4), strict=True)
    ]
    return pd.DataFrame(rows, columns=["stage", "class", "iou"])


def confusion_table(confusions: Mapping[str, Confusion], classes: tuple[str, ...]) -> pd.DataFrame:
    """Columns stage, truth, prediction, pixels: a row for every stage and pair of names."""
    names = class_names_with_background(classes)
    rows = [
        (stage, truth, prediction, int(confusion[i, j]))
        for stage, confusion in confusions.items()
        if confusion.any()
        for i, truth in enumerate(names)
        for j, prediction in enumerate(names)
    ]
    return pd.DataFrame(rows, columns=["stage", "truth", "prediction", "pixels"])


def counts_table(counts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Columns stage and COUNTS: the confusion of every image, stage after stage."""
    tables = [table.assign(stage=stage) for stage, table in counts.items() if len(table)]
    columns = ["stage", *COUNTS]
    return pd.concat(tables).reindex(columns=columns) if tables else pd.DataFrame(columns=columns)


def curve_table(curves: Mapping[str, Float[np.ndarray, "_"]]) -> pd.DataFrame:
    """Columns stage, threshold, miou (percent)."""
    rows = [
        row
        for stage, curve in curves.items()
        for row in zip(repeat(stage), thresholds(), (PERCENT * curve).round(4), strict=False)
    ]
    return pd.DataFrame(rows, columns=["stage", "threshold", "miou"])
