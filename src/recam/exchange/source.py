"""A source of annotated images: a folder or file of one format."""

from dataclasses import dataclass
from pathlib import Path

from recam.core.errors import UserError
from recam.core.names import quoted
from recam.data.parts import LABELS
from recam.data.recognition import FOLDERS, NAMES, Documents, recognised
from recam.exchange.documents import ImageFiles, read_json
from recam.io.formats import HEAD, named_format


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The annotation files of one format, and the images that they may name."""

    root: Path
    format: str  # a key of recam.data.recognition.NAMES
    documents: list[Path]
    images: ImageFiles


def open_source(place: Path, *, images: Path | None, wanted: str | None) -> Source:
    """Recognise the format of ``place``, or take the ``wanted`` one; ``images`` adds a folder.

    Raises UserError if ``place`` has none, another one, or several and none is wanted.
    """
    if not place.exists():
        raise UserError(f"{place}: expected a folder or a file, found none; correct the path")
    if place.is_file() and place.suffix.lower() != ".json":
        raise UserError(_no_folder(place))
    if (place / LABELS).is_file():
        raise UserError(
            f"{place}: has {LABELS}, so it needs no import; set download.source to this folder"
        )
    found = recognised(place)
    name = _chosen(place, found, wanted)
    root = place if place.is_dir() else place.parent
    roots = ([images] if images else []) + [root]
    for folder in roots:
        if not folder.is_dir():
            raise UserError(f"{folder}: expected a folder of images, found none; correct --images")
    return Source(root=root, format=name, documents=found.get(name, []), images=ImageFiles(roots))


def _chosen(place: Path, found: Documents, wanted: str | None) -> str:
    if wanted and (wanted in found or (wanted == FOLDERS and place.is_dir())):
        return wanted
    named = " and ".join(NAMES[name] for name in found)
    if wanted:
        raise UserError(
            f"{place}: expected {NAMES[wanted]}, found {named or 'no format that is read'}; "
            "correct --format"
        )
    if not found:
        raise _unknown(place)
    if len(found) > 1:
        raise UserError(
            f"{place}: expected one format, found {named}; choose one by --format "
            f"{' or --format '.join(found)}"
        )
    return next(iter(found))


def _unknown(place: Path) -> UserError:
    """An error for a source without a known format; that of a JSON file, if it is broken."""
    broken = [place] if place.is_file() else sorted(place.rglob("*.json"))
    try:
        for path in broken:
            read_json(path)
    except UserError as error:
        return error
    return UserError(
        f"{place}: expected {', '.join(NAMES.values())}, found none; export annotations from the "
        "tool as one of these"
    )


def _no_folder(place: Path) -> str:
    with place.open("rb") as file:
        kind = named_format(file.read(HEAD)) or "another file"
    remedy = "unpack it first" if "archive" in kind else "give the folder that holds it"
    return f"{place}: expected a folder or a JSON file, got {kind} {quoted(place.name)}; {remedy}"
