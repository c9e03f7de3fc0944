"""Images and masks as files that any viewer can open."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from recam.core.errors import UserError
from recam.core.labels import IGNORE, MAX_CLASSES, class_colours
from recam.io.atomic import replacing
from recam.io.seals import check_png

# Pillow's exceptions for files that are damaged, no image, or far too large.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    UnidentifiedImageError,
    Image.DecompressionBombError,
)
GREY_MODE = "L"  # of Pillow: eight bits, no colour
DEEP_MODES = ("I", "F")  # first letters of Pillow's modes with more than eight bits a channel
REDUCTIONS = (1, 2, 4, 8)  # of a JPEG while it is decoded
IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".JPEG", ".PNG")


def read_image(
    path: Path, *, at_least: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """An image as uint8 RGB, in its stored orientation: EXIF rotation is not applied.

    Grey, CMYK and palette images become RGB; transparency is dropped. With ``at_least`` (height,
    width) a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that keeps twice ``at_least``, as in
    Pillow's thumbnails; ``resized`` continues from there. Raises UserError for an unreadable file
    and for more than eight bits a channel, which Pillow would cut off.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(DEEP_MODES):
                raise UserError(
                    f"{path}: expected eight bits a channel, got mode {image.mode}; convert it"
                )
            if at_least:
                height, width = at_least
                image.draft(None, (2 * width, 2 * height))  # does nothing to other formats
            return np.array(image.convert("RGB"))  # a writable copy
    except UNREADABLE as error:
        raise UserError(f"{path}: not a readable image ({error}); replace or remove it") from error


def image_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels, from the file header. Raises UserError for an unreadable file."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except UNREADABLE as error:
        raise UserError(f"{path}: not a readable image ({error}); replace or remove it") from error


def resized(
    image: UInt8[np.ndarray, "H W 3"], size: tuple[int, int], *, stored: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Resize an image from ``read_image`` to ``size`` (height, width), bicubically.

    ``stored`` is the height and width in the file. The last row and column of a reduced JPEG may
    cover a fraction of a pixel; the fraction is taken into account, so nothing is shifted. The
    array is read-only.
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
    """Write a uint8 RGB image as PNG, atomically."""
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def read_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read the uint8 ids of a palette or grey PNG. Raises UserError for any other file."""
    check_png(path, missing="mask not found; add it, or remove its id from the split")
    try:
        with Image.open(path) as image:
            if image.mode not in {"P", "L"}:
                raise UserError(
                    f"{path}: expected a palette or grey PNG of class ids, got mode {image.mode}; "
                    "convert it"
                )
            return np.array(image)
    except UNREADABLE as error:
        raise UserError(f"{path}: not a readable mask ({error}); replace it") from error


def read_saliency(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read an 8-bit grey map, 0 to 255. Raises UserError for any other file."""
    check_png(path, missing="saliency map not found; add it")
    try:
        with Image.open(path) as image:
            if image.mode != GREY_MODE:
                raise UserError(
                    f"{path}: expected an 8-bit grey PNG of saliency, got mode {image.mode}; "
                    "convert it"
                )
            return np.array(image)
    except UNREADABLE as error:
        raise UserError(f"{path}: not a readable saliency map ({error}); replace it") from error


def check_saliency(
    path: Path, saliency: UInt8[np.ndarray, "H W"], *, size: tuple[int, ...]
) -> None:
    """Raise UserError if a map is not of ``size``, the (height, width) of its image."""
    if saliency.shape != tuple(size):
        height, width = saliency.shape
        raise UserError(
            f"{path}: is {width}x{height} pixels, its image {size[1]}x{size[0]}; make them the "
            "same size"
        )


def write_saliency(path: Path, saliency: UInt8[np.ndarray, "H W"]) -> None:
    """Write an 8-bit grey map as PNG, atomically."""
    with replacing(path) as temporary:
        Image.fromarray(saliency).save(temporary, format="PNG")


def write_mask(
    path: Path, mask: UInt8[np.ndarray, "H W"], *, num_classes: int = MAX_CLASSES
) -> None:
    """Write a mask as a palette PNG in the colours of ``num_classes`` classes, atomically."""
    image = Image.fromarray(mask)
    image.putpalette(class_colours(num_classes).tobytes())
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")


def check_mask(
    path: Path, mask: UInt8[np.ndarray, "H W"], *, size: tuple[int, ...], num_ids: int
) -> None:
    """Raise UserError if a mask is not of ``size`` (height, width) or has an id above K.

    ``num_ids`` is K+1; 255 is allowed.
    """
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
