"""Tables of results as CSV: the columns of each by its name, and the values of each column."""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recam.core.errors import UserError
from recam.io.origins import remedy_of
from recam.io.seals import read_listed

PERCENT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of a column: how a text is read, and the words for them."""

    read: Callable[[str], str | int | float]  # raises ValueError for another text
    words: str
    dtype: type


def read_table(path: Path) -> pd.DataFrame:
    """A table of results; text stays text whatever it looks like: an id 0025, a class named NA.

    Raises UserError for a file that is missing or differs from its checksum, for other columns
    and for a value of another kind.
    """
    columns = COLUMNS[CURVE if path.name.endswith(CURVE) else path.name]
    lines = _lines(path)
    if not lines or lines[0] != list(columns):
        got = ",".join(lines[0]) if lines else "none"
        raise UserError(
            f"{path}: expected the columns {','.join(columns)}, got {got:.80}; {remedy_of(path)}"
        )
    rows = [_row(path, number, cells, columns) for number, cells in enumerate(lines[1:], start=2)]
    return pd.DataFrame(
        {
            name: pd.Series([row[position] for row in rows], dtype=values.dtype)
            for position, (name, values) in enumerate(columns.items())
        }
    )


def _lines(path: Path) -> list[list[str]]:
    try:
        return list(csv.reader(read_listed(path).splitlines(keepends=True), strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: not a table in CSV ({error}); {remedy_of(path)}") from error


def _row(
    path: Path, number: int, cells: list[str], columns: dict[str, Values]
) -> list[str | int | float]:
    if len(cells) != len(columns):
        raise UserError(
            f"{path}: row {number}: expected {len(columns)} values, got {len(cells)}; "
            f"{remedy_of(path)}"
        )
    found: list[str | int | float] = []
    for cell, (name, values) in zip(cells, columns.items(), strict=True):
        try:
            found.append(values.read(cell))
        except ValueError as error:
            raise UserError(
                f"{path}: row {number}: expected {values.words} as {name}, got {cell!r:.40}; "
                f"{remedy_of(path)}"
            ) from error
    return found


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) > np.iinfo(np.int64).max:
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    value = float(text or "nan")
    if math.isinf(value):
        raise ValueError(text)
    return value


def _share(text: str) -> float:
    value = _number(text)
    if value < 0 or value > PERCENT:  # an undefined share is neither
        raise ValueError(text)
    return value


TEXT = Values(read=str, words="text", dtype=object)
WHOLE = Values(read=_whole, words="a whole number", dtype=np.int64)
NUMBER = Values(read=_number, words="a number, or nothing where it is undefined", dtype=np.float64)
SHARE = Values(read=_share, words="a number from 0 to 100, or nothing", dtype=np.float64)

CURVE = "_curve.csv"  # ending of the names of training curves
COLUMNS = {
    CURVE: {"epoch": WHOLE, "loss": TEXT, "value": NUMBER},
    "counts.csv": {
        **{"stage": TEXT, "image": TEXT},
        **{"truth": WHOLE, "prediction": WHOLE, "pixels": WHOLE},
    },
    "per_class.csv": {"stage": TEXT, "class": TEXT, "iou": SHARE},
    "thresholds.csv": {"stage": TEXT, "threshold": NUMBER, "miou": SHARE},
    "confusion.csv": {"stage": TEXT, "truth": TEXT, "prediction": TEXT, "pixels": WHOLE},
}
