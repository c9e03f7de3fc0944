"""JSON and XML files of other tools, read without trust, and the images that they name."""

import json
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree
from xml.parsers import expat

from recam.core.errors import UserError
from recam.core.names import quoted
from recam.data.parts import IMAGES, MASKS
from recam.data.recognition import files_below
from recam.io.opening import has_image_suffix
from recam.io.tables import read_text

DEEPER = ("images", IMAGES, "img", "data")  # folders of images beside annotations
OF_MASKS = {MASKS, "SegmentationObject", "SegmentationClassVisualization"}


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises UserError with the line of an error."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: line {error.lineno}: expected JSON, got an error ({error.msg}); export it "
            "again"
        ) from error
    except (RecursionError, ValueError) as error:
        raise UserError(
            f"{path}: expected JSON, got one that cannot be read ({error}); export it again"
        ) from error


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file. Raises UserError with the line of an error, and for any DTD.

    Entities of a DTD can grow to gigabytes or read other files; annotations need none.
    """

    def refuse(*_: object) -> None:
        raise UserError(
            f"{path}: line {parser.CurrentLineNumber}: expected XML without a document type "
            "definition, which could declare entities; delete it"
        )

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        content = path.read_bytes()
        parser.Parse(content, True)
        return ElementTree.fromstring(content)  # noqa: S314 checked above
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        line = getattr(error, "lineno", 1)
        raise UserError(
            f"{path}: line {line}: expected XML, got an error ({error}); export it again"
        ) from error


def field_of(record: object, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """``record[key]``. Raises UserError if it is missing or of another type."""
    value = cast(dict[str, Any], record).get(key) if isinstance(record, dict) else None
    is_bool = isinstance(value, bool) and kind is not bool
    if value is None or is_bool or not isinstance(value, kind):
        got = "nothing" if value is None else f"{value!r:.40}"
        raise UserError(f"{where}: expected {key!r}, got {got}; export it again")
    return value


Index = dict[str, list[tuple[Path, str]]]  # file and relative path by name


class ImageFiles:
    """The image files below some folders, found by the names that annotations give."""

    def __init__(self, roots: Sequence[Path]):
        self.roots = roots
        self._by_name = [_by_name(root) for root in roots]
        files = (found for names in self._by_name for found in names.values())
        self.paths = sorted({path for found in files for path, _ in found})

    def find(self, name: str, *, beside: Path, where: str) -> Path:
        """The image that a document in the folder ``beside`` names, with or without its ending.

        Raises UserError for a name that leads out of the folders, of no image, or of several.
        """
        name = _inside(name, beside=beside, roots=self.roots, where=where)
        folders = [beside] if name.startswith("../") else [beside, *self.roots]
        folders += [folder / inner for folder in folders for inner in DEEPER]
        for path in (Path(os.path.normpath(folder / name)) for folder in folders):
            if has_image_suffix(name) and path.is_file():
                return path
        known = next((found for names in self._by_name if (found := _named(name, names))), [])
        if len(known) == 1:
            return known[0]
        if known:
            raise UserError(
                f"{where}: image {quoted(name)} could be {known[0]} or {known[1]}; rename one"
            )
        raise UserError(
            f"{where}: expected the image {quoted(name)} in {self.roots[0]}, found none; put it "
            "there, or give the folder of the images by --images"
        )


def _by_name(root: Path) -> Index:
    """The image files below a folder with their relative paths, by names with and without ending.

    A folder of images beside annotations is no part of a path.
    """
    names: Index = {}
    for path in files_below(root):
        parts = path.relative_to(root).parts
        if has_image_suffix(path.name) and not OF_MASKS.intersection(parts):
            inner = parts[1:] if parts[0] in DEEPER else parts
            for name in (path.name, path.stem):
                names.setdefault(name, []).append((path, "/".join((*inner[:-1], name))))
    return names


def _named(name: str, names: Index) -> list[Path]:
    """The images whose relative path ends like ``name``, or has a shorter path than it."""
    alike = [
        path
        for path, inner in names.get(posixpath.basename(name), [])
        if f"/{inner}".endswith(f"/{name}") or f"/{name}".endswith(f"/{inner}")
    ]
    exact = [path for path in alike if f"/{path.with_suffix('')}".endswith(f"/{name}")]
    return exact if len(exact) == 1 else alike


def _inside(name: str, *, beside: Path, roots: Sequence[Path], where: str) -> str:
    """A path with slashes. Raises UserError if it is absolute or leads out of the source."""
    path = posixpath.normpath(name.replace("\\", "/"))
    places = [posixpath.normpath(root.absolute()) for root in roots]
    target = posixpath.normpath(posixpath.join(beside.absolute(), path))
    is_absolute = path.startswith("/") or path[1:2] == ":"
    if is_absolute or not any(target.startswith(f"{place.rstrip('/')}/") for place in places):
        raise UserError(
            f"{where}: expected an image within {roots[-1]}, got the path {quoted(name)}; write "
            "the name of a file in that folder"
        )
    return path
