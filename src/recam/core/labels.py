"""Mask values, and masks cut from score maps.

Masks are uint8 images: 0 background, 1..K the foreground classes, 255 ignored pixels. Everywhere
else foreground classes are indices 0..K-1; only this file converts between the two.
"""

from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8

from recam.core.colours import distinct_colours

BACKGROUND = 0
IGNORE = 255
MAX_CLASSES = IGNORE - 1  # ids 1..254 fit beside background and ignore in one byte

# Colours for colour-blind readers: Okabe & Ito (2008), and three more.
FEW_CLASSES = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
        (255, 255, 255),
        (148, 103, 189),
        (140, 86, 75),
    ],
    dtype=np.uint8,
)
GREY = 128
# Pixels that became right and wrong, in pictures: no class has these colours.
MARKS = np.array([(0, 229, 255), (255, 45, 45)], dtype=np.uint8)

Mask = UInt8[np.ndarray, "H W"]
Scores = Float[np.ndarray, "n H W"]  # one score map per present class, in [0, 1]
Classes = Integer[np.ndarray, "n"]  # their class indices, 0..K-1


def mask_id(class_index: int) -> int:
    """The mask value, 1..K, of a foreground class index, 0..K-1."""
    return class_index + 1


def class_names_with_background(classes: tuple[str, ...]) -> tuple[str, ...]:
    """The K+1 names in the order of mask values 0..K."""
    return ("background", *classes)


def labels_of_mask(mask: Mask, *, num_classes: int) -> Bool[np.ndarray, "K"]:
    """True for every foreground class with at least one pixel in the mask."""
    present = np.zeros(IGNORE + 1, dtype=bool)
    present[np.unique(mask)] = True
    return present[mask_id(0) : mask_id(num_classes)]


def top_class(
    scores: Scores, classes: Classes
) -> tuple[UInt8[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """The mask id and the float32 score of each pixel's best present class.

    Without a present class every pixel is background with score 0.
    """
    if len(classes) == 0:
        height_width = scores.shape[1:]
        return np.full(height_width, BACKGROUND, np.uint8), np.zeros(height_width, np.float32)
    ids = (np.asarray(classes) + mask_id(0)).astype(np.uint8)
    return ids[scores.argmax(axis=0)], scores.max(axis=0).astype(np.float32)


def seed_mask(scores: Scores, classes: Classes, *, threshold: float) -> Mask:
    """Argmax over the constant background score ``threshold`` and the maps of present classes.

    A tie goes to the background: argmax takes the first of equal values, and background is first.
    """
    ids, best = top_class(scores, classes)
    return np.where(best > threshold, ids, np.uint8(BACKGROUND))


def banded_mask(scores: Scores, classes: Classes, *, background: float, foreground: float) -> Mask:
    """A training mask in which pixels between two background scores are ignored (255).

    A pixel gets its best class if that class scores above ``foreground``, and background if no
    class scores above ``background``. Both are in [0, 1].
    """
    ids, best = top_class(scores, classes)
    unsure = np.where(best > background, np.uint8(IGNORE), np.uint8(BACKGROUND))
    return np.where(best > foreground, ids, unsure)


def mask_of_choices(choices: UInt8[np.ndarray, "H W"], classes: Classes) -> Mask:
    """Replace choice i (0 background, i >= 1 the i-th of ``classes``) by its mask id.

    Ignored pixels (255) stay ignored.
    """
    ids = np.full(IGNORE + 1, IGNORE, np.uint8)
    ids[BACKGROUND] = BACKGROUND
    ids[1 : len(classes) + 1] = np.asarray(classes) + mask_id(0)
    return ids[choices]


def palette() -> UInt8[np.ndarray, "256 3"]:
    """PASCAL VOC's colour map: the bits of an id, dealt to red, green and blue in turn."""
    ids = np.arange(IGNORE + 1)
    colours = np.zeros((IGNORE + 1, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return colours


def class_colours(num_classes: int) -> UInt8[np.ndarray, "256 3"]:
    """The RGB colour of every mask id, for mask files.

    Up to ten classes have colours for colour-blind readers, a black background and grey ignored
    pixels. More classes have PASCAL VOC's colours.
    """
    colours = palette()
    if num_classes <= len(FEW_CLASSES):
        colours[mask_id(0) : mask_id(num_classes)] = FEW_CLASSES[:num_classes]
        colours[IGNORE] = GREY
    return colours


@cache
def display_colours(num_classes: int) -> UInt8[np.ndarray, "256 3"]:
    """The RGB colour of every mask id, for pictures, overlays and pages; read-only.

    The background is black, and ignored pixels are grey. The first ten classes have colours for
    colour-blind readers. Further classes have bright colours that are far apart in CIELAB, and a
    class has the same colour whatever the number of classes.
    """
    colours = np.full((IGNORE + 1, 3), GREY, dtype=np.uint8)
    colours[BACKGROUND] = 0
    colours[mask_id(0) : mask_id(num_classes)] = distinct_colours(
        FEW_CLASSES, avoided=MARKS, count=num_classes
    )
    colours.flags.writeable = False
    return colours
