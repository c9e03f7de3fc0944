"""Overlays: colours, outlines, names and legends, checked on small masks."""

import numpy as np
from PIL import ImageFont

from recam.core.labels import IGNORE, display_colours
from recam.pipeline import typeface
from recam.pipeline.overlays import overlay
from recam.pipeline.typeface import typeset

GREY = np.full((30, 50, 3), 100, dtype=np.uint8)
MANY = tuple(f"class {number}" for number in range(1, 21))


def coloured(value, num_classes):
    """A colour over the darkened grey of GREY."""
    return np.round(0.25 * 55 + 0.75 * display_colours(num_classes)[value].astype(float))


def test_the_overlay_shows_the_mask_in_its_colours_with_a_legend():
    mask = np.zeros((30, 50), dtype=np.uint8)
    mask[5:15, 10:30], mask[20:25] = 1, 3
    shown = overlay(GREY, mask, ("cat", "guinea pig", "dog, wet"))
    colours = display_colours(3)
    assert shown.shape[1] == 50
    for value in (1, 3):
        assert (shown[:30][mask == value] == coloured(value, 3)).all()
    below = shown[30:].reshape(-1, 3).tolist()
    assert colours[1].tolist() in below
    assert colours[3].tolist() in below
    assert colours[2].tolist() not in below


def test_outlines_lie_around_objects_and_between_them():
    mask = np.zeros((30, 50), dtype=np.uint8)
    mask[10:20, 10:20], mask[10:20, 20:30] = 1, 2
    shown = overlay(GREY, mask, ("cat", "dog"))[:30]
    black = (shown == 0).all(axis=2)
    assert black[9, 10:30].all()
    assert black[20, 10:30].all()
    assert black[10:20, [9, 30]].all()
    assert black[10:20, 20].all()
    assert black.sum() == 2 * 20 + 3 * 10
    assert (shown[mask == 0].reshape(-1, 3)[:, 0] % 55 == 0).all()


def test_an_overlay_without_any_class_has_no_legend():
    mask = np.zeros((30, 50), dtype=np.uint8)
    mask[:, 25:] = IGNORE
    assert overlay(GREY, mask, ("cat",)).shape == (30, 50, 3)


def test_names_stand_in_the_masks_of_many_classes_only():
    image = np.full((200, 300, 3), 100, dtype=np.uint8)
    mask = np.zeros((200, 300), dtype=np.uint8)
    mask[60:140, 20:280] = 7
    few, many = (overlay(image, mask, names)[:200] for names in (MANY[:10], MANY))
    assert (few[mask == 7] == coloured(7, 10)).all()
    rows, columns = np.nonzero(many.min(axis=2) > 180)  # the text is white
    assert 90 < rows.min() < rows.max() < 110
    assert 100 < columns.min() < columns.max() < 200


def test_names_at_the_border_of_a_picture_are_whole():
    image = np.full((60, 200, 3), 100, dtype=np.uint8)

    def white(columns):
        mask = np.zeros((60, 200), dtype=np.uint8)
        mask[:, columns] = 3
        return (overlay(image, mask, MANY)[:60] == 255).all(axis=2).sum()

    whole = white(slice(80, 120))
    assert white(slice(None, 16)) == white(slice(184, None)) == whole > 0
    assert white(slice(0, 1)) == 0  # no room


def test_all_colours_of_voc_differ_from_the_darkened_image():
    mask = np.repeat(np.arange(21, dtype=np.uint8), 10)[None].repeat(30, axis=0)
    image = np.full((*mask.shape, 3), 230, dtype=np.uint8)
    shown = overlay(image, mask, tuple("abcdefghijklmnopqrst"))[2].astype(int)
    background = shown[3]
    inside = [shown[10 * value + 2] for value in range(1, 21)]
    assert min(np.abs(colour - background).max() for colour in inside) > 30


def test_characters_without_a_glyph_become_code_points():
    text, font = typeset("cat \U0001f408", 12)
    assert text == "cat [U+1F408]"
    assert font.getlength("cat") > 10


def test_names_need_no_font_package(monkeypatch):
    monkeypatch.setattr(typeface, "_wide", lambda _: [])
    text, font = typeset("猫 cat", 12)
    assert text == "[U+732B] cat"
    assert isinstance(font, ImageFont.FreeTypeFont)
