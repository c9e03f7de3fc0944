"""Tables of results as CSV: the columns of each by its name, and the values of each column."""

import csv
import math
import re
import sys
from array import array
from collections.abc import Callable, Iterator, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from recam.core.errors import UserError
from recam.io.origins import remedy_of
from recam.io.seals import read_listed

PERCENT = 100.0

LINE = re.compile("[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")

Column = MutableSequence[str | int | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of a column: how a text is read, and the words for them."""

    read: Callable[[str], str | int | float]  # raises ValueError for another text
    words: str
    dtype: type

    def empty(self) -> Column:
        """A column without rows; numbers take 8 bytes each, not those of a Python object."""
        return [] if self.dtype is object else cast(Column, array(np.dtype(self.dtype).char))


def read_table(path: Path) -> pd.DataFrame:
    """A table of results; text stays text whatever it looks like: an id 0025, a class named NA.

    Raises UserError for a file that is missing or differs from its checksum, for other columns
    and for a value of another kind.
    """
    columns = COLUMNS[CURVE if path.name.endswith(CURVE) else path.name]
    rows = _rows(path)
    header = next(rows, None)
    if header != list(columns):
        got = ",".join(header or ["none"])
        raise UserError(
            f"{path}: expected the columns {','.join(columns)}, got {got:.80}; {remedy_of(path)}"
        )
    found = {name: values.empty() for name, values in columns.items()}
    for number, cells in enumerate(rows, start=2):
        if len(cells) != len(columns):
            raise UserError(
                f"{path}: row {number}: expected {len(columns)} values, got {len(cells)}; "
                f"{remedy_of(path)}"
            )
        for cell, (name, values) in zip(cells, columns.items(), strict=True):
            try:
                found[name].append(values.read(cell))
            except ValueError as error:
                raise UserError(
                    f"{path}: row {number}: expected {values.words} as {name}, got {cell!r:.40}; "
                    f"{remedy_of(path)}"
                ) from error
    return pd.DataFrame(
        {name: pd.Series(found[name], dtype=values.dtype) for name, values in columns.items()}
    )


def _rows(path: Path) -> Iterator[list[str]]:
    """The cells of each row; no list of all lines is in memory."""
    lines = (match[0] for match in LINE.finditer(read_listed(path)))
    try:
        yield from csv.reader(lines, strict=True)
    except csv.Error as error:
        raise UserError(f"{path}: not a table in CSV ({error}); {remedy_of(path)}") from error


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


# An id is in many rows: interned, it is one object for all of them.
TEXT = Values(read=sys.intern, words="text", dtype=object)
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
