"""COCO JSON of own data: instances with boxes, polygons, run lengths (RLE) and crowds.

Masks are drawn as those of COCO itself (``recam.datasets.regions``): small objects on top, crowds
ignored. Regions of a category named ``ignore`` are ignored, too, and give no label. CVAT marks
every mask as a crowd: in its files, which leave all fields of ``info`` empty, crowds are objects.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE
from recam.core.names import clean_name, is_background, quoted
from recam.data.recognition import COCO, NAMES
from recam.data.segmentations import covered
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
from recam.exchange.source import Source
from recam.io.images import image_size

NO_REGION = "annotations without a segmentation, whose images get no mask"
NO_LABEL = "annotations of background or of ignored pixels, which give no label"
NO_BOX = "annotations without a box in the image"
EMPTY = "images without annotations, which count as images without a class"
NO_CROWD = "masks that CVAT marks as crowds are drawn as objects"
OTHER = "files of other tasks are not used"
INSTANCES = "instances_"  # the beginning of COCO's own names for such files
SPLIT = re.compile(r"(?<![a-zA-Z])(train|val|test)(?:ing|id|idation)?(?![a-zA-Z])")

Notes = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A region of a mask."""

    order: tuple[bool, float, int]  # later ones are drawn over earlier ones
    value: int  # in the mask
    segmentation: object  # polygons as arrays, or RLE
    where: str


@dataclass(slots=True, kw_only=True)
class Image:
    """An image of a document, with its annotations."""

    name: str
    path: Path
    size: tuple[int, int]  # H, W
    labels: set[str] = field(default_factory=set[str])
    boxes: list[Box] = field(default_factory=list[Box])
    regions: list[Drawn] = field(default_factory=list[Drawn])
    has_regions: bool = True  # whether every annotation has a segmentation


def read_coco(source: Source) -> Found:
    """Read labels, boxes and masks of all documents; several documents are splits.

    Raises UserError for malformed records, repeated and unknown ids, and missing images.
    """
    notes: Notes = {}
    documents = _instances(source, notes)
    names = _categories(documents)
    classes = class_names(list(names.values()), str(source.documents[0]))
    by_split: dict[str, list[Image]] = {}
    for path, document in documents.items():
        images = _images(path, document, source)
        for record, where in _annotations(document, path, notes):
            _annotate(record, where, images, names, classes, notes)
        by_split.setdefault(_split_of(path, source.root), []).extend(images.values())
    images = [image for of_split in by_split.values() for image in of_split]
    if bare := [image.name for image in images if not image.labels]:
        notes[EMPTY] = bare
    ids = _ids(by_split)
    has_masks = any(image.regions for image in images)
    return Found(
        format=NAMES[COCO],
        classes=classes,
        items=[_item(ids[image.path], image, has_masks=has_masks) for image in images],
        splits={s: [ids[i.path] for i in of_split] for s, of_split in by_split.items()}
        if len(documents) > 1
        else {},
        notes=[noted(kind, places) for kind, places in notes.items()],
    )


def _instances(source: Source, notes: Notes) -> dict[Path, Any]:
    """The documents with objects, without captions and key points beside COCO's own files."""
    own = [path for path in source.documents if path.name.startswith(INSTANCES)]
    if others := [path for path in source.documents if own and path not in own]:
        notes[OTHER] = [str(path) for path in others]
    return {path: read_json(path) for path in own or source.documents}


def _split_of(path: Path, root: Path) -> str:
    """The split of a document by its name, or by its folder as Roboflow writes it."""
    folder = path.parent.name if path.parent != root else ""
    found = SPLIT.search(path.stem) or SPLIT.search(folder)
    return found[1] if found else path.stem.removeprefix(INSTANCES)


def _ids(by_split: dict[str, list[Image]]) -> dict[Path, str]:
    named = [
        (image.path, (Path(image.name).stem, bare, f"{split}_{bare}"))
        for split, images in by_split.items()
        for image in images
        for bare in [str(Path(image.name).with_suffix(""))]
    ]
    counts = Counter(path for path, _ in named)
    if twice := [path for path, count in counts.items() if count > 1]:
        raise UserError(f"{twice[0]}: is listed twice, or in two files; list the image once")
    return dict(zip(counts, unique_ids(named), strict=True))


def _records(document: Any, key: str, path: Path) -> Iterator[tuple[Any, str]]:
    for number, record in enumerate(field_of(document, key, list, str(path))):
        yield record, f"{path}: {key}[{number}]"


def _categories(documents: dict[Path, Any]) -> dict[int, str]:
    """Names by category id, ascending. Raises UserError where documents or ids contradict."""
    names: dict[int, str] = {}
    for path, document in documents.items():
        for record, where in _records(document, "categories", path):
            number = field_of(record, "id", int, where)
            name = clean_name(field_of(record, "name", str, where))
            if names.setdefault(number, name) != name:
                raise UserError(
                    f"{where}: category {number} is {quoted(name)}, but {quoted(names[number])} "
                    "elsewhere; give each category an id of its own"
                )
    return dict(sorted(names.items()))


