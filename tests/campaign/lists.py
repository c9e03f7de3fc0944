"""Lists of splits and of classes as other tools and editors write them."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from photos import (
    CLASSES,
    Photos,
    difference,
    read_labels,
    read_splits,
    write_masks,
    write_photos,
    write_splits,
    write_table,
)
from tables import OF_FOLDER
from trial import Scene, Trial


@dataclass(kw_only=True)
class Lines:
    """The lines of a list before they are written."""

    scene: Scene
    photos: Photos
    lines: list[str]
    newline: str = "\n"
    encoding: str = "utf-8"
    meant: list[str] | None = None  # None: the list before its mutation
    told: tuple[str, ...] = ()
    accepted: bool | None = None
    extra: tuple[str, bytes] | None = None  # another file beside it
    name: str = ""  # of the file, if another


def split(scene: Scene) -> Trial:
    """A mutated ImageSets/Segmentation/val.txt or train.txt."""
    photos = write_photos(scene.folder / "own", scene.random)
    write_table(photos)
    write_splits(photos)
    chosen = scene.random.choice(["train", "val"])
    folder = photos.folder / "ImageSets/Segmentation"
    about, mutate = scene.random.choice([*OF_LISTS.items(), *OF_SPLITS.items()])
    made = Lines(scene=scene, photos=photos, lines=list(photos.splits[chosen]))
    mutate(made)
    (folder / f"{chosen}.txt").unlink()
    _write(made, folder / (made.name or f"{chosen}.txt"))
    meant = photos.splits | {chosen: made.meant or photos.splits[chosen]}
    if made.name.endswith(".txt"):
        meant[made.name.removesuffix(".txt")] = meant.pop(chosen)

    def right(root: Path, output: str) -> str:
        found = read_splits(root / "data")
        if found == meant or any(word in output for word in made.told):
            return ""
        return f"splits are {found}, meant {meant}"[:300]

    return Trial(
        about=f"split {chosen}: {about}",
        program="download",
        words=OF_FOLDER,
        names=("ImageSets", "labels.csv", chosen),
        right=right,
        accepted=made.accepted,
    )


def classes(scene: Scene) -> Trial:
    """A mutated classes.txt, with masks that count its lines from 1."""
    photos = write_photos(scene.folder / "own", scene.random)
    write_table(photos)
    write_masks(photos)
    about, mutate = scene.random.choice([*OF_LISTS.items(), *OF_CLASSES.items()])
    made = Lines(scene=scene, photos=photos, lines=list(CLASSES))
    mutate(made)
    _write(made, photos.folder / "classes.txt")

    def right(root: Path, output: str) -> str:
        names, _ = read_labels(root / "data")
        if any(word in output for word in made.told):
            return ""
        if list(names) != (made.meant or list(CLASSES)):
            return f"classes are {list(names)}, meant {made.meant or list(CLASSES)}"[:300]
        found = difference(photos, root / "data")
        return "" if found.startswith("class ") else found

    return Trial(
        about=f"classes.txt: {about}",
        program="download",
        words=OF_FOLDER,
        names=("classes.txt", "labels.csv", "SegmentationClass"),
        right=right,
        accepted=made.accepted,
    )


def _write(made: Lines, path: Path) -> None:
    text = "".join(f"{line}{made.newline}" for line in made.lines)
    path.write_bytes(text.encode(made.encoding, errors="replace"))
    if made.extra:
        (path.parent / made.extra[0]).write_bytes(made.extra[1])


def _set(name: str, value: object) -> Callable[[Lines], None]:
    return lambda made: setattr(made, name, value)


def _each(change: Callable[[str], str]) -> Callable[[Lines], None]:
    def mutate(made: Lines) -> None:
        made.lines = [change(line) for line in made.lines]

    return mutate


def _inserted(*lines: str, accepted: bool | None = None) -> Callable[[Lines], None]:
    def mutate(made: Lines) -> None:
        place = made.scene.random.randint(0, len(made.lines))
        made.lines[place:place] = [made.scene.random.choice(lines)]
        made.accepted = accepted

    return mutate


def _repeated(made: Lines) -> None:
    made.lines.append(made.scene.random.choice(made.lines))
    made.told = ("twice",)


def _empty(made: Lines) -> None:
    made.lines = made.scene.random.choice([[], ["", ""], ["   "]])
    made.accepted = False


def _one_line(made: Lines) -> None:
    made.lines = [made.scene.random.choice([",", ", ", " ", ";", "\t"]).join(made.lines)]


def _beside(*names: str, content: bytes = b"\x00\x05\x16\x07\xff\xfe") -> Callable[[Lines], None]:
    def mutate(made: Lines) -> None:
        made.extra = (made.scene.random.choice(names), content)

    return mutate


def _in_both(made: Lines) -> None:
    other = next(i for i in made.photos.ids if i not in made.lines)
    made.lines.append(other)
    made.meant = list(made.lines)
    made.told = ("both", "training and a validation")


def _other_name(made: Lines) -> None:
    """A split of another name is another split; a file of another ending is none."""
    made.name = made.scene.random.choice(["Train.txt", "default.txt", "train.TXT", "train.lst"])
    made.told = (made.name,)


def _background_first(made: Lines) -> None:
    word = made.scene.random.choice(
        ["background", "_background_", "__ignore__", "Background", "BACKGROUND", "bg", "void"]
    )
    made.lines.insert(made.scene.random.choice([0, 0, len(made.lines)]), word)
    made.told = (word,)


def _both_of_labelme(made: Lines) -> None:
    made.lines[:0] = ["__ignore__", "_background_"]


def _numbered(made: Lines) -> None:
    form = made.scene.random.choice(["{} {}", "{}: {}", "{},{}", "{}\t{}", "{1},{0}", "{}. {}"])
    start = made.scene.random.choice([0, 1])
    made.lines = [form.format(k, name) for k, name in enumerate(made.lines, start)]


def _other_order(made: Lines) -> None:
    made.lines.reverse()
    made.meant = list(made.lines)
    made.told = ("the mask shows a class without its label",)


def _missing(made: Lines) -> None:
    made.lines.pop(made.scene.random.randrange(len(made.lines)))
    made.accepted = False


def _surplus(made: Lines) -> None:
    names = ["id", "labels", "nan", "NA", "true", "1", "🐄", "קוף", "$\\frac$ {x}", "a/b", "a|b"]
    names += ["<b>x</b>", "a,b", '"q"', "x" * 300, "猫", "%s", "{0}", ".."]
    made.lines.append(made.scene.random.choice(names))
    made.meant = list(made.lines)


def _respelled(made: Lines) -> None:
    place = made.scene.random.randrange(len(made.lines))
    name = made.lines[place]
    change = [str.upper, str.capitalize, lambda n: f"{n}\u00a0", lambda n: f"\u200b{n}"]
    change += [lambda n: f"{n}.", lambda n: f'"{n}"']
    made.lines[place] = made.scene.random.choice(change)(name)
    made.told = (made.lines[place], "spell")


def _twin(made: Lines) -> None:
    name = made.scene.random.choice(made.lines)
    twin = made.scene.random.choice([name.upper(), name.title(), f"{name}\u00a0", f"{name} "])
    made.lines.append(twin)
    made.told = (twin,)


def _normal_forms(made: Lines) -> None:
    made.lines += ["café", unicodedata.normalize("NFD", "café")]
    made.told = ("caf",)


def _many(made: Lines) -> None:
    count = made.scene.random.choice([250, 251, 252, 300, 1000])
    made.lines += [f"class {k}" for k in range(count)]
    made.meant = list(made.lines)
    made.accepted = None if len(made.lines) <= 254 else False


def _plain(made: Lines) -> None:
    made.accepted = True


OF_LISTS: dict[str, Callable[[Lines], None]] = {
    "unchanged": _plain,
    "crlf": _set("newline", "\r\n"),
    "old Mac": _set("newline", "\r"),
    "bom": _set("encoding", "utf-8-sig"),
    "utf-16": _set("encoding", "utf-16"),
    "spaces": _each(lambda line: f"  {line} "),
    "tabs": _each(lambda line: f"{line}\t"),
    "quotes": _each(lambda line: f'"{line}"'),
    "commas": _each(lambda line: f"{line},"),
    "blank lines": _inserted("", "  ", "\t"),
    "comment": _inserted("# a list", "// a list"),
    "NUL": _inserted("\0", "a\0b"),
    "repeated": _repeated,
    "empty": _empty,
    "one line": _one_line,
    "line separator": _set("newline", "\u2028"),
    "form feed": _set("newline", "\f\n"),
}
OF_SPLITS: dict[str, Callable[[Lines], None]] = {
    "suffix": _each(lambda line: f"{line}.png"),
    "suffix of the other kind": _each(lambda line: f"{line}.jpg"),
    "path": _each(lambda line: f"JPEGImages/{line}.png"),
    "two paths": _each(lambda line: f"JPEGImages/{line}.png SegmentationClass/{line}.png"),
    "slash": _each(lambda line: f"/{line}"),
    "flag": _each(lambda line: f"{line}  1"),
    "flag -1": _each(lambda line: f"{line} -1"),
    "upper case": _each(str.upper),
    "unknown id": _inserted("nowhere", "../nowhere", "nowhere.gif", accepted=False),
    "in both splits": _in_both,
    "other name": _other_name,
    "file of macOS": _beside("._train.txt", "._val.txt", ".DS_Store"),
    "file of an editor": _beside("train.txt~", ".train.txt.swp", "train.txt.bak", "Thumbs.db"),
    "binary list beside": _beside("other.txt", "extra.txt"),
    "empty list beside": _beside("test.txt", content=b""),
}
OF_CLASSES: dict[str, Callable[[Lines], None]] = {
    "background": _background_first,
    "both of labelme": _both_of_labelme,
    "numbered": _numbered,
    "other order": _other_order,
    "missing class": _missing,
    "surplus class": _surplus,
    "other spelling": _respelled,
    "twin": _twin,
    "normal forms": _normal_forms,
    "many": _many,
}
