"""Text of figures in the fonts that are at hand: any class name, without markup."""

import logging
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from matplotlib.legend import Legend

MAIN = "DejaVu Sans"  # ships with matplotlib, so figures are the same on every machine
# Noto Sans CJK, for Chinese, Japanese and Korean.
WIDE_PACKAGE, WIDE_FILE = "cvttf_NotoSansCJK_Regular", "NotoSansCJKtc-Regular.otf"


@cache
def families() -> tuple[str, ...]:
    """The names of the fonts in the order of preference; registers the wide one if installed."""
    found = find_spec(WIDE_PACKAGE)
    files = [
        Path(place) / WIDE_FILE for place in (found and found.submodule_search_locations) or ()
    ]
    if not files or not files[0].is_file():
        return (MAIN,)
    font_manager.fontManager.addfont(files[0])
    # It has one weight: silence the message about each bold title.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    return MAIN, FT2Font(str(files[0])).family_name


def drawable(text: str) -> str:
    """The text with each character that no font has as its code point, such as [U+732B]."""
    known = _characters()
    return "".join(
        character if ord(character) in known or character == "\n" else f"[U+{ord(character):04X}]"
        for character in text
    )


def name_entries(legend: Legend, names: list[str]) -> None:
    """Set the texts of a legend, which leaves out labels that begin with an underscore."""
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


@cache
def _characters() -> frozenset[int]:
    files = [font_manager.findfont(family) for family in families()]
    return frozenset(code for file in files for code in FT2Font(file).get_charmap())
