"""Images and masks as files that any viewer can open."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from recam.core.errors import UserError
from recam.core.labels import IGNORE, MAX_CLASSES, class_colours
from recam.io.atomic import replacing

# What Pillow raises at files that are broken, foreign or far too large.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    UnidentifiedImageError,
    Image.DecompressionBombError,
)
DEEP_MODES = ("I", "F")  # Pillow's names for pixels of more than eight bits begin so
REDUCTIONS = (1, 2, 4, 8)  # by which a JPEG can be decoded smaller
IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".JPEG", ".PNG")


def read_image(
    path: Path, *, at_least: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """An image as RGB, as it is stored: not turned by its EXIF note.

    Grey, CMYK and palette images become RGB; transparency is dropped. A JPEG is decoded at a half,
    a quarter or an eighth where it still has twice the height and width of ``at_least``, as
    Pillow's own thumbnails are; ``resized`` goes on from there. Raises UserError, with the file's
    name, where it cannot be read or has more than eight bits, which Pillow would cut off.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(DEEP_MODES):
                raise UserError(
                    f"{path}: expected eight bits a channel, got mode {image.mode}; save it so"
                )
            if at_least:
                height, width = at_least
                image.draft(None, (2 * width, 2 * height))  # does nothing to other formats
            return np.array(image.convert("RGB"))  # a copy of its own, that may be written to
    except UNREADABLE as error:
        raise UserError(f"{path}: not a readable image ({error}); replace or remove it") from error


def image_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels, from the head of the file. Raises UserError as read_image."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except UNREADABLE as error:
        raise UserError(f"{path}: not a readable image ({error}); replace or remove it") from error


def resized(
    image: UInt8[np.ndarray, "H W 3"], size: tuple[int, int], *, stored: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """What ``read_image`` gave of an image of the size ``stored``, at another height and width.

    A reduced JPEG may end with a part of a pixel, which counts as such: nothing is shifted.
    The array is read-only.
    """
    height, width = next(
        (stored[0] / n, stored[1] / n)
        for n in REDUCTIONS
        if image.shape[:2] == tuple(math.ceil(length / n) for length in stored)
    )
    bicubic = Image.Resampling.BICUBIC
    return np.asarray(
        Image.fromarray(image).resize((size[1], size[0]), bicubic, box=(0, 0, width, height))
    )


def write_image(path: Path, image: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write an RGB image as PNG."""
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def read_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    """A mask's ids from a palette or grey PNG. Raises UserError where the file is neither."""
    try:
        with Image.open(path) as image:
            if image.mode not in {"P", "L"}:
                raise UserError(
                    f"{path}: expected a palette or grey PNG of class ids, got mode {image.mode}"
                )
            return np.array(image)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: this mask is missing; add it or take its id off the split"
        ) from error
    except UNREADABLE as error:
        raise UserError(f"{path}: not a readable mask ({error}); replace it") from error


def write_mask(
    path: Path, mask: UInt8[np.ndarray, "H W"], *, num_classes: int = MAX_CLASSES
) -> None:
    """Write a mask as a palette PNG in the colours of so many classes; any viewer shows it."""
    image = Image.fromarray(mask)
    image.putpalette(class_colours(num_classes).tobytes())
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")


def check_mask(
    path: Path, mask: UInt8[np.ndarray, "H W"], *, size: tuple[int, ...], num_ids: int
) -> None:
    """Raise UserError, naming the file, where a mask has another size or an id that is no class."""
    if mask.shape != tuple(size):
        raise UserError(
            f"{path}: is {mask.shape[1]}x{mask.shape[0]} pixels, its image {size[1]}x{size[0]}; "
            "make them the same size"
        )
    pixels_of_id = np.bincount(mask.ravel(), minlength=IGNORE + 1)
    beyond = np.flatnonzero(pixels_of_id[num_ids:IGNORE])
    if len(beyond):
        raise UserError(
            f"{path}: mask id {num_ids + beyond[0]} is beyond the classes; expected "
            f"0..{num_ids - 1} or {IGNORE}; correct the mask or add the class to classes.txt"
        )
