"""Pointing game and box accuracy, by hand on small maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recam.core.localisation import (
    IOUS,
    THRESHOLDS,
    BoxAccuracy,
    best_ious,
    component_boxes,
    covered_by,
    hits_by_threshold,
    peak_hit,
)

ALL = np.ones((2, 3), dtype=bool)
LEFT = np.array([[1, 0, 0], [1, 0, 0]], dtype=bool)
SQUARE = np.zeros((6, 6), dtype=bool)
SQUARE[1:5, 1:5] = True

steps = st.integers(0, 50).map(lambda step: np.float32(step / 50))
maps = arrays(np.float32, (5, 5), elements=steps)


def scores(*rows):
    return np.array(rows, np.float32)


def boxes(*rows):
    return np.array(rows, np.float64).reshape(-1, 4)


def accuracy(found, truth):
    total = BoxAccuracy()
    for one in found:
        total.add(one, truth)
    return total.value()


def test_a_peak_inside_the_object_hits():
    assert peak_hit(scores([0.9, 0.5, 0.0], [0.1, 0.2, 0.8]), LEFT, ALL) == 1


def test_a_peak_outside_the_object_misses():
    assert peak_hit(scores([0.8, 0.5, 0.0], [0.1, 0.2, 0.9]), LEFT, ALL) == 0


def test_of_equal_peaks_the_fraction_inside_counts():
    assert peak_hit(scores([0.9, 0.9, 0.0], [0.1, 0.9, 0.9]), LEFT, ALL) == 0.25


def test_a_peak_on_ignored_pixels_does_not_count():
    judged = ALL.copy()
    judged[1, 2] = False
    assert peak_hit(scores([0.8, 0.5, 0.0], [0.1, 0.2, 0.9]), LEFT, judged) == 1


def test_an_empty_map_misses():
    assert peak_hit(np.zeros((2, 3), np.float32), ALL, ALL) == 0


def test_components_touch_at_corners():
    region = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]], dtype=bool)
    assert component_boxes(region).tolist() == [[1, 0, 3, 2], [2, 3, 4, 4]]


def test_an_empty_region_has_no_boxes():
    assert component_boxes(np.zeros((2, 2), dtype=bool)).shape == (0, 4)


def test_boxes_cover_the_pixels_whose_centres_they_hold():
    covered = covered_by(boxes([0.4, 0, 1.6, 1], [2, 1, 3, 2]), (2, 3))
    assert covered.tolist() == [[True, True, False], [False, False, True]]


@given(arrays(np.bool_, (4, 5)))
def test_the_boxes_of_components_cover_them(region):
    assert not (region & ~covered_by(component_boxes(region), region.shape)).any()


def test_iou_is_that_of_the_best_ground_truth_box():
    truth = boxes([0, 0, 2, 2], [0, 0, 4, 4])
    found = boxes([0, 0, 2, 1], [0, 0, 4, 4], [3, 3, 5, 5], [6, 6, 7, 7])
    assert best_ious(found, truth).tolist() == pytest.approx([2 / 4, 1, 1 / 19, 0])


def test_without_ground_truth_every_iou_is_0():
    assert best_ious(boxes([0, 0, 2, 1]), boxes()).tolist() == [0]


def test_hits_are_those_of_the_components_above_each_threshold():
    one = np.where(SQUARE, np.float32(0.5), np.float32(0.1))
    hits = hits_by_threshold(one, component_boxes(SQUARE))
    # Up to 0.1 the box is the image, with IoU 16/36; up to 0.5 it is the square.
    below = np.array(THRESHOLDS) < 0.1
    between = ~below & (np.array(THRESHOLDS) < 0.5)
    assert hits.tolist() == [(below | between).tolist(), between.tolist(), between.tolist()]


def test_any_component_may_hit_any_box():
    one = scores([1, 0, 1, 1], [0, 0, 1, 1])
    assert hits_by_threshold(one, boxes([2, 0, 4, 2], [0, 1, 1, 2])).all()
    assert not hits_by_threshold(one, boxes([0, 1, 1, 2])).any()


def test_a_perfect_map_scores_1():
    assert accuracy([SQUARE.astype(np.float32)], component_boxes(SQUARE)) == 1


def test_an_empty_map_scores_0():
    assert accuracy([np.zeros((6, 6), np.float32)], component_boxes(SQUARE)) == 0


def test_the_mean_over_ious_is_taken_at_the_best_threshold_of_each():
    # The box of the whole image has IoU 16/36 with the square: a hit at 0.3 only.
    assert accuracy([np.ones((6, 6), np.float32)], component_boxes(SQUARE)) == pytest.approx(1 / 3)


def test_all_maps_share_one_threshold():
    square, truth = SQUARE.astype(np.float32), component_boxes(SQUARE)
    low = np.where(SQUARE, np.float32(0.3), np.float32(0))  # right below 0.3
    high = np.where(SQUARE, np.float32(1), np.float32(0.6))  # right from 0.6 on
    assert accuracy([low, square], truth) == 1
    # At 0.3 <= IoU 16/36 of the image's box both hit; at 0.5 and 0.7 one of the two.
    assert accuracy([low, high], truth) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_without_maps_there_is_no_accuracy():
    assert np.isnan(BoxAccuracy().value())


@given(maps, maps)
def test_monotone_rescaling_on_the_grid_changes_nothing(one, other):
    """Ranks of the values that occur, a step of the thresholds apart."""
    values = np.unique([0, *one.flat, *other.flat])
    rescaled = [
        np.searchsorted(values, m).astype(np.float32) / np.float32(50) for m in (one, other)
    ]
    truth = boxes([1, 1, 4, 4])
    assert accuracy(rescaled, truth) == pytest.approx(accuracy([one, other], truth))


@given(maps)
def test_a_larger_iou_is_harder_to_reach(one):
    hits = hits_by_threshold(one, boxes([1, 1, 4, 4]))
    assert list(IOUS) == sorted(IOUS)
    assert (hits[:-1] >= hits[1:]).all()
