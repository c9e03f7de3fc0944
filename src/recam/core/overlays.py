"""Masks and maps over their images, as arrays of pixels."""

import numpy as np
from jaxtyping import Float, Integer, UInt8

from recam.core.labels import BACKGROUND, IGNORE, MARKS

OPACITY, BRIGHTNESS = 0.75, 0.55  # of masks, and of the image under them
LINE_SIDE = 500  # pixels of the longest side for each pixel of an outline's width
LIGHT = 215  # of the light stripes of ignored pixels
STRIPE = 3  # outlines' widths in a stripe

RGBImage = UInt8[np.ndarray, "H W 3"]
Mask = UInt8[np.ndarray, "H W"]
Palette = UInt8[np.ndarray, "256 3"]


def shown_mask(image: RGBImage, mask: Mask, colours: Palette) -> RGBImage:
    """A mask in its class colours over the darkened grey image, with dark lines around regions.

    Ignored pixels are striped.
    """
    width = outline_width(mask.shape)
    opacity = np.where(mask == BACKGROUND, 0.0, OPACITY)[..., None]
    over = colours[mask]
    rows, columns = np.indices(mask.shape)
    is_light = (rows + columns) // (STRIPE * width) % 2 == 0
    over[(mask == IGNORE) & is_light] = LIGHT
    return outlined(_blend(_dimmed(image), over, opacity), mask, width=width)


def shown_maps(
    image: RGBImage, ids: Mask, scores: Float[np.ndarray, "H W"], colours: Palette
) -> RGBImage:
    """Each pixel in the colour of its top class, with an opacity proportional to the score."""
    return _blend(_dimmed(image), colours[ids], 0.9 * scores[..., None])


def shown_grey(values: Float[np.ndarray, "H W"]) -> RGBImage:
    """Values from 0, black, to 1, white."""
    return np.repeat(np.round(255 * values.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def shown_change(image: RGBImage, truth: Mask, before: Mask, after: Mask) -> RGBImage:
    """Pixels that are right in ``after`` only and in ``before`` only, in the colours of MARKS.

    Pixels ignored in any of the three masks are not marked.
    """
    judged = (truth != IGNORE) & (before != IGNORE) & (after != IGNORE)
    right_before, right_after = before == truth, after == truth
    colours, opacity = np.zeros((*truth.shape, 3), np.uint8), np.zeros((*truth.shape, 1))
    changes = (right_after & ~right_before & judged, right_before & ~right_after & judged)
    for colour, where in zip(MARKS, changes, strict=True):
        colours[where], opacity[where] = colour, 0.85
    return _blend(_dimmed(image), colours, opacity)


def outline_width(size: tuple[int, ...]) -> int:
    """The width of outlines, in pixels, on a picture of ``size`` (height, width)."""
    return max(1, round(max(size) / LINE_SIDE))


def outlined(picture: RGBImage, mask: Mask, *, width: int) -> RGBImage:
    """The picture with black lines, ``width`` pixels wide, between the regions of a mask.

    A line lies on the larger side of a border, on background and ignored pixels before any class:
    so a region of few pixels keeps them all. Pixels farther than ``width`` from a border keep their
    values.
    """
    edges = np.zeros(mask.shape, bool)
    size = _order(mask)[mask]
    for _ in range(width):
        near = _smallest_neighbour(size)
        edges |= near < size
        size = np.minimum(size, near)
    result = picture.copy()
    result[edges] = 0
    return result


def _order(mask: Mask) -> Integer[np.ndarray, "256"]:
    """Places of all ids by their pixels, the fewest first; ignored pixels and background last."""
    pixels = np.bincount(mask.ravel(), minlength=IGNORE + 1)
    pixels[IGNORE], pixels[BACKGROUND] = mask.size + 1, mask.size + 2
    places = np.empty(IGNORE + 1, int)
    places[np.argsort(pixels, kind="stable")] = np.arange(IGNORE + 1)
    return places


def _smallest_neighbour(values: Integer[np.ndarray, "H W"]) -> Integer[np.ndarray, "H W"]:
    """The smallest of the pixel and the four beside it."""
    padded = np.pad(values, 1, mode="edge")
    return np.minimum.reduce(
        [values, padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    )


def _dimmed(image: RGBImage) -> Float[np.ndarray, "H W 3"]:
    return np.repeat(BRIGHTNESS * image.mean(axis=2, keepdims=True), 3, axis=2)


def _blend(
    under: Float[np.ndarray, "H W 3"], over: RGBImage, opacity: Float[np.ndarray, "H W 1"]
) -> RGBImage:
    return np.round((1 - opacity) * under + opacity * over).astype(np.uint8)
