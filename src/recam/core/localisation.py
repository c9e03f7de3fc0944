"""Localisation by score maps: the pointing game, and box accuracy at the best threshold.

The pointing game is that of Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV
2016, without its tolerance of 15 pixels. Box accuracy is MaxBoxAccV2 of Choe et al.,
"Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020, in its extended version
(arXiv 2007.04178).
"""

from dataclasses import dataclass, field
from typing import cast

import numpy as np
from jaxtyping import Bool, Float, Int64

IOUS = (0.3, 0.5, 0.7)  # MaxBoxAccV2 is the mean over these
THRESHOLDS = tuple(i / 50 for i in range(50))  # 0.00, 0.02, ... 0.98
EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)

Map = Float[np.ndarray, "H W"]  # scores in [0, 1]
Region = Bool[np.ndarray, "H W"]
# x_min, y_min, x_max, y_max in pixels from the upper left corner; x_max - x_min is the width.
Boxes = Float[np.ndarray, "_ 4"]


def peak_hit(scores: Map, inside: Region, judged: Region) -> float:
    """1 if the maximum of a map over its judged pixels is inside the ground truth, else 0.

    Of several equal maxima the fraction inside counts. A map without a positive judged score
    misses.
    """
    peak = scores.max(where=judged, initial=0)
    if peak <= 0:
        return 0.0
    return float(inside[judged & (scores == peak)].mean())


def component_boxes(region: Region) -> Boxes:
    """The bounding boxes of the 8-connected components of a region."""
    from scipy import ndimage  # noqa: PLC0415 a light install lacks it

    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not len(rows):
        return np.empty((0, 4))
    y, x = rows[0], columns[0]
    window = region[y : rows[-1] + 1, x : columns[-1] + 1]  # labelling takes most of the time
    components = np.empty(window.shape, np.int32)
    ndimage.label(window, structure=EIGHT_NEIGHBOURS, output=components)
    slices = cast(list[tuple[slice, slice]], ndimage.find_objects(components))
    found = [(of_x.start, of_y.start, of_x.stop, of_y.stop) for of_y, of_x in slices]
    return np.array(found, np.float64) + np.array([x, y, x, y])


def covered_by(boxes: Boxes, size: tuple[int, int]) -> Region:
    """The pixels of an image of ``size`` (H, W) whose centres lie in a box."""
    y, x = (np.arange(length) + 0.5 for length in size)
    covered = np.zeros(size, dtype=bool)
    for x_min, y_min, x_max, y_max in boxes:
        covered |= np.outer((y >= y_min) & (y < y_max), (x >= x_min) & (x < x_max))
    return covered


def best_ious(boxes: Boxes, truth: Boxes) -> Float[np.ndarray, "_"]:
    """The largest IoU, in [0, 1], of each box with a ground truth box; 0 without one."""
    best = np.zeros(len(boxes))
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for box in truth:
        overlap = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
        shared = np.prod(overlap.clip(min=0), axis=1)
        union = areas + np.prod(box[2:] - box[:2]) - shared
        np.maximum(best, shared / union, out=best)
    return best


def hits_by_threshold(scores: Map, truth: Boxes) -> Bool[np.ndarray, "ious thresholds"]:
    """Whether the box of any component of a map fits any ground truth box.

    A row for each of IOUS, a column for each of THRESHOLDS; a component has scores above it.
    """
    boxes = [component_boxes(scores > threshold) for threshold in THRESHOLDS]
    of_threshold = np.repeat(np.arange(len(boxes)), [len(found) for found in boxes])
    fits = np.zeros(len(boxes))
    np.maximum.at(fits, of_threshold, best_ious(np.concatenate(boxes), truth))
    return fits >= np.array(IOUS)[:, None]


@dataclass(slots=True)
class BoxAccuracy:
    """Hits of many maps by IoU and threshold, summed."""

    maps: int = 0
    hits: Int64[np.ndarray, "ious thresholds"] = field(
        default_factory=lambda: np.zeros((len(IOUS), len(THRESHOLDS)), np.int64)
    )

    def add(self, scores: Map, truth: Boxes) -> None:
        """Count one map and the ground truth boxes of its class."""
        self.maps += 1
        self.hits += hits_by_threshold(scores, truth)

    def value(self) -> float:
        """MaxBoxAccV2, in [0, 1]: the mean over IOUS of the accuracy at its best threshold.

        NaN without a map.
        """
        return float(self.hits.max(axis=1).mean() / self.maps) if self.maps else float("nan")
