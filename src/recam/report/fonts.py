"""Text of figures in the fonts that are at hand: any class name, without markup."""

import logging
from functools import cache

from matplotlib import font_manager
from matplotlib.backends.backend_agg import get_hinting_flag
from matplotlib.ft2font import FT2Font

from recam.core.fonts import wide_font

MAIN = "DejaVu Sans"  # ships with matplotlib, so figures are the same on every machine


@cache
def families() -> tuple[str, ...]:
    """The names of the fonts in the order of preference; registers the wide one if installed."""
    file = wide_font()
    if file is None:
        return (MAIN,)
    font_manager.fontManager.addfont(file)
    # It has one weight: silence the message about each bold title.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    return MAIN, FT2Font(str(file)).family_name


def drawable(text: str) -> str:
    """The text with each character that no font has as its code point, such as [U+732B]."""
    known = _characters()
    return "".join(
        character if ord(character) in known or character == "\n" else f"[U+{ord(character):04X}]"
        for character in text
    )


def text_width(text: str, *, size: float, dots: int) -> float:
    """The width in pixels of one line of text of ``size`` points, with ``dots`` per inch."""
    font = _font()
    font.set_size(size, dots)
    font.set_text(text, 0, flags=get_hinting_flag())  # hints change widths: those of the canvas
    return font.get_width_height()[0] / 64


def wrapped(text: str, *, width: int, size: float, dots: int) -> list[str]:
    """Lines of at most ``width`` pixels, broken at spaces; a longer word has a line of its own."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and text_width(longer, size=size, dots=dots) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


@cache
def _font() -> FT2Font:
    return font_manager.get_font([font_manager.findfont(family) for family in families()])


@cache
def _characters() -> frozenset[int]:
    files = [font_manager.findfont(family) for family in families()]
    return frozenset(code for file in files for code in FT2Font(file).get_charmap())
