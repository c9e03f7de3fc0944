"""Changes of the cells of a label table: spellings, repetitions, missing rows and columns."""

import unicodedata
from collections.abc import Callable

from photos import CLASSES
from table import Row, Table, rows_of

ALIKE = ("spell", "case", "space", "same", "alike", "similar", "twice", "differ", "normal")


# How people and tools write that an image shows no object.
NOTHING = (
    *("background", "_background_", "__ignore__", "Background", "BACKGROUND", "none", "None", "NA"),
    *("nan", "N/A", "-", "null", "no label", "unlabeled", "void"),
)


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
    made.told, made.hints = (new,), ALIKE
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
    made.told, made.hints = ("caf",), ALIKE


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
        made.rows = rows_of(made.photos, made.by_name)
    made.told, made.hints = (word,), ("background", "no object", "no class", "ignore", "label")
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


def _empty(made: Table) -> None:
    made.rows = made.scene.random.choice([[], made.rows[:1], [[""]], [["id"]]])
    made.accepted = False


def _case_of_id(made: Table) -> None:
    row = made.row()
    row[0] = row[0].upper()
    made.told = (row[0],)


OF_MEANING: dict[str, Callable[[Table], None]] = {
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
    "empty": _empty,
    "case of an id": _case_of_id,
}