def _images(path: Path, document: Any, source: Source) -> dict[int | str, Image]:
    images: dict[int | str, Image] = {}
    for record, where in _records(document, "images", path):
        number = field_of(record, "id", (int, str), where)
        name = field_of(record, "file_name", str, where)
        file = source.images.find(name, beside=path.parent, where=where)
        size = image_size(file)
        if record.get("height") and record.get("width"):
            annotated = tuple(field_of(record, side, int, where) for side in ("height", "width"))
            require_size(f"{where} ({file})", annotated=(annotated[0], annotated[1]), image=size)
        if number in images:
            raise UserError(
                f"{where}: id {number} is already that of {quoted(images[number].name)}; give each "
                "image an id of its own"
            )
        clean = name.replace("\\", "/")
        images[number] = Image(name=clean, path=file, size=size)
    return images


def _annotate(
    record: Any,
    where: str,
    images: dict[int | str, Image],
    names: dict[int, str],
    classes: tuple[str, ...],
    notes: Notes,
) -> None:
    """Add an annotation to its image."""
    number = field_of(record, "image_id", (int, str), where)
    category = field_of(record, "category_id", int, where)
    for key, known, kind in (("image_id", images, "image"), ("category_id", names, "category")):
        if record[key] not in known:
            raise UserError(
                f"{where}: {key} {record[key]} is no {kind} of the file; export it again, or "
                "remove the annotation"
            )
    image, name = images[number], names[category]
    if is_no_class(name):
        notes.setdefault(NO_LABEL, []).append(where)
    else:
        image.labels.add(name)
        _add_box(image, record, name, where, notes)
    if is_background(name):
        return
    if not record.get("segmentation"):
        image.has_regions = False
        notes.setdefault(NO_REGION, []).append(where)
        return
    image.regions.append(_region(record, where, id_in_mask(name, classes)))


def _add_box(image: Image, record: Any, name: str, where: str, notes: Notes) -> None:
    """Add the box of one object; a crowd has none."""
    if record.get("iscrowd") or not record.get("bbox"):
        return
    values = field_of(record, "bbox", list, where)
    if len(values) != 4 or not all(isinstance(value, int | float) for value in values):
        raise UserError(
            f"{where}: expected bbox as x, y, width, height, got {values!r:.40}; correct it"
        )
    x, y, width, height = (_number(value) for value in values)
    if box := clipped(name, (x, y, x + width, y + height), image.size):
        image.boxes.append(box)
    else:
        notes.setdefault(NO_BOX, []).append(where)


def _annotations(document: Any, path: Path, notes: Notes) -> Iterator[tuple[Any, str]]:
    """The annotations; CVAT and datumaro mark every mask as a crowd, which is undone."""
    info = document.get("info")
    by_cvat = isinstance(info, dict) and "contributor" in info and not any(info.values())
    for record, where in _records(document, "annotations", path):
        if by_cvat and isinstance(record, dict) and record.get("iscrowd"):
            notes.setdefault(NO_CROWD, []).append(where)
            yield {**record, "iscrowd": 0}, where
        else:
            yield record, where


def _region(record: Any, where: str, value: int) -> Drawn:
    segmentation, crowd = record["segmentation"], bool(record.get("iscrowd"))
    area, number = record.get("area"), record.get("id")
    if isinstance(segmentation, list):
        try:
            segmentation = [array("d", polygon) for polygon in segmentation]
        except (TypeError, OverflowError) as error:
            raise UserError(
                f"{where}: expected polygons as x, y, x, y, ..., got {segmentation!r:.40}; "
                "export it again"
            ) from error
    order = (
        not crowd and value != IGNORE,
        -_number(area),
        number if isinstance(number, int) else 0,
    )
    value = IGNORE if crowd else value
    return Drawn(order=order, value=value, segmentation=segmentation, where=where)


def _number(value: object) -> float:
    """The value as a floating-point number; 0 for anything but a number."""
    try:
        return float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return math.inf


def _item(image_id: str, image: Image, *, has_masks: bool) -> Item:
    regions = sorted(image.regions, key=lambda region: region.order)
    return Item(
        id=image_id,
        image=image.path,
        labels=frozenset(image.labels),
        mask=partial(_draw, regions) if has_masks and image.has_regions else None,
        boxes=tuple(image.boxes),
    )


def _draw(regions: list[Drawn], size: tuple[int, int]) -> Mask:
    mask = np.full(size, BACKGROUND, np.uint8)
    for region in regions:
        try:
            mask[covered(region.segmentation, *size)] = region.value
        except ValueError as error:
            raise UserError(f"{region.where}: {error}; correct the segmentation") from error
    return mask
