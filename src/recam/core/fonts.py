"""The font of class names in Chinese, Japanese and Korean, if its package is installed."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE, FILE = "cvttf_NotoSansCJK_Regular", "NotoSansCJKtc-Regular.otf"


@cache
def wide_font() -> Path | None:
    """The file of Noto Sans CJK; None in a light installation."""
    found = find_spec(PACKAGE)
    files = [Path(place) / FILE for place in (found and found.submodule_search_locations) or ()]
    return next((file for file in files if file.is_file()), None)
