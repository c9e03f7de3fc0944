"""The files and folders of a data set by name, and its list of classes.

Nothing here needs a table library, so that commands of a light installation can import it.
"""

from collections.abc import Iterable
from pathlib import Path

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, MAX_CLASSES
from recam.core.names import (
    clean_name,
    is_background,
    is_ignored,
    quoted,
    reason_no_class,
    reason_unfit,
)
from recam.io.tables import read_lines

IMAGES = "JPEGImages"
MASKS = "SegmentationClass"
SPLITS = "ImageSets/Segmentation"
LABELS = "labels.csv"
CLASSES = "classes.txt"
BOXES = "boxes.csv"  # in MASKS
BOX_COLUMNS = ("id", "class", "x_min", "y_min", "x_max", "y_max")


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the foreground class names, one per line in index order. Raises UserError.

    Names are those of ``clean_name``. Leading lines ``__ignore__`` and ``_background_`` of label
    editors are left out, since masks count from ``_background_``, 0.
    """
    cleaned = {number: clean_name(text) for number, text in read_lines(path).items()}
    lines = _without_background([(n, name) for n, name in cleaned.items() if name])
    names = tuple(name for _, name in lines)
    for number, name in lines:
        if reason := reason_unfit(name):
            raise UserError(
                f"{path}: line {number}: {quoted(name)} {reason}; write one class name per line"
            )
        if reason := reason_no_class(name):
            raise UserError(
                f"{path}: line {number}: {quoted(name)} {reason}; delete the line: in masks "
                f"background is {BACKGROUND}, ignored pixels are {IGNORE}, and line n is class n"
            )
    if repeated := repeated_line(lines):
        raise UserError(
            f"{path}: line {repeated[0]}: class {quoted(repeated[1])} is listed twice; list each "
            "class once"
        )
    if not 1 <= len(names) <= MAX_CLASSES:
        raise UserError(
            f"{path}: expected 1 to {MAX_CLASSES} classes, got {len(names)}; list one name per line"
        )
    return names


def repeated_line(lines: Iterable[tuple[int, str]]) -> tuple[int, str] | None:
    """The first line, with its number, whose text is that of an earlier line."""
    earlier: set[str] = set()
    for number, text in lines:
        if text in earlier:
            return number, text
        earlier.add(text)
    return None


def _without_background(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The lines after ``_background_``, if that is the first one, also after ``__ignore__``."""
    names = [name for _, name in lines]
    if len(names) > 1 and is_ignored(names[0]) and is_background(names[1]):
        return lines[2:]
    return lines[1:] if names and is_background(names[0]) else lines
