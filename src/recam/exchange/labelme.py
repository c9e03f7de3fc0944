"""labelme JSON: one file for each image, with polygons, rectangles, circles and masks.

Shapes are drawn in their order, later ones over earlier ones, as labelme draws them. A rectangle is
a box, not the outline of an object, so an image with one gets no mask. Where no file has a shape,
the flags of the files are labels.
"""

import base64
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image as PillowImage

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND
from recam.core.names import clean_name, quoted
from recam.data.parts import read_classes, repeated_line
from recam.data.recognition import LABELME, NAMES
from recam.exchange.documents import field_of, read_json
from recam.exchange.found import (
    Box,
    Found,
    Item,
    Mask,
    class_names,
    clipped,
    id_in_mask,
    is_no_class,
    noted,
    require_size,
    unique_ids,
)
from recam.exchange.outlines import Region, filled
from recam.exchange.source import Source
from recam.io.images import image_size, upright_size
from recam.io.opening import FORMATS, opened
from recam.runtime.progress import progress

LIST = "labels.txt"  # of labelme's option --labels
BOXES = {"rectangle": 2, "oriented_rectangle": 4}
POINTS = {"polygon": 3, "circle": 2, "mask": 2, **BOXES}  # at least, of shapes with an area
EMPTY = "images without shapes, which count as images without a class"
FARTHEST = 1e9  # pixels from the corner of the image, for any point
NO_AREA = "lines and points are not used"
NO_BOX = "shapes outside the image"
NO_MASK = "images with rectangles get boxes and no mask"
FLAGS = "flags of images are not used, since shapes give the labels"

