"""Outlines of masks: known polygons, and the region back to the pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as cocomask
from scipy import ndimage
from tool_files import grid

from recam.exchange.outlines import box_of, doubled_area, filled, objects_of
from recam.exchange.runs import compressed, run_lengths

regions = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))


def test_a_pixel_is_a_square_of_four_corners_from_the_upper_left():
    region = grid("000", "010") == 1
    assert objects_of(region) == [[(2, 1), (2, 2), (1, 2), (1, 1)]]


def test_straight_edges_have_no_corner_between():
    assert len(objects_of(np.ones((5, 7), bool))[0]) == 4


def test_pixels_that_share_a_corner_are_two_objects():
    assert len(objects_of(grid("10", "01") == 1)) == 2


def test_a_hole_is_joined_by_a_slit_that_is_walked_both_ways():
    ring = objects_of(grid("111", "101", "111") == 1)
    assert len(ring) == 1
    assert doubled_area(ring[0]) == 2 * 8
    assert ring[0].count((0, 1)) == 2  # the slit from (1, 1) to the left edge


def test_an_object_in_a_hole_is_an_object_of_its_own():
    region = grid("11111", "10001", "10101", "10001", "11111") == 1
    areas = [doubled_area(ring) // 2 for ring in objects_of(region)]
    assert sorted(areas) == [1, 16]


def test_an_empty_region_has_no_object():
    assert objects_of(np.zeros((3, 4), bool)) == []


@given(region=regions)
def test_outlines_filled_give_back_the_region_one_for_each_component(region):
    rings = objects_of(region)
    polygons = [np.array(ring, float) for ring in rings]
    np.testing.assert_array_equal(filled(polygons, region.shape), region)
    assert len(rings) == ndimage.label(region)[1]
    assert sum(map(doubled_area, rings)) == 2 * region.sum()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
@given(region=regions)
def test_pycocotools_draws_the_same_region(region):
    polygons = [[c for corner in ring for c in corner] for ring in objects_of(region)]
    if polygons:
        drawn = cocomask.decode(cocomask.merge(cocomask.frPyObjects(polygons, *region.shape)))
        np.testing.assert_array_equal(drawn.astype(bool), region)


@given(
    region=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=60), elements=st.booleans())
)
def test_run_lengths_are_those_of_pycocotools(region):
    expected = cocomask.encode(np.asfortranarray(region, dtype=np.uint8))
    assert compressed(run_lengths(region)) == expected["counts"].decode()


def test_run_lengths_go_down_the_columns_and_begin_outside():
    assert run_lengths(grid("10", "11") == 1) == [0, 2, 1, 1]


def test_a_polygon_covers_the_pixels_whose_centres_it_has_and_is_cut_at_the_border():
    triangle = np.array([[0, 0], [4, 0], [0, 4]], float)
    expected = grid("1110", "1100", "1000", "0000") == 1
    np.testing.assert_array_equal(filled([triangle], (4, 4)), filled([triangle[::-1]], (4, 4)))
    np.testing.assert_array_equal(filled([triangle - 0.1], (4, 4)), expected)
    far = np.array([[-100, -100], [2, -100], [2, 100], [-100, 100]], float)
    np.testing.assert_array_equal(filled([far], (2, 3)), grid("110", "110") == 1)


def test_the_box_of_a_ring_holds_its_corners():
    assert box_of([(2, 1), (5, 1), (5, 4), (2, 4)]) == (2, 1, 5, 4)
