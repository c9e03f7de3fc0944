"""Tables and lists as spreadsheets, label editors and this project write them.

Every cell is text: an id such as 0387, 1e5, NA or 2007-01-01 stays as it is written. Nothing is
repaired quietly but blank rows, blanks around cells, and separators without a cell at the end of
rows. An error names the line of the file, from 1.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recam.core.errors import UserError
from recam.core.names import quoted

SEPARATORS = ",;\t"
_LINE_END = re.compile("\r\n|\r|\n")  # str.splitlines would also split at U+0085 and U+2028
_FORMULA = re.compile('="(.*)"')  # spreadsheets keep the leading zeros of ="0042"
_NULL = "\0"
_MISSING = "run the download step or add the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text: all rows are as long as the header, whose cells differ."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]  # of the rows, in the file

    def column(self, name: str) -> list[str]:
        """The cells of a column, from the first row."""
        place = self.header.index(name)
        return [row[place] for row in self.rows]


def read_text(path: Path, *, missing: str = _MISSING) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark, without that mark.

    Raises UserError for a missing file (with the remedy ``missing``), another encoding, and for
    NUL bytes.
    """
    if not path.is_file():
        raise UserError(f"{path}: not found; {missing}")
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise UserError(
            f"{path}: line {line}: expected text in UTF-8, got another encoding; save the file as "
            "UTF-8, or export it as CSV UTF-8"
        ) from error
    if _NULL in text:
        line = 1 + text[: text.index(_NULL)].count("\n")
        raise UserError(f"{path}: line {line}: expected text, got a NUL byte; write the file again")
    return text


def read_lines(path: Path, *, missing: str = _MISSING) -> dict[int, str]:
    """The lines of a list by their number, stripped, without blank ones. Raises as ``read_text``.

    Line ends are those of any system, also mixed.
    """
    lines = enumerate(_LINE_END.split(read_text(path, missing=missing)), 1)
    return {number: line.strip() for number, line in lines if line.strip()}


def read_table(path: Path, *, missing: str = _MISSING) -> Table:
    """Read a CSV table with commas, semicolons or tabs, which its header decides.

    Raises UserError for an empty file, a quote that does not end, a cell of several lines, rows
    longer or shorter than the header, and for a column without a name or with that of another.
    """
    lines = _LINE_END.split(read_text(path, missing=missing))
    start = next((n for n, line in enumerate(lines) if line.strip(f" \ufeff{SEPARATORS}")), None)
    if start is None:
        raise UserError(
            f"{path}: expected a CSV table with commas, got an empty file; export it again"
        )
    separator = _separator(lines[start])
    if lines[start].lower().startswith("sep="):  # a hint to spreadsheets
        separator, start = lines[start][len("sep=") :][:1] or "\t", start + 1
    records = _records(path, lines, start=start, separator=separator)
    _, cells = next(records, (0, []))
    header = tuple(cells[: _last_filled(cells)])
    _check_header(path, header)
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    for number, record in records:
        if any(record):
            rows.append(_as_long_as(header, record, where=f"{path}: line {number}"))
            numbers.append(number)
    return Table(path=path, header=header, rows=tuple(rows), lines=tuple(numbers))


def _separator(head: str) -> str:
    """The separator after a first cell ``id``, else the most frequent one."""
    of_id = [c for c in SEPARATORS if head.partition(c)[0].strip(' "\ufeff').casefold() == "id"]
    return of_id[0] if of_id else max(SEPARATORS, key=head.count)


def _records(
    path: Path, lines: list[str], *, start: int, separator: str
) -> Iterator[tuple[int, list[str]]]:
    """The number of each line and its cells, without blanks around them."""
    reader = csv.reader(
        (f"{line}\n" for line in lines[start:]),
        delimiter=separator,
        strict=True,
        skipinitialspace=True,  # a quote after a blank is a quote
    )
    number = start + 1
    try:
        for record in reader:
            if reader.line_num + start > number:
                raise UserError(
                    f"{path}: line {number}: a quoted cell goes on to line "
                    f"{reader.line_num + start}; close its quote, or write it on one line"
                )
            yield number, [_FORMULA.sub(r"\1", cell.strip()) for cell in record]
            number += 1
    except csv.Error as error:
        raise UserError(
            f"{path}: line {number}: expected cells that are separated by {separator!r} and whose "
            f"quotes end, got {quoted(lines[number - 1])} ({error}); correct the line"
        ) from error


def _last_filled(cells: list[str]) -> int:
    """The number of cells up to the last one that is not empty."""
    return max((place for place, cell in enumerate(cells, 1) if cell), default=0)


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    if "" in header:
        raise UserError(
            f"{path}: column {1 + header.index('')} has no name in the header; name or delete it"
        )
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise UserError(f"{path}: column {quoted(twice[0])} occurs twice; delete or rename one")


def _as_long_as(header: tuple[str, ...], record: list[str], *, where: str) -> tuple[str, ...]:
    """A record without the empty cells that trailing separators make; UserError if not as long."""
    width = len(header)
    if len(record) < width or any(record[width:]):
        raise UserError(
            f"{where}: expected {width} cells as in the header, got {len(record)}; add the missing "
            "separators, or quote cells that hold one"
        )
    return tuple(record[:width])
