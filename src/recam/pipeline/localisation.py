"""Localisation scores of a folder of maps, from masks or boxes.

Ground truth of the pointing game are the pixels of the class: those of its mask, or of its boxes in
an image without a mask. Box accuracy takes the boxes of ``recam.data.boxes``, or the components of
the class's mask in an image without boxes. Maps of classes that the ground truth lacks, and images
without any, are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recam.core.labels import IGNORE, Mask, mask_id
from recam.core.localisation import (
    BoxAccuracy,
    Boxes,
    Region,
    component_boxes,
    covered_by,
    peak_hit,
)
from recam.data.boxes import BoxesOfImage, read_boxes
from recam.data.parts import BOXES
from recam.io.scores import ScoredClasses, load_scores
from recam.pipeline.evaluation import PERCENT, GroundTruth
from recam.runtime.progress import progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectTruth:
    """The mask of an image, its boxes, or both."""

    size: tuple[int, int]  # height, width
    mask: Mask | None
    boxes: BoxesOfImage | None

    def judged(self) -> Region:
        """All pixels but ignored ones."""
        return np.ones(self.size, dtype=bool) if self.mask is None else self.mask != IGNORE

    def region(self, class_index: int) -> Region:
        """The pixels of a class; none if the ground truth lacks it."""
        if self.mask is not None:
            return self.mask == mask_id(class_index)
        return covered_by(self.class_boxes(class_index), self.size)

    def class_boxes(self, class_index: int) -> Boxes:
        """The boxes of a class; none if the ground truth lacks it."""
        if self.boxes is None:
            return component_boxes(self.region(class_index))
        return self.boxes.get(class_index, np.empty((0, 4)))


def score_localisation(folder: Path, truth: GroundTruth) -> dict[str, float]:
    """``pointing`` and ``box_accuracy`` of a folder of maps, in percent.

    A score without ground truth is left out. Both are means over pairs of an image and a present
    class. Raises UserError for missing or foreign files and for ground truth that does not fit.
    """
    hits: list[float] = []
    accuracy = BoxAccuracy()
    for scored, objects in _with_truth(folder, truth):
        judged = objects.judged()
        for scores, class_index in zip(scored.scores, scored.classes.tolist(), strict=True):
            region, boxes = objects.region(class_index), objects.class_boxes(class_index)
            if region.any():
                hits.append(peak_hit(scores, region, judged))
            if len(boxes):
                accuracy.add(scores, boxes)
    values = {"pointing": np.mean(hits) if hits else np.nan, "box_accuracy": accuracy.value()}
    return {name: PERCENT * float(value) for name, value in values.items() if np.isfinite(value)}


def _with_truth(folder: Path, truth: GroundTruth) -> Iterator[tuple[ScoredClasses, ObjectTruth]]:
    """The maps of each image that has a mask or boxes."""
    boxes = read_boxes(truth.masks / BOXES, truth.classes)
    with_mask = frozenset(truth.scored_ids())
    ids = [image_id for image_id in truth.ids if image_id in with_mask or image_id in boxes]
    for image_id in progress(ids, total=len(ids), what="localisation", unit="image"):
        scored = load_scores(folder / f"{image_id}.npz")
        height, width = scored.scores.shape[1:]
        mask = truth.mask(image_id, size=(height, width)) if image_id in with_mask else None
        yield scored, ObjectTruth(size=(height, width), mask=mask, boxes=boxes.get(image_id))
