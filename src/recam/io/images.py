"""Images and masks as files that any viewer can open."""

import math
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from recam.core.errors import UserError
from recam.core.labels import IGNORE, MAX_CLASSES, class_colours
from recam.io.archives import located
from recam.io.opening import SIDEWAYS, UPRIGHT, RefusedError, opened, orientation
from recam.io.rgb import raw_modes, rgb_of, turned_upright
from recam.io.seals import check_image, check_png
from recam.io.stores import store

GREY_MODE = "L"  # of Pillow: eight bits, no colour
MASK_MODES = {"P", "L"}  # of a mask
MASK_FORMATS = ("PNG",)  # others change ids, or cannot be linked as <id>.png
REDUCTIONS = (1, 2, 4, 8)  # of a JPEG while it is decoded


def read_image(
    path: Path, *, at_least: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """An image as uint8 RGB, upright: EXIF rotation is applied. Other modes as in ``rgb_of``.

    With ``at_least`` (height, width) a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that keeps
    twice ``at_least``, as in Pillow's thumbnails; ``resized`` continues from there. Raises
    UserError for a file that cannot be read, and for one that the download step saw otherwise.
    """
    check_image(path)
    with opened(path) as image:
        turned = orientation(image)
        if at_least:
            height, width = at_least if turned < SIDEWAYS else at_least[::-1]
            image.draft(None, (2 * width, 2 * height))  # does nothing to other formats
        return np.array(turned_upright(rgb_of(image, path), turned=turned))  # a writable copy


def image_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels of the upright image, from the file header. Raises UserError."""
    with opened(path) as image:
        width, height = upright_size(image)
        return height, width


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an opened image after its EXIF rotation."""
    width, height = image.size
    return (height, width) if orientation(image) >= SIDEWAYS else (width, height)


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
    _write_png(path, Image.fromarray(image))


def read_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read the uint8 ids of a palette or grey PNG. Raises UserError for any other file."""
    path = located(path)
    check_png(path, missing="mask not found; add it, or remove its id from the split")
    with opened(path, formats=MASK_FORMATS, noun="mask") as image:
        if words := not_ids(image):
            raise RefusedError(words)
        return np.array(image)


def not_ids(image: Image.Image) -> str:
    """Why the pixels of an opened PNG are no class ids; empty if they may be."""
    if image.mode not in MASK_MODES:
        return (
            f"expected a palette or grey PNG of class ids, got mode {image.mode}; export class ids "
            "instead of colours or deeper values"
        )
    if image.mode == GREY_MODE and raw_modes(image)[:1] != [GREY_MODE]:
        return "expected 8 bits a pixel in a grey PNG of class ids, got fewer; save it with 8 bits"
    if orientation(image) != UPRIGHT:
        return "expected a mask without EXIF rotation, got one; save it upright"
    return ""


def read_saliency(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read an 8-bit grey map, 0 to 255. Raises UserError for any other file."""
    path = located(path)
    check_png(path, missing="saliency map not found; add it")
    with opened(path, noun="saliency map") as image:
        if image.mode != GREY_MODE:
            raise RefusedError(
                f"expected an 8-bit grey PNG of saliency, got mode {image.mode}; convert it"
            )
        return np.array(image)


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
    _write_png(path, Image.fromarray(saliency))


def write_mask(
    path: Path, mask: UInt8[np.ndarray, "H W"], *, num_classes: int = MAX_CLASSES
) -> None:
    """Write a mask as a palette PNG in the colours of ``num_classes`` classes, atomically."""
    image = Image.fromarray(mask)
    image.putpalette(class_colours(num_classes).tobytes())
    _write_png(path, image)


def _write_png(path: Path, image: Image.Image) -> None:
    content = BytesIO()
    image.save(content, format="PNG")
    store(path, (content.getbuffer(),))


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
