"""Mask values, and masks cut from score maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from recam.core.labels import (
    BACKGROUND,
    IGNORE,
    MAX_CLASSES,
    banded_mask,
    class_names_with_background,
    labels_of_mask,
    mask_id,
    mask_of_choices,
    palette,
    seed_mask,
    top_class,
)

CLASSES = np.array([1, 4, 7])
# Few values, so that ties between classes and with thresholds are common.
LEVELS = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0])
SCORES = arrays(np.float32, st.tuples(st.just(3), st.just(2), st.just(3)), elements=LEVELS)


def pixels(*values):
    """One class's scores of a row of pixels."""
    return np.array([[values]], dtype=np.float32)


@given(SCORES, LEVELS)
def test_a_seed_mask_holds_present_classes_or_background_only(scores, threshold):
    mask = seed_mask(scores, CLASSES, threshold=threshold)
    assert set(np.unique(mask)) <= {BACKGROUND, *(CLASSES + 1)}


@given(SCORES, LEVELS, LEVELS)
def test_raising_the_background_score_never_grows_the_foreground(scores, one, other):
    low, high = sorted((one, other))
    before = seed_mask(scores, CLASSES, threshold=low)
    after = seed_mask(scores, CLASSES, threshold=high)
    kept = after != BACKGROUND
    np.testing.assert_array_equal(after[kept], before[kept])


@given(SCORES, LEVELS)
def test_a_seed_mask_is_the_argmax_of_the_background_score_and_the_maps(scores, threshold):
    background = np.full((1, 2, 3), threshold, dtype=np.float32)
    argmax = np.concatenate([background, scores]).argmax(axis=0)
    ids = np.array([BACKGROUND, *(c + 1 for c in CLASSES)])
    np.testing.assert_array_equal(seed_mask(scores, CLASSES, threshold=threshold), ids[argmax])


def test_a_tie_with_the_background_score_goes_to_the_background():
    mask = seed_mask(pixels(0.25, 0.5, 0.75), np.array([2]), threshold=0.5)
    assert mask.tolist() == [[0, 0, 3]]


def test_a_tie_holds_for_a_threshold_that_float32_cannot_express():
    assert seed_mask(pixels(0.3), np.array([0]), threshold=0.3).tolist() == [[0]]


def test_a_tie_between_classes_goes_to_the_first():
    scores = np.concatenate([pixels(0.5), pixels(0.5)])
    assert seed_mask(scores, np.array([3, 5]), threshold=0.1).tolist() == [[mask_id(3)]]


def test_without_any_class_all_is_background():
    nothing = np.zeros((0, 2, 2), dtype=np.float32)
    mask = seed_mask(nothing, np.array([], dtype=np.int64), threshold=0.0)
    assert mask.tolist() == [[0, 0], [0, 0]]


def test_the_top_class_is_the_best_present_class_and_its_score():
    scores = np.concatenate([pixels(0.25, 0.75), pixels(0.5, 0.125)])
    ids, best = top_class(scores, np.array([2, 9]))
    assert ids.tolist() == [[10, 3]]
    assert best.tolist() == [[0.5, 0.75]]


def test_pixels_between_the_two_scores_are_ignored():
    row = pixels(0.0, 0.25, 0.375, 0.5, 0.625)  # below, on the lower, between, on the upper, above
    mask = banded_mask(row, np.array([2]), background=0.25, foreground=0.5)
    assert mask.tolist() == [[0, 0, IGNORE, IGNORE, 3]]


@given(SCORES, LEVELS, LEVELS)
def test_a_banded_mask_is_255_exactly_between_the_two_scores(scores, one, other):
    low, high = sorted((one, other))
    mask = banded_mask(scores, CLASSES, background=low, foreground=high)
    best = scores.max(axis=0)
    np.testing.assert_array_equal(mask == IGNORE, (best > low) & (best <= high))


@given(SCORES, LEVELS)
def test_an_empty_band_gives_the_seed_mask(scores, threshold):
    banded = banded_mask(scores, CLASSES, background=threshold, foreground=threshold)
    np.testing.assert_array_equal(banded, seed_mask(scores, CLASSES, threshold=threshold))


def test_masks_are_bytes():
    scores = pixels(0.5)
    assert seed_mask(scores, np.array([0]), threshold=0.1).dtype == np.uint8
    assert banded_mask(scores, np.array([0]), background=0.1, foreground=0.2).dtype == np.uint8


def test_the_last_class_that_fits_a_byte_has_the_id_before_ignore():
    assert mask_id(MAX_CLASSES - 1) == IGNORE - 1
    mask = seed_mask(pixels(0.5), np.array([MAX_CLASSES - 1]), threshold=0.1)
    assert mask.tolist() == [[254]]


def test_labels_are_the_classes_seen_in_the_mask():
    mask = np.array([[0, 1], [3, IGNORE]], dtype=np.uint8)
    assert labels_of_mask(mask, num_classes=4).tolist() == [True, False, True, False]


@pytest.mark.parametrize("value", [BACKGROUND, IGNORE])
def test_background_and_ignored_pixels_are_no_label(value):
    mask = np.full((2, 2), value, dtype=np.uint8)
    assert not labels_of_mask(mask, num_classes=MAX_CLASSES).any()


@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=4), elements=st.integers(0, 5))
)
def test_labels_agree_with_looking_for_each_class(mask):
    expected = [bool((mask == c + 1).any()) for c in range(5)]
    assert labels_of_mask(mask, num_classes=5).tolist() == expected


def test_background_is_named_first():
    assert class_names_with_background(("cat", "dog")) == ("background", "cat", "dog")


def choices(*values):
    """A row of pixels."""
    return np.array([values], dtype=np.uint8)


def test_the_i_th_choice_is_the_i_th_class():
    mask = mask_of_choices(choices(0, 1, 2, 3, 1), CLASSES)
    assert mask.tolist() == [[0, 2, 5, 8, 2]]
    assert mask.dtype == np.uint8


def test_ignored_choices_stay_ignored():
    assert mask_of_choices(choices(IGNORE, 1, IGNORE), CLASSES).tolist() == [[IGNORE, 2, IGNORE]]


def test_the_last_class_is_no_ignored_choice():
    mask = mask_of_choices(choices(0, 1, IGNORE), np.array([MAX_CLASSES - 1]))
    assert mask.tolist() == [[0, 254, IGNORE]]


def test_with_all_classes_present_every_choice_is_its_own_id():
    every = np.arange(IGNORE + 1, dtype=np.uint8)[None]
    assert mask_of_choices(every, np.arange(MAX_CLASSES)).tolist() == every.tolist()


def test_without_a_class_choices_are_background_or_ignored():
    nothing = np.array([], dtype=np.int64)
    assert mask_of_choices(choices(0, IGNORE), nothing).tolist() == [[0, IGNORE]]


# The colours of PASCAL VOC's development kit, VOClabelcolormap.m.
VOC_COLOURS = {
    0: (0, 0, 0),
    1: (128, 0, 0),  # aeroplane
    2: (0, 128, 0),  # bicycle
    3: (128, 128, 0),  # bird
    4: (0, 0, 128),  # boat
    8: (64, 0, 0),  # cat
    15: (192, 128, 128),  # person
    20: (0, 64, 128),  # tv monitor
    255: (224, 224, 192),  # void
}


@pytest.mark.parametrize(("value", "colour"), VOC_COLOURS.items())
def test_masks_are_shown_in_the_colours_of_pascal_voc(value, colour):
    assert tuple(palette()[value]) == colour


def test_every_id_has_a_colour_of_its_own():
    assert len(np.unique(palette(), axis=0)) == 256
