"""Places of names: inside their regions, within the image, apart from each other."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_cdt

from recam.core.regions import inner_distances, inner_point, placed_names


def blobs(random_seed):
    """A mask of some large and small regions."""
    generator = np.random.default_rng(random_seed)
    mask = np.zeros((60, 90), np.uint8)
    rows, columns = np.indices(mask.shape)
    for value in range(1, 8):
        row, column = generator.integers(mask.shape)
        mask[np.hypot(rows - row, columns - column) < generator.integers(2, 25)] = value
    return mask


@pytest.mark.parametrize("random_seed", range(5))
def test_distances_agree_with_scipy_with_outside_beyond_the_image(random_seed):
    region = blobs(random_seed) > 2
    expected = distance_transform_cdt(np.pad(region, 1), metric="taxicab")[1:-1, 1:-1]
    assert (inner_distances(region) == expected).all()


def test_the_point_of_a_rectangle_is_its_middle():
    region = np.zeros((20, 30), bool)
    region[2:7, 4:25] = True
    assert inner_point(region) == (4, 14, 3)


def test_the_point_of_a_ring_is_on_the_ring():
    rows, columns = np.indices((41, 41))
    radius = np.hypot(rows - 20, columns - 20)
    region = (radius < 19) & (radius > 12)
    row, column, distance = inner_point(region)
    assert region[row, column]
    assert distance >= 3


@pytest.mark.parametrize("random_seed", range(20))
def test_names_are_in_their_regions_within_the_image_and_apart(random_seed):
    mask = blobs(random_seed)
    widths = {value: 6.0 * value for value in range(1, 10)}  # two of them do not occur
    places = placed_names(mask, widths, height=7.0)
    assert set(places) <= set(np.unique(mask))
    boxes = {
        v: (x - widths[v] / 2, y - 3.5, x + widths[v] / 2, y + 3.5) for v, (x, y) in places.items()
    }
    for left, top, right, bottom in boxes.values():
        assert min(left, top) >= 0
        assert right <= 90
        assert bottom <= 60
    for value, (left, top, right, bottom) in boxes.items():
        row, column, distance = inner_point(mask == value)
        assert mask[row, column] == value
        assert 2 * distance >= max(7, widths[value] / 3)
        assert left <= column + 0.5 <= right
        assert top <= row + 0.5 <= bottom
        for other, (x0, y0, x1, y1) in boxes.items():
            assert other == value or right <= x0 or x1 <= left or bottom <= y0 or y1 <= top


def test_a_name_wider_than_the_image_is_left_out():
    mask = np.ones((21, 20), np.uint8)
    assert placed_names(mask, {1: 21.0}, height=5.0) == {}
    assert placed_names(mask, {1: 20.0}, height=5.0) == {1: (10.0, 10.5)}
