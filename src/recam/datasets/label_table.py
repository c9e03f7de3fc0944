"""The table of labels in a folder of the user's own, in either form, and the classes it names."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool

from recam.core.errors import UserError
from recam.core.labels import mask_id
from recam.core.names import (
    clean_id,
    clean_name,
    first_respelled,
    is_background,
    quoted,
    reason_no_class,
    reason_no_name,
    reason_unfit,
    shown,
    spelling,
)
from recam.data.layout import CLASSES, LABEL_CELLS, LABELS, MASKS, read_classes
from recam.io.opening import IMAGE_SUFFIXES
from recam.io.tables import Table, read_table

BY_NAME = "labels"  # the column of the form with names
LABEL_SEPARATORS = "[;|,；，｜、]"  # noqa: RUF001 also those of Chinese and Japanese keyboards

Labels = dict[str, Bool[np.ndarray, "K"]]
NamesOfRows = list[tuple[int, list[str]]]  # line of each row, and its classes


def read_label_table(root: Path, ids_by_name: Mapping[str, str]) -> tuple[tuple[str, ...], Labels]:
    """Read class names and multi-hot labels by id from labels.csv, in either form.

    ``ids_by_name`` has the id of each image file. Raises UserError for an invalid table.
    """
    path = root / LABELS
    table = read_table(path, missing=f"save the table of labels there as CSV{_elsewhere(root)}")
    columns = [clean_name(name) for name in table.header]
    _check_columns(path, columns)
    ids = _ids(table, ids_by_name)
    by_name = [name.casefold() for name in columns[1:]] == [BY_NAME]
    rows = _from_names(table) if by_name else _from_columns(table, ids, columns[1:])
    listed = read_classes(root / CLASSES) if (root / CLASSES).is_file() else ()
    in_header = [] if by_name else [(1, columns[1:])]
    known = _class_names(path, [*in_header, *rows], listed)
    classes = listed or tuple(_sorted(known) if by_name else known)
    if not listed and (root / MASKS).is_dir():
        _check_numbers(path, classes)
    found = {
        i: np.array([c in names for c in classes]) for i, (_, names) in zip(ids, rows, strict=True)
    }
    return classes, found


def id_named(text: str, ids_by_name: Mapping[str, str]) -> str:
    """The id of an image that is listed by its id, its file name or its path."""
    text = clean_id(text)
    last = text.replace("\\", "/").rpartition("/")[2]
    for name in (text, last, _stem(last)):
        if name in ids_by_name:
            return ids_by_name[name]
    return _stem(text)


def _stem(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else name


def _elsewhere(root: Path) -> str:
    """The folder that holds the table instead, one level off."""
    places = [root.parent, *sorted(p for p in root.iterdir() if p.is_dir())]
    there = [place for place in places if (place / LABELS).is_file()]
    return f", or set download.source to {there[0]}, which has one" if there else ""


def _check_columns(path: Path, columns: list[str]) -> None:
    if len(columns) < 2 or columns[0].casefold() != "id":
        got = ", ".join(map(quoted, columns[:3])) or "an empty line"
        raise UserError(
            f"{path}: expected the column 'id' and either one 0/1 column per class or the column "
            f"'labels', got {got}; rename or add columns"
        )
    others = [name for name in columns[1:] if name.casefold() != BY_NAME]
    if len(others) < len(columns) - 1 and others:
        raise UserError(
            f"{path}: expected no column beside 'id' and 'labels', got {quoted(others[0])}; delete "
            "it, or the column 'labels'"
        )


def _ids(table: Table, ids_by_name: Mapping[str, str]) -> list[str]:
    lines: dict[str, int] = {}
    for number, (text, *_) in zip(table.lines, table.rows, strict=True):
        where, image_id = f"{table.path}: line {number}", id_named(text, ids_by_name)
        if not image_id:
            raise UserError(f"{where}: the row has no id; add it or delete the row")
        if image_id in lines:
            raise UserError(
                f"{where}: image {shown(image_id)} has two rows, also line {lines[image_id]}; keep "
                "one with all of its labels"
            )
        lines[image_id] = number
    if not lines:
        raise UserError(f"{table.path}: expected a row for each image, got none; add rows")
    return list(lines)


def _from_names(table: Table) -> NamesOfRows:
    """Rows such as ``0042,cat;dog``."""
    cells = zip(table.lines, (cell for _, cell in table.rows), strict=True)
    return [(number, _names_in(cell)) for number, cell in cells]


def _names_in(cell: str) -> list[str]:
    whole = clean_name(cell)
    if any(map(str.isalnum, whole)) and reason_no_name(whole):  # N/A, ['cat', 'dog'] or 1,0
        return [whole]
    names = [clean_name(name) for name in re.split(LABEL_SEPARATORS, cell)]
    return [name for name in names if name and not is_background(name)]


def _from_columns(table: Table, ids: list[str], classes: list[str]) -> NamesOfRows:
    """Rows such as ``0042,1,0,1``."""
    rows: NamesOfRows = []
    for number, image_id, (_, *cells) in zip(table.lines, ids, table.rows, strict=True):
        for name, cell in zip(classes, cells, strict=True):
            if cell not in LABEL_CELLS:
                hint = "" if len(classes) > 1 else ", or name the column 'labels'"
                raise UserError(
                    f"{table.path}: line {number}: image {shown(image_id)}, class {name}: expected "
                    f"0 or 1, got {quoted(cell)}; correct it{hint}"
                )
        names = [name for name, cell in zip(classes, cells, strict=True) if cell == "1"]
        rows.append((number, [name for name in names if not is_background(name)]))
    return rows


def _class_names(path: Path, rows: NamesOfRows, listed: tuple[str, ...]) -> list[str]:
    """The distinct class names in the order of the table. Raises UserError for other words."""
    lines: dict[str, int] = {}
    for number, names in rows:
        for name in names:
            lines.setdefault(name, number)
    known = [name for name in lines if not is_background(name)]
    for name in known:
        if name not in listed:
            _check_name(f"{path}: line {lines[name]}", name, listed)
    if not listed and (pair := first_respelled(known)):
        first, other = pair
        raise UserError(
            f"{path}: line {lines[other]}: class {quoted(other)} is spelled {quoted(first)} in "
            f"line {lines[first]}; use one spelling, or list both in {CLASSES} if they differ"
        )
    return known


def _check_name(where: str, name: str, listed: tuple[str, ...]) -> None:
    """Raise UserError for a name that is not in classes.txt or, without that, for no name."""
    if reason := reason_no_class(name):
        raise UserError(
            f"{where}: expected names of classes, {quoted(name)} {reason}; delete it: an image "
            "without a class has an empty cell, or 0 in every column"
        )
    if listed:
        alike = [other for other in listed if spelling(other) == spelling(name)]
        remedy = f"write {quoted(alike[0])}" if alike else f"correct it or add it to {CLASSES}"
        raise UserError(f"{where}: expected the classes of {CLASSES}, got {quoted(name)}; {remedy}")
    if reason := reason_unfit(name) or reason_no_name(name):
        raise UserError(
            f"{where}: expected names of classes such as cat;dog, {quoted(name)} {reason}; correct "
            f"it, or list it in {CLASSES} if it is a class"
        )


def _sorted(names: Iterable[str]) -> list[str]:
    """Names by the alphabet, and numbers by their value."""
    names = list(names)
    return sorted(names, key=int) if all(map(str.isdecimal, names)) else sorted(names)


def _check_numbers(path: Path, classes: tuple[str, ...]) -> None:
    """Raise UserError if a class is named by a number that is not its value in masks."""
    for index, name in enumerate(classes):
        if name.isdecimal() and int(name) != mask_id(index):
            raise UserError(
                f"{path}: class {quoted(name)} would be {mask_id(index)} in masks; list the classes"
                f" in {CLASSES}, that of mask value 1 first"
            )
