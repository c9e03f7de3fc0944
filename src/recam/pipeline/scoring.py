"""Scores of one run: its maps and pseudo masks on one split, its predictions on another."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recam.core.errors import UserError
from recam.data.layout import WeakSplit
from recam.io.archives import files_in
from recam.io.records import read_cut
from recam.pipeline.evaluation import (
    GroundTruth,
    confusion_table,
    counts_table,
    curve_table,
    mask_metrics,
    per_class_table,
    score_maps,
    score_masks,
)
from recam.pipeline.localisation import score_localisation
from recam.pipeline.pseudo_masks import score_histogram, yen_threshold

CAMS, PSEUDO = "cams", "pseudo"  # stages that have maps

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredMaps:
    """Score maps of a stage and the threshold that cuts them."""

    folder: Path
    threshold: float
    saliency: str = ""  # source of the saliency maps that decided where there is background


@dataclass(frozen=True, slots=True)
class RunScores:
    """Metrics and counts by stage (cams, pseudo, seg)."""

    metrics: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    confusions: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    curves: dict[str, Any] = field(default_factory=dict[str, Any])
    counts: dict[str, Any] = field(default_factory=dict[str, Any])

    def tables(self, classes: tuple[str, ...]) -> list[pd.DataFrame]:
        """IoU by class, mIoU by background score, confusion."""
        return [
            per_class_table(self.confusions, classes),
            curve_table(self.curves),
            confusion_table(self.confusions, classes),
        ]

    def counts_table(self) -> pd.DataFrame:
        """The confusion of every image."""
        return counts_table(self.counts)


def score_run(
    stages: dict[str, ScoredMaps],
    predictions: Path,
    *,
    ground_truth: Path,
    maps_split: WeakSplit,
    seg_split: WeakSplit,
) -> RunScores:
    """Score the maps of ``stages`` on ``maps_split`` and ``predictions`` on ``seg_split``."""
    found = RunScores()
    splits = {split.name: split for split in (maps_split, seg_split)}
    truths = {name: _truth(ground_truth, split) for name, split in splits.items()}
    truth, scored = truths[maps_split.name]
    for stage, maps in stages.items():
        scores = score_maps(maps.folder, truth, threshold=maps.threshold)
        found.metrics[stage] = scored | scores.metrics(threshold=maps.threshold)
        found.metrics[stage] |= {"saliency": maps.saliency} if maps.saliency else {}
        if stage == CAMS:
            found.metrics[stage] |= score_localisation(maps.folder, truth)
        found.confusions[stage], found.curves[stage] = scores.confusion, scores.curve
        found.counts[stage] = scores.counts
    truth, scored = truths[seg_split.name]
    found.confusions["seg"], found.counts["seg"] = score_masks(predictions, truth)
    found.metrics["seg"] = scored | mask_metrics(found.confusions["seg"])
    return found


def maps_of_run(
    cams: Path | None,
    scores: Path | None,
    cut: Path | None,
    cams_threshold: float | None,
    split: WeakSplit,
) -> dict[str, ScoredMaps]:
    """The stages of a run that have score maps; the upper bound has none.

    Without ``cams_threshold`` the cams are cut where ``yen_threshold`` cuts them. Raises UserError
    where maps of an image of the split, or the file ``cut``, are missing.
    """
    stages: dict[str, ScoredMaps] = {}
    for stage, folder in {CAMS: cams, PSEUDO: scores}.items():
        if folder:
            _require_maps(folder, split)
            stages[stage] = (
                _refined(folder, cut) if stage == PSEUDO else _cams(folder, cams_threshold)
            )
    return stages


def _cams(folder: Path, threshold: float | None) -> ScoredMaps:
    if threshold is None:
        threshold = yen_threshold(score_histogram(files_in(folder, ".npz")))
    return ScoredMaps(folder=folder, threshold=threshold)


def _refined(folder: Path, cut: Path | None) -> ScoredMaps:
    if cut is None:
        raise UserError(f"{folder}: expected the file cut.json of make_pseudo with it, got none")
    numbers = read_cut(cut)
    return ScoredMaps(folder=folder, threshold=numbers.threshold, saliency=numbers.saliency)


def _require_maps(folder: Path, split: WeakSplit) -> None:
    there = {file.name for file in files_in(folder, ".npz")}
    missing = [image_id for image_id in split.ids if f"{image_id}.npz" not in there]
    if missing:
        raise UserError(
            f"{folder}: has no maps for {len(missing)} of the {len(split.ids)} images of split "
            f"{split.name} (first: {missing[0]}); make evaluate.maps_split and make_cams.split "
            "the same"
        )


def _truth(masks: Path, split: WeakSplit) -> tuple[GroundTruth, dict[str, str | int]]:
    """Ground truth of a split, and for how many of its images there is some."""
    truth = GroundTruth(ids=split.ids, masks=masks, classes=split.classes)
    images, of = len(truth.scored_ids()), len(split.ids)
    if not images:
        logger.info("no ground truth for split %s: nothing to score", split.name)
    elif images < of:
        words = "scored on %d of %d images of %s; the others have no ground truth"
        logger.info(words, images, of, split.name)
    return truth, {"split": split.name, "images": images, "of": of}
