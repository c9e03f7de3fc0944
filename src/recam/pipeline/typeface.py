"""Text in pictures that Pillow draws, in its own font or, if it is installed, in Noto Sans CJK."""

from functools import cache
from typing import Any, cast

from PIL import ImageFont

from recam.core.fonts import wide_font

UNKNOWN = "\U0010ffff"  # no font has a glyph for it

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def typeset(text: str, size: int) -> tuple[str, Font]:
    """The text and a font of ``size`` pixels for it.

    A character that neither font has becomes its code point, such as [U+1F408].
    """
    fonts = [ImageFont.load_default(size), *_wide(size)]
    for font in fonts:
        if all(_has(font, character) for character in text):
            return text, font
    last = fonts[-1]
    shown = [c if _has(last, c) else f"[U+{ord(c):04X}]" for c in text]
    return "".join(shown), last


@cache
def _wide(size: int) -> list[Font]:
    file = wide_font()
    return [ImageFont.truetype(str(file), size)] if file else []


def _has(font: Font, character: str) -> bool:
    """Whether a font draws a character otherwise than one that it does not know."""
    return character.isspace() or _drawn(font, character) != _drawn(font, UNKNOWN)


def _drawn(font: Font, character: str) -> bytes:
    return bytes(cast(Any, font.getmask(character)))
