"""Conversion of an image of any mode to eight bits of red, green and blue."""

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import ExifTags, Image, ImageFile

from recam.io.opening import FORMATS, RefusedError

BECOME_RGB = {"1", "L", "P", "PA", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
GREY_DEEP = ("I", "F")  # first letters of Pillow's modes of one channel with more than eight bits
BYTE, WORD = 8, 16  # bits
# Pillow's names of the order of bytes in pixels of 16 bits a channel, and those that keep the other
# byte of each value.
GREY_ALPHA = "LA;16B"
NATIVE = ";16L" if sys.byteorder == "little" else ";16B"
OTHER_BYTE = {
    f"{mode};16{one}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for one, other in ("BL", "LB")
}
PHOTOMETRIC, PLANES = ExifTags.Base.PhotometricInterpretation, ExifTags.Base.PlanarConfiguration
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation


def rgb_of(image: Image.Image, source: Path | BytesIO) -> Image.Image:
    """An image from ``opened`` as 8-bit RGB, in its stored orientation.

    Of 16 bits a channel, the bits in use (those of the brightest value, at least 8) are scaled to
    8; floating-point values are from 0 to 1. Transparent pixels are put on white, unless all are
    transparent. ICC profiles are not applied. Raises RefusedError for values without a rule.
    """
    if is_deep(image):
        return _from_deep(image, source)
    if image.mode not in BECOME_RGB:
        raise RefusedError(
            f"expected RGB, CMYK, grey or a palette, got mode {image.mode}; convert it"
        )
    if not image.has_transparency_data:
        return image.convert("RGB")
    return _on_white(image.convert("RGBA"))


def turned_upright(image: Image.Image, *, turned: int) -> Image.Image:
    """The image after the rotation of the EXIF orientation ``turned``."""
    return image.transpose(TURNS[turned]) if turned in TURNS else image


def is_deep(image: Image.Image) -> bool:
    """Whether an opened image, not decoded yet, has more than eight bits a channel."""
    return image.mode.startswith(GREY_DEEP) or _is_deep_colour(image)


def is_transparent(image: Image.Image) -> bool:
    """Whether an 8-bit image has pixels that are put on white."""
    if not image.has_transparency_data:
        return False
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return int(alpha.max()) > 0 and int(alpha.min()) < (1 << BYTE) - 1


def raw_modes(image: Image.Image) -> list[str]:
    """Pillow's names of the order of bytes in each tile; none once the image is decoded."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    args = [tile.args if isinstance(tile.args, str) else (tile.args or [""])[0] for tile in tiles]
    return [str(name) for name in args]


def _on_white(image: Image.Image) -> Image.Image:
    """An RGBA image on white; its colours where nothing at all would be left of it."""
    if is_transparent(image):
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _from_deep(image: Image.Image, source: Path | BytesIO) -> Image.Image:
    if _is_deep_colour(image):
        values = _colour_words(image, source)
    elif image.mode == "F":
        return _from_float(np.asarray(image))
    else:
        values = _grey_words(image)
    colours = Image.fromarray(_eight_bits(values[..., :3]))
    if values.shape[2] == 3:
        return colours
    colours.putalpha(Image.fromarray(_eight_bits(values[..., 3])))
    return _on_white(colours)


def _eight_bits(values: UInt16[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Scale the bits in use to eight: a 12-bit camera writes 0 to 4095 into 16 bits."""
    used = max(BYTE, int(values.max()).bit_length())
    return (values >> (used - BYTE)).astype(np.uint8)


def _grey_words(image: Image.Image) -> UInt16[np.ndarray, "H W 3"]:
    is_inverted = image.format == "TIFF" and _tag(image, PHOTOMETRIC, 1) == 0
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() >= 1 << WORD:
        raise RefusedError(
            f"expected values from 0 to {(1 << WORD) - 1}, got {values.min()} to {values.max()}; "
            "convert it to 8 or 16 bits"
        )
    values = (1 << WORD) - 1 - values if is_inverted else values
    return np.repeat(values.astype(np.uint16)[..., None], 3, axis=2)


def _from_float(values: np.ndarray) -> Image.Image:
    least, most = float(values.min()), float(values.max())
    if not (least >= 0 and most <= 1):  # false for NaN, too
        raise RefusedError(
            f"expected floating-point values from 0 to 1, got {least:g} to {most:g}; convert it to "
            "8 or 16 bits"
        )
    scaled = np.round(values * ((1 << BYTE) - 1)).astype(np.uint8)
    return Image.fromarray(scaled).convert("RGB")


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether Pillow would drop the lower byte of each value."""
    if image.mode.startswith(GREY_DEEP):
        return False
    return any(";16" in raw for raw in raw_modes(image)) or (
        image.format == "TIFF" and max(_bits(image)) > BYTE and len(_bits(image)) > 1
    )


def _colour_words(image: Image.Image, source: Path | BytesIO) -> UInt16[np.ndarray, "H W C"]:
    """Values of 16 bits, from two readings: Pillow keeps one of the two bytes of each value."""
    raw = raw_modes(image)[0].replace(";16N", NATIVE)
    if raw == GREY_ALPHA:
        return _grey_alpha_words(source)
    if raw not in OTHER_BYTE or _tag(image, PLANES, 1) != 1:
        raise RefusedError(f"has 16 bits a channel in a rare order ({raw}); convert it to 8 bits")
    high = np.asarray(image).astype(np.uint16)
    return high << BYTE | _read_as(source, OTHER_BYTE[raw])


def _grey_alpha_words(source: Path | BytesIO) -> UInt16[np.ndarray, "H W 4"]:
    """Read a pixel of 4 bytes, high and low of grey, then of alpha, as four channels."""
    parts = _read_as(source, "RGBA")
    grey, alpha = (parts[..., i] << BYTE | parts[..., i + 1] for i in (0, 2))
    return np.stack([grey, grey, grey, alpha], axis=2)


def _read_as(source: Path | BytesIO, raw: str) -> UInt16[np.ndarray, "H W C"]:
    """Decode a file with another order of bytes in a pixel of the same length."""
    with Image.open(source, formats=FORMATS) as image:
        image.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
            for tile in image.tile
        ]
        return np.asarray(image).astype(np.uint16)


def _bits(image: Image.Image) -> tuple[int, ...]:
    return tuple(_tag(image, ExifTags.Base.BitsPerSample, (BYTE,)))


def _tag(image: Image.Image, tag: int, default: Any) -> Any:
    return getattr(image, "tag_v2", {}).get(tag, default)
