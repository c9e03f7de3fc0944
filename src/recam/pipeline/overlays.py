"""Pictures of a mask over its image, with the names of its classes."""

import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from recam.core.labels import (
    BACKGROUND,
    FEW_CLASSES,
    IGNORE,
    class_names_with_background,
    display_colours,
)
from recam.core.overlays import shown_mask
from recam.core.regions import placed_names
from recam.pipeline.inference import shrunk_size
from recam.pipeline.typeface import typeset

OVERLAY_SIDE = 1024  # longest side of an overlay, in pixels
LINE, MARGIN = 20, 6  # of the legend, in pixels
TEXT = 12  # pixels of the legend's font, and of the smallest name in a mask
HALO = 2  # pixels around a name
NAME_SIDE = 36  # pixels of the longest side for each pixel of a name's font

Picture = UInt8[np.ndarray, "H W 3"]


def overlay(
    image: Picture, mask: UInt8[np.ndarray, "H W"], classes: tuple[str, ...]
) -> UInt8[np.ndarray, "h w 3"]:
    """The mask in bright colours over the grey image, outlined, with a legend of its classes below.

    Where a colour alone does not tell the classes apart, above ten, names stand in the mask, too.
    Images longer than 1024 pixels are shrunk to that; the legend is as wide as the image.
    """
    height, width = shrunk_size(mask.shape, OVERLAY_SIDE)
    if mask.shape != (height, width):
        size = (width, height)
        image = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        mask = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    present = [int(value) for value in np.unique(mask) if value not in (BACKGROUND, IGNORE)]
    shown = shown_mask(image, mask, display_colours(len(classes)))
    if len(classes) > len(FEW_CLASSES):
        shown = _named(shown, mask, present, classes)
    return np.concatenate([shown, _legend(present, classes, width=width)])


def _named(
    picture: Picture,
    mask: UInt8[np.ndarray, "H W"],
    values: list[int],
    classes: tuple[str, ...],
) -> Picture:
    """The name of each value whose region has room for it, white with a black border."""
    names = class_names_with_background(classes)
    size = max(TEXT, max(mask.shape) // NAME_SIDE)
    texts = {value: typeset(names[value], size) for value in values}
    widths = {value: font.getlength(text) + 2 * HALO for value, (text, font) in texts.items()}
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for value, (x, y) in placed_names(mask, widths, height=1.2 * size).items():
        text, font = texts[value]
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        corner = (x - (left + right) / 2, y - (top + bottom) / 2)
        draw.text(corner, text, "white", font, stroke_width=HALO, stroke_fill="black")
    return np.array(image)


def _legend(
    values: list[int], classes: tuple[str, ...], *, width: int
) -> UInt8[np.ndarray, "h w 3"]:
    """A colour patch and the name of every value, black on white, in lines of ``width`` pixels."""
    names, colours = class_names_with_background(classes), display_colours(len(classes))
    entries = [(value, *typeset(names[value], TEXT)) for value in values]
    places: list[tuple[int, int]] = []
    x = y = MARGIN
    for _, text, font in entries:
        length = LINE + math.ceil(font.getlength(text)) + 2 * MARGIN
        if x > MARGIN and x + length > width:
            x, y = MARGIN, y + LINE
        places.append((x, y))
        x += length
    height = y + LINE + MARGIN if values else 0
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for (value, text, font), (left, top) in zip(entries, places, strict=True):
        colour = tuple(int(part) for part in colours[value])
        draw.rectangle((left, top + 3, left + 12, top + 15), fill=colour, outline="black")
        draw.text((left + LINE, top + 2), text, fill="black", font=font)
    return np.array(image)
