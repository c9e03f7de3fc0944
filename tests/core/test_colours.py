"""Colours of pictures: distinct, bright, and stable in their order."""

import numpy as np
import pytest

from recam.core.colours import DARKEST, lab_of
from recam.core.labels import FEW_CLASSES, GREY, IGNORE, MARKS, MAX_CLASSES, display_colours


def nearest(colours, others=None):
    """The smallest CIELAB distance between two colours, or from any colour to the others."""
    first, second = lab_of(colours), lab_of(colours if others is None else others)
    distances = np.linalg.norm(first[:, None] - second[None], axis=2)
    return distances[~np.eye(len(first), dtype=bool) if others is None else ...].min()


def test_cielab_agrees_with_published_values():
    colours = np.array([(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)])
    expected = [(100, 0, 0), (0, 0, 0), (53.24, 80.09, 67.20), (87.73, -86.18, 83.18)]
    expected += [(32.30, 79.19, -107.86)]
    np.testing.assert_allclose(lab_of(colours.astype(np.uint8)), expected, atol=0.02)


@pytest.mark.parametrize(
    ("classes", "least"), [(10, 26.3), (20, 26.3), (80, 18.4), (MAX_CLASSES, 11.0)]
)
def test_any_two_classes_are_far_apart(classes, least):
    colours = display_colours(classes)[1 : classes + 1]
    assert nearest(colours) > least
    assert nearest(colours, MARKS) > 11  # no class has the colours of changes
    others = np.delete(colours, 7, axis=0)  # the eighth is white
    greys = np.arange(256, dtype=np.uint8).repeat(3).reshape(-1, 3)
    assert nearest(others, greys) > 11  # nor those of a grey image


def test_classes_after_the_tenth_are_bright():
    assert lab_of(display_colours(MAX_CLASSES)[11:IGNORE])[:, 0].min() >= DARKEST


@pytest.mark.parametrize("classes", [0, 1, 9, 10, 11, 80])
def test_a_class_has_one_colour_whatever_the_number_of_classes(classes):
    colours, all_of_them = display_colours(classes), display_colours(MAX_CLASSES)
    assert (colours[: classes + 1] == all_of_them[: classes + 1]).all()
    assert (colours[classes + 1 :] == GREY).all()
    assert (colours[0] == 0).all()
    assert (all_of_them[1:11] == FEW_CLASSES).all()
