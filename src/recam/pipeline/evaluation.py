"""Scores of maps and masks against the truth, which only this and the upper bound may see."""

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
from recam.io.images import check_mask, read_mask
from recam.io.scores import load_scores

PERCENT = 100.0
# Of how many pixels of an image an id (as in masks) was taken for which; no row for pairs that
# do not occur.
COUNTS = ("image", "truth", "prediction", "pixels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The true masks of a split. Not every image need have one; those that have are scored."""

    ids: tuple[str, ...]
    masks: Path  # folder of palette PNG
    classes: tuple[str, ...]

    @property
    def num_ids(self) -> int:
        """Background and the classes."""
        return len(self.classes) + 1

    def scored_ids(self) -> list[str]:
        """The images that have a mask, in the order of the split."""
        if not self.masks.is_dir():
            raise UserError(
                f"{self.masks}: not found; give the folder of true masks, if need be empty"
            )
        masks = {file.name for file in self.masks.iterdir()}  # a link that leads nowhere counts
        return [image_id for image_id in self.ids if f"{image_id}.png" in masks]

    def mask(self, image_id: str, *, size: tuple[int, ...]) -> UInt8[np.ndarray, "H W"]:
        """The mask of an image of ``size`` (H, W). Raises UserError where it does not fit."""
        path = self.masks / f"{image_id}.png"
        mask = read_mask(path)
        check_mask(path, mask, size=size, num_ids=self.num_ids)
        return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class MapScores:
    """How good score maps are when a constant background score cuts masks from them."""

    confusion: Confusion  # at the fixed threshold
    counts: pd.DataFrame  # the same, image by image; columns COUNTS
    curve: Float[np.ndarray, "thresholds"]  # mIoU at each of ``thresholds()``; empty unscored

    def metrics(self, *, threshold: float) -> dict[str, float]:
        """Fixed and oracle mIoU in percent; the oracle chose its threshold on the same truth.

        Where no pixel was judged there is the fixed threshold and nothing else.
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


def score_maps(folder: Path, truth: Truth, *, threshold: float) -> MapScores:
    """Cut masks from a folder of ``.npz`` score maps at one threshold and at all of the sweep."""
    confusion = np.zeros((truth.num_ids, truth.num_ids), np.int64)
    histogram = np.zeros((*confusion.shape, LEVELS + 1), np.int64)
    counts: list[tuple[str, int, int, int]] = []
    for image_id in truth.scored_ids():
        path = folder / f"{image_id}.npz"
        scored = load_scores(path)
        if len(scored.classes) and scored.classes.max() >= len(truth.classes):
            raise UserError(f"{path}: has a class beyond those of the data set; make the maps anew")
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


def score_masks(folder: Path, truth: Truth) -> tuple[Confusion, pd.DataFrame]:
    """The confusion of a folder of predicted masks, and the counts of each image.

    Pixels predicted as 255 are not judged.
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
    """MIoU and the shares of right pixels and of the three confusions, all in percent.

    Empty where no pixel was judged.
    """
    if not confusion.any():
        return {}
    shares = asdict(error_shares(confusion))
    values = {"miou": miou(confusion), **shares}
    return {name: PERCENT * value for name, value in values.items()}


def per_class_table(confusions: Mapping[str, Confusion], classes: tuple[str, ...]) -> pd.DataFrame:
    """Columns stage, class, iou (percent; empty for a class that occurs nowhere)."""
    names = class_names_with_background(classes)
    rows = [
        (stage, name, iou)
        for stage, confusion in confusions.items()
        if confusion.any()
        for name, iou in zip(names, (PERCENT * iou_per_class(confusion)).round(4), strict=True)
    ]
    return pd.DataFrame(rows, columns=["stage", "class", "iou"])


def confusion_table(confusions: Mapping[str, Confusion], classes: tuple[str, ...]) -> pd.DataFrame:
    """Columns stage, truth, prediction, pixels: for each stage a row for each pair of names."""
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
    """Columns stage and COUNTS: the confusion of every image, all stages below each other."""
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
