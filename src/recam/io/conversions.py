"""Conversions that change or leave out pixels of an image when it becomes 8-bit RGB, in words."""

from PIL import Image

from recam.io.opening import has_frames
from recam.io.rgb import is_deep

TRANSPARENT = "the image is transparent and is put on white"
DEEP = "the image has more than 8 bits a channel; the bits in use are scaled to 8"
FRAMED = "the image has several frames, of which the first is used"


def conversions(*, transparent: bool, deep: bool, framed: bool) -> list[str]:
    """The sentences for the properties that are true."""
    found = {TRANSPARENT: transparent, DEEP: deep, FRAMED: framed}
    return [sentence for sentence, is_true in found.items() if is_true]


def conversions_of(image: Image.Image) -> list[str]:
    """The sentences about an opened image, whose pixels need not be decoded."""
    return conversions(
        transparent=image.has_transparency_data, deep=is_deep(image), framed=has_frames(image)
    )
