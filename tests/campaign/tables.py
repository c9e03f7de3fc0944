"""Label tables as spreadsheets, scripts and people make them."""

import csv
import io
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from photos import CLASSES, Photos, difference, write_photos
from trial import Scene, Trial

Row = list[str]
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


# How people and tools write that an image shows no object.
NOTHING = (
    *("background", "_background_", "__ignore__", "Background", "BACKGROUND", "none", "None", "NA"),
    *("nan", "N/A", "-", "null", "empty", "negative", "no label", "unlabeled", "void"),
)


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


def table(scene: Scene) -> Trial:
    """A table in one of two forms, with one or two mutations."""
    random = scene.random
    name, mutate = random.choice(list(MUTATIONS.items()))
    ids = None
    if name == "strange ids":
        ids = [*random.sample(STRANGE_IDS, 6), "p6", "p7"]
    photos = write_photos(scene.folder / "own", random, ids)
    by_name = random.random() < 0.5
    made = Table(scene=scene, photos=photos, rows=_rows(photos, by_name), by_name=by_name)
    mutate(made)
    about = f"table {'by name' if by_name else 'by column'}: {name}"
    if name not in ("utf-16", "latin-1") and random.random() < 0.3:
        other = random.choice(["crlf", "bom", "quoted", "semicolon"])
        MUTATIONS[other](made)
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
        return "" if found and any(word in output for word in made.told) else found

    return Trial(
        about=about,
        program="download",
        words=OF_FOLDER,
        names=("labels.csv",),
        right=_naive if name == "bytes" else right,
        accepted=made.accepted,
    )


def _rows(photos: Photos, by_name: bool) -> list[Row]:
    if by_name:
        return [["id", "labels"], *([i, "|".join(sorted(n))] for i, n in photos.labels.items())]
    columns = [[i, *(str(int(c in names)) for c in CLASSES)] for i, names in photos.labels.items()]
    return [["id", *CLASSES], *columns]


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


def _values(made: Table) -> None:
    """Another spelling of one value; it must not be read as something else."""
    if made.by_name:
        made.row()[1] += made.scene.random.choice(["|", ";", " | ", "||", "|\t"])
        return
    row = made.row()
    ones = [k for k, cell in enumerate(row) if k and cell == "1"]
    row[made.scene.random.choice(ones)] = made.scene.random.choice(
        [
            "1.0",
            "TRUE",
            "x",
            "yes",
            "",
            "01",
            "+1",
            "1e0",
            "\u0661",
            "\uff11",
            "true",
            "2",
            "-1",
            "1,0",
            "✓",
        ]
    )


def _respelled(name: str, choice: int) -> str:
    return [
        name.capitalize(),
        name.upper(),
        f"{name}\u00a0",
        f"\u200b{name}",
        f"{name}\ufeff",
        f"{name[0]}\u00ad{name[1:]}",
        f"{name}.",
        f"{name}s",
        f"'{name}'",
        f"{name}\u3000",
    ][choice]


def _spelling(made: Table) -> None:
    """One class in two spellings; a warning names the rarer one."""
    choice = made.scene.random.randrange(10)
    old = made.scene.random.choice(CLASSES)
    new = _respelled(old, choice)
    made.told = (new, repr(new), new.strip(), old.upper(), f"{old}s", "spell")
    if made.by_name:
        row = next(r for r in reversed(made.rows) if old in r[1].split("|"))
        row[1] = "|".join(new if n == old else n for n in row[1].split("|"))
    else:
        made.rows = [[*row, "0"] for row in made.rows]
        made.rows[0][-1] = new
        row = next(r for r in reversed(made.rows) if r[1 + CLASSES.index(old)] == "1")
        row[1 + CLASSES.index(old)], row[-1] = "0", "1"


