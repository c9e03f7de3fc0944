"""Masks over images: outlines and stripes, on masks of a few pixels."""

import numpy as np
import pytest

from recam.core.labels import IGNORE, MARKS, display_colours
from recam.core.overlays import outline_width, outlined, shown_change, shown_mask

BLACK = np.zeros((1, 5, 3), np.uint8)
BLOBS = np.kron(np.random.default_rng(0).choice([0, 1, 2, 3, IGNORE], (6, 6)), np.ones((5, 5)))


def marked(mask, width=1):
    """The pixels that an outline changes."""
    mask = np.array(mask, np.uint8)
    grey = np.full((*mask.shape, 3), 100, np.uint8)
    return outlined(grey, mask, width=width)[..., 0] != 100


def test_a_change_marks_pixels_that_became_right_and_that_became_wrong():
    truth = np.array([[1, 1, 2, 255, 1]], np.uint8)
    before = np.array([[0, 1, 2, 0, 0]], np.uint8)
    after = np.array([[1, 0, 2, 1, 255]], np.uint8)
    shown = shown_change(BLACK, truth, before, after)[0]
    np.testing.assert_allclose(shown[:2], 0.85 * MARKS, atol=0.5)
    assert not shown[2:].any()  # right both times, ignored in the ground truth, ignored after


def test_a_line_lies_on_the_background_beside_a_region():
    assert marked([[0, 0, 1, 1, 0, 0]]).astype(int).tolist() == [[0, 1, 0, 0, 1, 0]]
    assert marked([[IGNORE, IGNORE, 1, 1]]).astype(int).tolist() == [[0, 1, 0, 0]]
    assert marked([[0, 0, IGNORE, IGNORE]]).astype(int).tolist() == [[0, 1, 0, 0]]


def test_a_line_between_two_classes_lies_on_the_larger():
    assert marked([[1, 1, 1, 2, 2]]).astype(int).tolist() == [[0, 0, 1, 0, 0]]
    assert marked([[2, 2, 1, 1, 1]]).astype(int).tolist() == [[0, 0, 1, 0, 0]]


@pytest.mark.parametrize("width", [1, 2])
def test_outlines_leave_the_inside_of_regions_as_it_is(width):
    mask = BLOBS.astype(np.uint8)
    changed = marked(mask, width)
    assert changed.any()
    padded = np.pad(mask, width, mode="edge")
    for row, column in np.argwhere(changed):
        window = padded[row : row + 2 * width + 1, column : column + 2 * width + 1]
        assert len(np.unique(window)) > 1
    assert not marked(np.full((4, 4), 7)).any()


def test_a_region_of_one_pixel_keeps_its_colour():
    mask = np.zeros((5, 5), np.uint8)
    mask[2, 2] = 3
    colours = display_colours(20)
    shown = shown_mask(np.zeros((5, 5, 3), np.uint8), mask, colours)
    np.testing.assert_allclose(shown[2, 2], 0.75 * colours[3], atol=0.5)


def test_ignored_pixels_are_striped():
    mask = np.full((12, 12), IGNORE, np.uint8)
    shown = shown_mask(np.zeros((12, 12, 3), np.uint8), mask, display_colours(3))
    assert len(np.unique(shown)) == 2
    assert (shown[:-3, 3:] == shown[3:, :-3]).all()  # at 45 degrees


def test_outlines_grow_with_the_picture():
    assert [outline_width((side, 10)) for side in (48, 400, 1024, 2000)] == [1, 1, 2, 4]
