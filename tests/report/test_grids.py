"""Image grids: rows, legends and names, on images of a few pixels."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from recam.core.labels import FEW_CLASSES, IGNORE, class_colours, display_colours, palette
from recam.report import grids
from recam.report.captions import caption_of
from recam.report.grids import Cell, GridRow, draw_grid, maps_cell
from recam.report.legends import legend_entries

SHAPES = ((40, 60), (60, 40), (30, 90), (64, 64), (90, 30))
TITLES = ("image", "ground truth", "segmentation")


def photo(height, width, random_seed=0):
    """A noisy image without white pixels."""
    generator = np.random.default_rng(random_seed)
    return generator.integers(0, 200, (height, width, 3), dtype=np.uint8)


def drawn(path, rows, classes=("cat", "dog"), **options):
    draw_grid(path, rows, classes, caption="some cells", **options)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_up_to_ten_classes_have_safe_colours_and_more_have_those_of_voc_in_files():
    assert (class_colours(10)[1:11] == FEW_CLASSES).all()
    assert (class_colours(11) == palette()).all()
    assert len(np.unique(class_colours(10)[[0, *range(1, 11), 255]], axis=0)) == 12


@pytest.mark.parametrize(
    ("classes", "digest"),
    [
        (3, "f8bf9027f41853d8"),
        (10, "a13350e65bbfa4a5"),
        (20, "ec76f86cfddd0f4c"),
        (254, "ec76f86cfddd0f4c"),
    ],
)
def test_the_palette_of_files_never_changes(classes, digest):
    assert hashlib.sha256(class_colours(classes).tobytes()).hexdigest()[:16] == digest


def test_the_legend_names_exactly_the_classes_that_occur():
    def names(ids, classes=("cat", "dog"), **options):
        return [entry.name for entry in legend_entries(classes, ids=ids, **options)]

    assert names({0, 2}) == ["dog"]
    assert names({0, 1, IGNORE}) == ["cat", "ignored"]
    assert names({1}, shows_change=True) == ["cat", "became right", "became wrong"]
    assert names({0}) == []
    many = tuple(f"class {number}" for number in range(200))
    assert names(set(range(0, 201, 3)), many) == [many[number] for number in range(2, 200, 3)]
    colours = [entry.colour for entry in legend_entries(many, ids={1, 20, 199})]
    assert colours == [f"#{bytes(display_colours(200)[i].tolist()).hex()}" for i in (1, 20, 199)]


def test_the_ids_of_a_cell_are_those_of_its_mask_or_of_the_maps_above_0():
    image = photo(2, 2)
    assert Cell(pixels=image).ids == set()
    assert Cell(pixels=image, mask=np.array([[0, 3], [255, 3]], np.uint8)).ids == {0, 3, 255}
    ids, scores = np.array([[1, 2], [1, 4]], np.uint8), np.array([[0.5, 0], [0, 0.1]])
    assert maps_cell(image, ids, scores, ("a", "b", "c", "d")).ids == {1, 4}


def test_a_picture_has_the_colours_of_its_classes_in_the_legend_and_no_others(tmp_path):
    masks = [np.full((8, 8), value, np.uint8) for value in (0, 2, 7, 15)]
    rows = [GridRow(cells={"a": Cell(pixels=photo(8, 8), mask=mask)}) for mask in masks]
    classes = tuple("abcdefghijklmnopqrst")
    picture = drawn(tmp_path / "a.png", rows, classes)
    below = picture[4 * (grids.CELL + grids.GAP) :].reshape(-1, 3)
    colours = display_colours(len(classes))[1:21]
    present = [i for i, colour in enumerate(colours, 1) if (below == colour).all(axis=1).any()]
    assert present == [2, 7, 8, 15]  # the eighth is white, as the paper


def test_there_is_no_white_band_between_rows_of_any_shape(tmp_path):
    rows = [
        GridRow(cells={title: Cell(pixels=photo(*shape)) for title in TITLES}, label="one line")
        for shape in SHAPES
    ]
    picture = drawn(tmp_path / "a.png", rows)
    below_titles = (picture.mean(axis=(1, 2)) < 200).argmax()
    last = len(picture) - (picture.mean(axis=(1, 2)) < 200)[::-1].argmax()
    white = (picture.min(axis=(1, 2)) > 250)[below_titles:last]
    runs = np.diff(np.flatnonzero(np.concatenate([[True], ~white, [True]]))) - 1
    assert runs.max() <= grids.GAP
    assert (runs == grids.GAP).sum() == len(SHAPES) - 1


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_is_as_tall_as_its_image_in_the_width_of_a_column(tmp_path, shape):
    green = np.full((*shape, 3), (10, 200, 30), np.uint8)
    picture = drawn(tmp_path / "a.png", [GridRow(cells={"image": Cell(pixels=green)})])
    is_green = (picture == (10, 200, 30)).all(axis=2)
    height, width = is_green.any(axis=1).sum(), is_green.any(axis=0).sum()
    assert is_green.sum() == height * width
    assert height == round(grids.CELL * min(shape[0] / shape[1], grids.TALLEST))
    assert width == pytest.approx(height * shape[1] / shape[0], abs=1)


def test_a_picture_of_many_methods_is_at_most_2000_pixels_wide(tmp_path):
    titles = ["image", *(f"method {number}\nsegmentation" for number in range(30))]
    rows = [GridRow(cells={title: Cell(pixels=photo(10, 10)) for title in titles}, label="a")]
    picture = drawn(tmp_path / "a.png", rows)
    assert 1800 < picture.shape[1] <= 2000
    layout = grids._layout(rows)
    assert [block[0] for block in layout.blocks] == ["image"] * len(layout.blocks)
    assert [title for block in layout.blocks for title in block[1:]] == titles[1:]
    assert layout.cell >= grids.NARROWEST


def test_names_stand_on_masks_of_many_classes_only(tmp_path):
    mask = np.zeros((60, 60), np.uint8)
    mask[:, :40] = 2
    pictures = {}
    for count in (10, 11):
        for name in ("a", "n"):
            classes = tuple(name * 3 + str(number) for number in range(count))
            rows = [GridRow(cells={"image": Cell(pixels=photo(60, 60), mask=mask)})]
            pictures[count, name] = drawn(tmp_path / "a.png", rows, classes)[50:200]
    assert (pictures[10, "a"] == pictures[10, "n"]).all()
    changed = np.argwhere((pictures[11, "a"] != pictures[11, "n"]).any(axis=2))
    assert len(changed)
    assert changed[:, 1].max() < grids.MARGIN + grids.CELL * 40 / 60  # within the region


def test_a_grid_repeats_to_the_byte_as_png_and_jpeg(tmp_path):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    cells = {"image": Cell(pixels=image), "ground truth": Cell(pixels=image)}
    rows = [GridRow(cells=cells, label="a\nCAM 31")]
    for name in ("a.png", "b.jpg"):
        files = [tmp_path / "1" / name, tmp_path / "2" / name]
        for file in files:
            draw_grid(file, rows, ("cat", "dog"), caption="two cells")
        assert files[0].read_bytes() == files[1].read_bytes()
        with Image.open(files[0]) as picture:
            assert picture.format == {"png": "PNG", "jpg": "JPEG"}[name[2:]]
            caption, height = caption_of(picture), picture.height
            below = np.asarray(picture.convert("L"))[height - caption.pixels :]
        assert caption.text == "two cells"
        assert below[:2].min() > 240  # the strip begins above the letters,
        assert below.min() < 160  # and has them