def _composed(made: Table) -> None:
    """One class in two normal forms of Unicode."""
    made.photos.labels = {
        i: frozenset("café" if n == "cat" else n for n in names)
        for i, names in made.photos.labels.items()
    }
    made.rows = _rows_again(made)
    if made.by_name:
        row = next(r for r in reversed(made.rows) if "café" in r[1])
        row[1] = unicodedata.normalize("NFD", row[1])
    made.told = ("caf", "normal")


def _rows_again(made: Table) -> list[Row]:
    rows = [["id", "labels"]] if made.by_name else [["id", "café", "dog", "hen"]]
    for i, names in made.photos.labels.items():
        cells = ["|".join(sorted(names))]
        if not made.by_name:
            cells = [str(int(n in names)) for n in ("café", "dog", "hen")]
        rows.append([i, *cells])
    return rows


def _background(made: Table) -> None:
    """Images without an object, written in words; the row says that no class is there."""
    word = made.scene.random.choice(NOTHING)
    bare = [i for i, names in made.photos.labels.items() if not names]
    if not bare:
        made.photos.labels[made.photos.ids[-1]] = frozenset()
        bare = [made.photos.ids[-1]]
        made.rows = _rows(made.photos, made.by_name)
    made.told = (word, word.lower())
    if made.by_name:
        for row in made.rows:
            row[1] = word if row[0] in bare else row[1]
    else:
        made.rows = [[*row, str(int(row[0] in bare))] for row in made.rows]
        made.rows[0][-1] = word


def _repeated(made: Table) -> None:
    """A row twice, with the same labels or with others."""
    row = list(made.row())
    if made.scene.random.random() < 0.5:
        row[1:] = ["cat|dog|hen"] if made.by_name else ["1", "1", "1"]
        if made.photos.labels[row[0]] != frozenset(CLASSES):
            made.accepted = False
    made.rows.append(row)


def _repeated_column(made: Table) -> None:
    """A class in two columns: the second must not become another class."""
    if made.by_name:
        made.rows[0].append("labels")
        made.rows[1:] = [[*row, row[1]] for row in made.rows[1:]]
        return
    made.rows = [[*row, row[1]] for row in made.rows]


def _nameless(made: Table) -> None:
    """A column without a name, and values in it."""
    made.rows = [[*row, "" if k == 0 else "0"] for k, row in enumerate(made.rows)]
    made.told = ("Unnamed", "no name")


def _left_out(made: Table) -> None:
    """An image without a row: it is not used, and a word says so."""
    row = made.rows.pop()
    made.told = (row[0], "1 image", "not used")


def _foreign(made: Table) -> None:
    """A row without an image."""
    made.rows.append(["nowhere", *made.rows[1][1:]])
    made.told = ("nowhere",)


def _header(made: Table) -> None:
    made.rows[0][0] = made.scene.random.choice(
        ["ID", "Id", "image", "filename", "", "id ", "\u00a0id", "image_id", "0"]
    )


def _no_header(made: Table) -> None:
    del made.rows[0]
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


def _empty(made: Table) -> None:
    made.rows = made.scene.random.choice([[], made.rows[:1], [[""]], [["id"]]])
    made.accepted = False


def _case_of_id(made: Table) -> None:
    row = made.row()
    row[0] = row[0].upper()
    made.told = (row[0],)


def _quoted(made: Table) -> None:
    made.quoting = csv.QUOTE_ALL


def _as_it_is(made: Table) -> None:
    pass


def _plain(made: Table) -> None:
    made.accepted = True


MUTATIONS: dict[str, Callable[[Table], None]] = {
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
    "other values": _values,
    "spelling": _spelling,
    "normal forms": _composed,
    "background": _background,
    "repeated row": _repeated,
    "repeated column": _repeated_column,
    "column without name": _nameless,
    "row left out": _left_out,
    "row without image": _foreign,
    "header": _header,
    "no header": _no_header,
    "comment": _comment,
    "line break in a cell": _line_break,
    "NUL": _nul,
    "empty": _empty,
    "case of an id": _case_of_id,
    "strange ids": _plain,
    "bytes": _as_it_is,
}
