"""Pictures of a mask over its image, with the names of its classes."""

import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from recam.core.labels import BACKGROUND, class_colours, class_names_with_background
from recam.pipeline.inference import shrunk_size

OVERLAY_SIDE = 1024  # longest side of an overlay, in pixels
LINE, MARGIN = 20, 6  # of the legend, in pixels
OPACITY = 0.75


def overlay(
    image: UInt8[np.ndarray, "H W 3"], mask: UInt8[np.ndarray, "H W"], classes: tuple[str, ...]
) -> UInt8[np.ndarray, "h w 3"]:
    """The mask in its colours over the grey image, with a legend of its classes below.

    Images longer than 1024 pixels are shrunk to that; the legend is as wide as the image.
    """
    height, width = shrunk_size(mask.shape, OVERLAY_SIDE)
    if mask.shape != (height, width):
        size = (width, height)
        image = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        mask = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    colours = class_colours(len(classes))
    grey = np.asarray(Image.fromarray(image).convert("L"), dtype=float)[..., None]
    dimmed = np.broadcast_to(grey * 0.55, image.shape)
    share = np.where(mask == BACKGROUND, 0.0, OPACITY)[..., None]
    shown = np.round((1 - share) * dimmed + share * colours[mask]).astype(np.uint8)
    present = [int(value) for value in np.unique(mask) if value != BACKGROUND]
    return np.concatenate([shown, _legend(present, classes, width=width)])


def _legend(
    values: list[int], classes: tuple[str, ...], *, width: int
) -> UInt8[np.ndarray, "h w 3"]:
    """A colour patch and the name of every value, black on white, in lines of ``width`` pixels."""
    names, colours = class_names_with_background(classes), class_colours(len(classes))
    font = ImageFont.load_default(12)
    places: list[tuple[int, int]] = []
    x = y = MARGIN
    for value in values:
        length = LINE + math.ceil(font.getlength(names[value])) + 2 * MARGIN
        if x > MARGIN and x + length > width:
            x, y = MARGIN, y + LINE
        places.append((x, y))
        x += length
    height = y + LINE + MARGIN if values else 0
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for value, (left, top) in zip(values, places, strict=True):
        colour = tuple(int(part) for part in colours[value])
        draw.rectangle((left, top + 3, left + 12, top + 15), fill=colour, outline="black")
        draw.text((left + LINE, top + 2), names[value], fill="black", font=font)
    return np.array(image)
