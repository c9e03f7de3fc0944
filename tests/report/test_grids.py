"""Image grids: colours and legends, on images of a few pixels."""

import numpy as np
from PIL import Image

from recam.core.labels import FEW_CLASSES, class_colours, palette
from recam.report.grids import GridRow, _patches, draw_grid, shown_change
from recam.report.style import BECAME_RIGHT, BECAME_WRONG

BLACK = np.zeros((1, 5, 3), np.uint8)


def test_a_change_marks_pixels_that_became_right_and_that_became_wrong():
    truth = np.array([[1, 1, 2, 255, 1]], np.uint8)
    before = np.array([[0, 1, 2, 0, 0]], np.uint8)
    after = np.array([[1, 0, 2, 1, 255]], np.uint8)
    shown = shown_change(BLACK, truth, before, after)[0]
    strong = [tuple(bytes.fromhex(colour[1:])) for colour in (BECAME_RIGHT, BECAME_WRONG)]
    for pixel, colour in zip(shown[:2], strong, strict=True):
        np.testing.assert_allclose(pixel, 0.85 * np.array(colour), atol=0.5)
    assert not shown[2:].any()  # right both times, ignored in the ground truth, ignored after


def test_up_to_ten_classes_have_safe_colours_and_more_have_those_of_voc():
    assert (class_colours(10)[1:11] == FEW_CLASSES).all()
    assert (class_colours(11) == palette()).all()
    assert len(np.unique(class_colours(10)[[0, *range(1, 11), 255]], axis=0)) == 12


def test_the_legend_names_only_what_occurs():
    def labels(ids, *, shows_change=False):
        patches = _patches(("cat", "dog"), ids=ids, shows_change=shows_change)
        return [patch.get_label() for patch in patches]

    assert labels({0, 2}) == ["dog"]
    assert labels({0, 1, 255}) == ["cat", "ignored"]
    assert labels({1}, shows_change=True) == ["cat", "became right", "became wrong"]
    assert labels({0}) == []


def test_a_grid_repeats_to_the_byte_as_png_and_jpeg(tmp_path):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    rows = [GridRow(cells={"image": image, "ground truth": image}, label="a\nCAM 31")]
    for name in ("a.png", "b.jpg"):
        files = [tmp_path / "1" / name, tmp_path / "2" / name]
        for file in files:
            draw_grid(file, rows, ("cat", "dog"), caption="two cells", ids={1})
        assert files[0].read_bytes() == files[1].read_bytes()
        with Image.open(files[0]) as picture:
            assert picture.format == {"png": "PNG", "jpg": "JPEG"}[name[2:]]
