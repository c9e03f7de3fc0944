"""Confusions, IoU, error shares and threshold curves, against numbers computed by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from sklearn.metrics import jaccard_score

from recam.core.labels import IGNORE, seed_mask, top_class
from recam.core.metrics import (
    LEVELS,
    confusion_matrix,
    confusions_by_threshold,
    error_shares,
    iou_per_class,
    level_histogram,
    miou,
    thresholds,
)

NUM_IDS = 4
SHAPE = (3, 4)
TRUTHS = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 3, IGNORE]))
PREDICTIONS = arrays(np.uint8, SHAPE, elements=st.integers(0, 3))
# Half of all scores lie exactly on a threshold, as near as float32 comes.
ON_A_THRESHOLD = st.integers(0, LEVELS).map(lambda i: float(np.float32(i / LEVELS)))
SCORES = arrays(np.float32, (2, *SHAPE), elements=ON_A_THRESHOLD | st.floats(0, 1, width=32))


def mask(*rows):
    return np.array(rows, dtype=np.uint8)


def test_ground_truth_is_in_rows_and_prediction_in_columns():
    truth = mask([0, 0], [1, 1])
    prediction = mask([0, 1], [1, 1])
    assert confusion_matrix(truth, prediction, num_ids=2).tolist() == [[1, 1], [0, 2]]


def test_iou_by_hand():
    truth = mask([0, 0, 0], [1, 1, 2], [2, 2, 2])
    prediction = mask([0, 0, 1], [1, 2, 2], [2, 2, 0])
    confusion = confusion_matrix(truth, prediction, num_ids=3)
    assert confusion.tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 3]]
    # 2 of 4 pixels that are or were called 0; 1 of 3 for 1; 3 of 5 for 2.
    assert iou_per_class(confusion) == pytest.approx([2 / 4, 1 / 3, 3 / 5])
    assert miou(confusion) == pytest.approx((2 / 4 + 1 / 3 + 3 / 5) / 3)


@given(TRUTHS, PREDICTIONS, PREDICTIONS)
def test_ignored_pixels_never_count(truth, prediction, other):
    changed = np.where(truth == IGNORE, other, prediction)
    np.testing.assert_array_equal(
        confusion_matrix(truth, prediction, num_ids=NUM_IDS),
        confusion_matrix(truth, changed, num_ids=NUM_IDS),
    )


def test_an_ignored_pixel_may_be_predicted_as_anything():
    truth, prediction = mask([IGNORE, 1]), mask([200, 1])
    assert confusion_matrix(truth, prediction, num_ids=2).tolist() == [[0, 0], [0, 1]]


@given(st.lists(st.tuples(TRUTHS, PREDICTIONS), min_size=1, max_size=4))
def test_the_confusion_of_all_is_the_sum_over_images_in_any_order(pairs):
    def total(some):
        return sum(confusion_matrix(t, p, num_ids=NUM_IDS) for t, p in some)

    truths, predictions = (np.stack(side) for side in zip(*pairs, strict=True))
    at_once = confusion_matrix(truths, predictions, num_ids=NUM_IDS)
    np.testing.assert_array_equal(total(pairs), at_once)
    np.testing.assert_array_equal(total(pairs[::-1]), at_once)


@given(TRUTHS, PREDICTIONS)
def test_agrees_with_the_confusion_matrix_of_scikit_learn(truth, prediction):
    judged = truth != IGNORE
    expected = np.zeros((NUM_IDS, NUM_IDS), dtype=np.int64)
    if judged.any():
        expected = sklearn_confusion_matrix(
            truth[judged], prediction[judged], labels=range(NUM_IDS)
        )
    np.testing.assert_array_equal(confusion_matrix(truth, prediction, num_ids=NUM_IDS), expected)


@given(arrays(np.uint8, SHAPE, elements=st.integers(0, 3)), PREDICTIONS)
def test_agrees_with_the_jaccard_score_of_scikit_learn(truth, prediction):
    present = np.union1d(truth, prediction)
    expected = jaccard_score(truth.ravel(), prediction.ravel(), labels=present, average=None)
    iou = iou_per_class(confusion_matrix(truth, prediction, num_ids=NUM_IDS))
    assert iou[present] == pytest.approx(expected)


def test_a_class_that_occurs_nowhere_is_nan_and_not_part_of_the_mean():
    confusion = np.array([[3, 0, 1], [0, 0, 0], [0, 0, 4]])
    iou = iou_per_class(confusion)
    assert np.isnan(iou).tolist() == [False, True, False]
    assert miou(confusion) == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_a_class_that_is_only_predicted_counts_as_zero():
    confusion = np.array([[3, 1], [0, 0]])
    assert iou_per_class(confusion) == pytest.approx([3 / 4, 0])
    assert miou(confusion) == pytest.approx(3 / 8)


def test_without_any_judged_pixel_everything_is_nan():
    nothing = confusion_matrix(mask([IGNORE, IGNORE]), mask([0, 1]), num_ids=2)
    assert np.isnan(miou(nothing))
    assert np.isnan(error_shares(nothing).correct)


@pytest.mark.parametrize(("truth", "prediction"), [(2, 0), (0, 2), (254, 0), (0, 254), (0, IGNORE)])
def test_an_id_beyond_the_classes_is_refused(truth, prediction):
    with pytest.raises(ValueError, match=r"an id in truth or prediction is beyond 0\.\.1"):
        confusion_matrix(mask([truth]), mask([prediction]), num_ids=2)


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(
        ValueError, match=r"truth is \(1, 2\), prediction \(2, 1\): sizes must agree"
    ):
        confusion_matrix(mask([0, 0]), mask([0], [0]), num_ids=2)


def test_error_shares_by_hand():
    # Ten pixels: 2 + 3 + 1 right, 1 object called another, 2 false positives, 1 missed.
    confusion = np.array([[2, 1, 1], [1, 3, 1], [0, 0, 1]])
    shares = error_shares(confusion)
    assert shares.correct == pytest.approx(0.6)
    assert shares.object_for_object == pytest.approx(0.1)
    assert shares.object_for_background == pytest.approx(0.2)
    assert shares.background_for_object == pytest.approx(0.1)


@given(arrays(np.int64, (NUM_IDS, NUM_IDS), elements=st.integers(0, 9)))
def test_error_shares_are_in_0_to_1_and_sum_to_one(confusion):
    confusion[0, 0] += 1  # at least one pixel
    shares = error_shares(confusion)
    parts = (
        shares.correct,
        shares.object_for_object,
        shares.object_for_background,
        shares.background_for_object,
    )
    assert sum(parts) == pytest.approx(1)
    assert all(0 <= part <= 1 for part in parts)


def test_a_sweep_tries_every_hundredth_from_zero():
    assert thresholds().tolist() == [i / 100 for i in range(100)]


def sweep(truth, scores, classes):
    ids, best = top_class(scores, classes)
    return confusions_by_threshold(level_histogram(truth, ids, best, num_ids=NUM_IDS))


def cut_at_each_threshold(truth, scores, classes):
    masks = [seed_mask(scores, classes, threshold=float(t)) for t in thresholds()]
    return np.stack([confusion_matrix(truth, m, num_ids=NUM_IDS) for m in masks])


@settings(max_examples=25)
@given(TRUTHS, SCORES, st.sampled_from([(0, 1), (0, 2), (1, 2)]))
def test_the_sweep_equals_cutting_every_mask_at_every_threshold(truth, scores, classes):
    np.testing.assert_array_equal(
        sweep(truth, scores, np.array(classes)),
        cut_at_each_threshold(truth, scores, np.array(classes)),
    )


@pytest.mark.parametrize("stored_as", [np.float32, np.float16])
def test_a_score_exactly_on_a_threshold_is_background_there_in_the_sweep_too(stored_as):
    scores = (np.arange(LEVELS + 1) / LEVELS).astype(stored_as).astype(np.float32)[None, None]
    truth = np.ones(scores.shape[1:], dtype=np.uint8)
    np.testing.assert_array_equal(
        sweep(truth, scores, np.array([0])), cut_at_each_threshold(truth, scores, np.array([0]))
    )


def test_the_sweep_of_an_image_without_classes_is_background_throughout():
    truth = mask([0, 1], [2, IGNORE])
    confusions = sweep(truth, np.zeros((0, 2, 2), np.float32), np.array([], dtype=np.int64))
    assert (confusions[:, :3, 0] == 1).all()
    assert (confusions.sum(axis=(1, 2)) == 3).all()


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="a score is not finite"):
        level_histogram(mask([0]), mask([1]), np.array([[np.nan]], np.float32), num_ids=2)


@pytest.mark.parametrize(("truth", "top_id"), [(2, 0), (0, 2)])
def test_the_sweep_refuses_an_id_beyond_the_classes(truth, top_id):
    with pytest.raises(ValueError, match=r"an id in truth or prediction is beyond 0\.\.1"):
        level_histogram(mask([truth]), mask([top_id]), np.array([[0.5]], np.float32), num_ids=2)
