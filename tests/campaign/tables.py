"""Label tables as spreadsheets, scripts and people make them."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

from photos import Photos, difference, write_photos
from spellings import OF_MEANING
from table import Table, rows_of
from trial import Scene, Trial, warned

DOWNLOAD = ("--data", "data", "--check", *(f"data/check/{n}" for n in "abcd"))


OF_FOLDER = (*DOWNLOAD, "--dataset", "folder", "--source", "own")


STRANGE_IDS = (
    *("007", "0387", "1e5", "0x10", "1_000", "true", "nan", "NA", "null", "None", "-1", "1.50"),
    *(
        "2026-01-01",
        "12:30",
        "+7",
        "inf",
        "é",
        "写真",
        "a b",
        "a'b",
        "a.b",
        "v1.2",
        "#1",
        "=1",
        "~",
    ),
    *("{x}", "$HOME", "%d", "[1]", "a&b", "id", "labels", "0", "00", "1e400"),
)


def table(scene: Scene) -> Trial:
    """A table in one of two forms, with one or two mutations."""
    random = scene.random
    name, mutate = random.choice([*OF_FORM.items(), *OF_MEANING.items()])
    ids = None
    if name == "strange ids":
        ids = [*random.sample(STRANGE_IDS, 6), "p6", "p7"]
    photos = write_photos(scene.folder / "own", random, ids)
    by_name = random.random() < 0.5
    made = Table(scene=scene, photos=photos, rows=rows_of(photos, by_name), by_name=by_name)
    mutate(made)
    about = f"table {'by name' if by_name else 'by column'}: {name}"
    if name not in ("utf-16", "latin-1") and random.random() < 0.3:
        other = random.choice(["crlf", "bom", "quoted", "semicolon"])
        OF_FORM[other](made)
        about += f", {other}"
        made.accepted = made.accepted or (None if made.accepted is None else made.accepted)
    content = made.text().encode(made.encoding, errors="replace")
    if name == "bytes":
        content = _flipped(scene, content)
        made.told = ("labels.csv",)
    (photos.folder / "labels.csv").write_bytes(content)

    def right(folder: Path, output: str) -> str:
        found = difference(photos, folder / "data")
        if made.any_class and found.startswith("class "):
            found = ""
        return "" if found and warned(output, made.told, made.hints) else found

    return Trial(
        about=about,
        program="download",
        words=OF_FOLDER,
        names=("labels.csv",),
        right=_naive if name == "bytes" else right,
        accepted=made.accepted,
    )


def _naive(folder: Path, output: str) -> str:
    """The labels of damaged bytes are those that Python's csv module reads."""
    text = (folder / "own/labels.csv").read_bytes().decode("utf-8-sig")
    separator = ";" if ";" in text.split("\n")[0] else ","
    header, *rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if row]
    by_name = len(header) == 2
    labels = {}
    for row in rows:
        image_id = row[0].strip().removesuffix(".png")
        if by_name:
            names = row[1].replace(";", "|").replace(",", "|").split("|")
        else:
            names = [n for n, cell in zip(header[1:], row[1:], strict=True) if cell.strip() == "1"]
        labels[image_id] = frozenset(name.strip() for name in names if name.strip())
    found = difference(Photos(folder=folder, labels=labels), folder / "data")
    return "" if found.startswith("class ") else found


def _flipped(scene: Scene, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(scene.random.randint(1, 3)):
        damaged[scene.random.randrange(len(damaged))] ^= 1 << scene.random.randrange(8)
    return bytes(damaged)


def _set(name: str, value: object) -> Callable[[Table], None]:
    return lambda made: setattr(made, name, value)


def _bom(made: Table) -> None:
    made.encoding = {"utf-8": "utf-8-sig"}.get(made.encoding, made.encoding)


def _semicolon(made: Table) -> None:
    made.separator = ";"


def _spaces(made: Table) -> None:
    made.rows = [[f" {cell}  " for cell in row] for row in made.rows]


def _shuffled(made: Table) -> None:
    header, *rows = made.rows
    made.scene.random.shuffle(rows)
    made.rows = [header, *rows]


def _columns_shuffled(made: Table) -> None:
    order = [0, *made.scene.random.sample(range(1, len(made.rows[0])), len(made.rows[0]) - 1)]
    made.rows = [[row[k] for k in order] for row in made.rows]


def _suffixes(made: Table) -> None:
    made.rows[1:] = [[f"{row[0]}.png", *row[1:]] for row in made.rows[1:]]


def _paths(made: Table) -> None:
    prefix = made.scene.random.choice(["JPEGImages/", "own/JPEGImages/", "./", "C:\\photos\\"])
    made.rows[1:] = [[f"{prefix}{row[0]}.png", *row[1:]] for row in made.rows[1:]]


def _blank_rows(made: Table) -> None:
    place = made.scene.random.choice([len(made.rows), made.scene.random.randint(1, 5)])
    blank = made.scene.random.choice([[""] * len(made.rows[0]), [], [" "] * len(made.rows[0])])
    made.rows[place:place] = [list(blank) for _ in range(made.scene.random.randint(1, 3))]


def _trailing(made: Table) -> None:
    with_header = made.scene.random.random() < 0.5
    made.rows = [[*row, ""] if k or with_header else row for k, row in enumerate(made.rows)]


def _surplus(made: Table) -> None:
    row = made.row()
    row.append(made.scene.random.choice(["1", "0", "x", "cat"]))
    made.accepted = False if not made.by_name else None


def _short(made: Table) -> None:
    row = made.row()
    del row[-1]
    made.accepted = False


def _comment(made: Table) -> None:
    place = made.scene.random.choice([0, 1, len(made.rows)])
    made.rows.insert(place, ["# labels of May"])


def _line_break(made: Table) -> None:
    row = made.row()
    row[-1] = f"{row[-1]}\n"


def _nul(made: Table) -> None:
    row = made.row()
    row[0] = f"{row[0]}\0"


def _quoted(made: Table) -> None:
    made.quoting = csv.QUOTE_ALL


def _as_it_is(made: Table) -> None:
    pass


def _plain(made: Table) -> None:
    made.accepted = True


OF_FORM: dict[str, Callable[[Table], None]] = {
    "unchanged": _plain,
    "crlf": _set("newline", "\r\n"),
    "old Mac": _set("newline", "\r"),
    "bom": _bom,
    "utf-16": _set("encoding", "utf-16"),
    "semicolon": _semicolon,
    "tab": _set("separator", "\t"),
    "spaces": _spaces,
    "quoted": _quoted,
    "rows shuffled": _shuffled,
    "columns shuffled": _columns_shuffled,
    "suffixes": _suffixes,
    "paths": _paths,
    "blank rows": _blank_rows,
    "trailing separators": _trailing,
    "surplus cell": _surplus,
    "missing cell": _short,
    "comment": _comment,
    "line break in a cell": _line_break,
    "NUL": _nul,
    "strange ids": _plain,
    "bytes": _as_it_is,
}
