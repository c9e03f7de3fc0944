"""A label table before it is written as CSV."""

import csv
import io
from dataclasses import dataclass

from photos import CLASSES, Photos
from trial import Scene

Row = list[str]


@dataclass(kw_only=True)
class Table:
    """A table before it is written; a mutation changes it or its owner's meaning."""

    scene: Scene
    photos: Photos
    rows: list[Row]
    by_name: bool
    separator: str = ","
    newline: str = "\n"
    encoding: str = "utf-8"
    quoting: int = csv.QUOTE_MINIMAL
    tail: str = ""
    told: tuple[str, ...] = ()  # words of a warning that makes an acceptance right
    hints: tuple[str, ...] = ("",)  # further words, one of which is in the same line
    accepted: bool | None = None
    any_class: bool = False  # further classes are right

    def text(self) -> str:
        """The table as CSV."""
        buffer = io.StringIO()
        writer = csv.writer(
            buffer, delimiter=self.separator, quoting=self.quoting, lineterminator=self.newline
        )
        writer.writerows(self.rows)
        return buffer.getvalue() + self.tail

    def row(self) -> Row:
        """One of the rows below the header that has a label."""
        labelled = [r for r in self.rows[1:] if self.photos.labels.get(r[0])]
        return self.scene.random.choice(labelled)


def rows_of(photos: Photos, by_name: bool) -> list[Row]:
    if by_name:
        return [["id", "labels"], *([i, "|".join(sorted(n))] for i, n in photos.labels.items())]
    columns = [[i, *(str(int(c in names)) for c in CLASSES)] for i, names in photos.labels.items()]
    return [["id", *CLASSES], *columns]