Notes = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A shape with an area."""

    label: str
    kind: str
    points: np.ndarray  # (n, 2), x and y in pixels
    group: int | None
    crop: Region | None  # of a mask: the pixels of its box
    where: str


@dataclass(slots=True, kw_only=True)
class Annotated:
    """One file."""

    path: Path
    image: Path | bytes
    name: str  # of the image, with slashes
    size: tuple[int, int]  # H, W
    flags: list[str]
    shapes: list[Shape] = field(default_factory=list[Shape])


def read_labelme(source: Source) -> Found:
    """Read labels, boxes and masks. Raises UserError for malformed files and missing images."""
    notes: Notes = {}
    todo = progress(source.documents, total=len(source.documents), what="read", unit="file")
    files = [_read(path, source, notes) for path in todo]
    by_flags = not any(file.shapes for file in files)
    names = [n for f in files for n in (f.flags if by_flags else [s.label for s in f.shapes])]
    if not by_flags and (flagged := [str(f.path) for f in files if f.flags]):
        notes[FLAGS] = flagged
    if not by_flags and (bare := [str(f.path) for f in files if not f.shapes]):
        notes[EMPTY] = bare
    classes = _classes(source.root, names)
    if twice := repeated_line(enumerate(str(f.image) for f in files if isinstance(f.image, Path))):
        raise UserError(f"{twice[1]}: two JSON files name this image; keep one of them")
    ids = unique_ids([(f.path, (Path(f.name).stem, _relative(f.path, source.root))) for f in files])
    items = [
        _item(image_id, file, classes, notes, by_flags=by_flags)
        for image_id, file in zip(ids, files, strict=True)
    ]
    return Found(
        format=NAMES[LABELME],
        classes=classes,
        items=items,
        notes=[noted(kind, places) for kind, places in notes.items()],
    )


def _classes(root: Path, names: Sequence[str]) -> tuple[str, ...]:
    found = class_names(names, str(root))
    if not (root / LIST).is_file():
        return tuple(sorted(found))
    listed = read_classes(root / LIST)
    if unknown := [name for name in found if name not in listed]:
        raise UserError(
            f"{root / LIST}: expected every label, {quoted(unknown[0])} is missing; add it"
        )
    return listed


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _read(path: Path, source: Source, notes: Notes) -> Annotated:
    document = read_json(path)
    where = str(path)
    name = field_of(document, "imagePath", str, where).replace("\\", "/")
    image = _image(document, name, path, source)
    size = _size(image, path)
    if document.get("imageHeight") and document.get("imageWidth"):
        height, width = (field_of(document, f"image{s}", int, where) for s in ("Height", "Width"))
        require_size(where, annotated=(height, width), image=size)
    flags = document.get("flags") or {}
    file = Annotated(
        path=path,
        image=image,
        name=name,
        size=size,
        flags=[clean_name(key) for key, is_set in flags.items() if is_set]
        if isinstance(flags, dict)
        else [],
    )
    for number, record in enumerate(field_of(document, "shapes", list, where)):
        if shape := _shape(record, f"{where}: shapes[{number}]"):
            file.shapes.append(shape)
        else:
            notes.setdefault(NO_AREA, []).append(where)
    return file


def _image(document: Any, name: str, path: Path, source: Source) -> Path | bytes:
    """The image file, or the embedded image where the folder has no file."""
    try:
        return source.images.find(name, beside=path.parent, where=str(path))
    except UserError:
        text = document.get("imageData")
        if not isinstance(text, str) or not text:
            raise
    return _decoded(text, str(path), "imageData")


def _decoded(text: str, where: str, noun: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # of binascii, or for other characters than those of ASCII
        raise UserError(
            f"{where}: expected {noun} in base64, got other text; save it again"
        ) from error


def _size(image: Path | bytes, path: Path) -> tuple[int, int]:
    if isinstance(image, Path):
        return image_size(image)
    with _embedded(image, f"{path}: imageData") as embedded:
        width, height = upright_size(embedded)
    return height, width


@contextmanager
def _embedded(
    content: bytes, where: str, formats: tuple[str, ...] = FORMATS
) -> Iterator[PillowImage]:
    """An image within a file. Raises UserError that names the place."""
    try:
        with opened(BytesIO(content), formats=formats) as image:
            yield image
    except UserError as error:
        raise UserError(f"{where}: not a readable image: {error}") from error


def _shape(record: Any, where: str) -> Shape | None:
    """A shape with an area; None for a line or a point."""
    label = clean_name(field_of(record, "label", str, where))
    kind = str(record.get("shape_type") or "polygon")  # of old versions
    if kind not in POINTS:
        return None
    try:
        points = np.array(field_of(record, "points", list, where), dtype=float)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    is_valid = points.shape == (len(points), 2) and bool((np.abs(points) < FARTHEST).all())
    if not is_valid or len(points) < POINTS[kind]:
        raise UserError(
            f"{where}: expected at least {POINTS[kind]} points x, y of a {kind}, got "
            f"{record['points']!r:.40}; draw the shape again"
        )
    group = record.get("group_id")
    return Shape(
        label=label,
        kind=kind,
        points=points,
        group=group if isinstance(group, int) else None,
        crop=_crop(record, points, where) if kind == "mask" else None,
        where=where,
    )


def _crop(record: Any, points: np.ndarray, where: str) -> Region:
    """The pixels of a mask shape, whose first and last ones are ``points``."""
    content = _decoded(field_of(record, "mask", str, where), where, "a mask")
    with _embedded(content, f"{where}: mask", formats=("PNG",)) as image:
        crop = np.array(image.convert("L")) > 0
    columns, rows = (points[1].astype(int) - points[0].astype(int) + 1).tolist()
    if crop.shape != (rows, columns):
        raise UserError(
            f"{where}: expected a mask of {columns}x{rows} pixels, as its points say, got "
            f"{crop.shape[1]}x{crop.shape[0]}; draw it again"
        )
    return crop


def _item(
    image_id: str, file: Annotated, classes: tuple[str, ...], notes: Notes, *, by_flags: bool
) -> Item:
    names = file.flags if by_flags else [shape.label for shape in file.shapes]
    has_mask = not by_flags and not any(shape.kind in BOXES for shape in file.shapes)
    if not by_flags and not has_mask:
        notes.setdefault(NO_MASK, []).append(str(file.path))
    return Item(
        id=image_id,
        image=file.image,
        labels=frozenset(name for name in names if not is_no_class(name)),
        mask=partial(_draw, file.shapes, classes) if has_mask else None,
        boxes=tuple(_boxes(file, notes)),
    )


def _boxes(file: Annotated, notes: Notes) -> list[Box]:
    """A box around each shape, or around the shapes of one group and label."""
    groups: dict[object, list[Shape]] = {}
    for number, shape in enumerate(file.shapes):
        key = number if shape.group is None else (shape.label, shape.group)
        if not is_no_class(shape.label):
            groups.setdefault(key, []).append(shape)
    boxes: list[Box] = []
    for shapes in groups.values():
        corners = np.concatenate([_corners(shape) for shape in shapes])
        around = [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]
        if box := clipped(shapes[0].label, around, file.size):
            boxes.append(box)
        else:
            notes.setdefault(NO_BOX, []).append(shapes[0].where)
    return boxes


def _corners(shape: Shape) -> np.ndarray:
    if shape.kind == "circle":
        centre, radius = shape.points[0], math.dist(*shape.points[:2])
        return np.array([centre - radius, centre + radius])
    if shape.kind == "mask":
        return shape.points + np.array([[0, 0], [1, 1]])
    return shape.points


def _draw(shapes: Sequence[Shape], classes: tuple[str, ...], size: tuple[int, int]) -> Mask:
    mask = np.full(size, BACKGROUND, np.uint8)
    for shape in shapes:
        mask[_covered(shape, size)] = id_in_mask(shape.label, classes)
    return mask


def _covered(shape: Shape, size: tuple[int, int]) -> Region:
    """The pixels whose centres lie inside a shape."""
    height, width = size
    if shape.kind == "circle":
        (x, y), radius = shape.points[0], math.dist(*shape.points[:2])
        rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
        return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    if shape.crop is None:
        return filled([shape.points], size)
    covered = np.zeros(size, dtype=bool)
    x, y = shape.points[0].astype(int).tolist()
    rows, columns = np.nonzero(shape.crop)
    rows, columns = rows + y, columns + x
    is_in = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    covered[rows[is_in], columns[is_in]] = True
    return covered
