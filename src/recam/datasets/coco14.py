"""`coco14`: MS COCO 2014 (Lin et al., ECCV 2014), with masks drawn from its annotations.

An image is labelled with the classes of its annotations, crowds included. Mask ids 1..80 are the
categories in ascending order of their ids, which have gaps; ``recam.datasets.regions`` draws masks.
"""

import hashlib
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool

from recam.core.errors import UserError
from recam.core.labels import mask_id
from recam.data import segmentations
from recam.datasets import regions
from recam.datasets.collection import Collection, folder_of
from recam.datasets.fetch import Archive, unpacked
from recam.datasets.places import nearest
from recam.datasets.regions import AnnotatedImage, MaskRule, Region, write_masks
from recam.io.atomic import sha256

ANNOTATIONS, TRAIN, VAL = "annotations", "train2014", "val2014"
_SITE = "http://images.cocodataset.org"
ARCHIVES: Mapping[str, Archive] = MappingProxyType(
    {
        ANNOTATIONS: Archive(
            url=f"{_SITE}/annotations/annotations_trainval2014.zip",
            md5="0a379cfc70b0e71301e0f377548639bd",
        ),
        TRAIN: Archive(url=f"{_SITE}/zips/train2014.zip", md5="0da8c0bd3d6becc4dcb32757491aca88"),
        VAL: Archive(url=f"{_SITE}/zips/val2014.zip", md5="a3d79f5ed8d289b7a7554ce06a5782b3"),
    }
)
COUNTS: Mapping[str, int] = MappingProxyType(
    {"classes": 80, "train": 82_081, "train_all": 82_783, "val": 40_504, "val_labelled": 40_137}
)

_REMEDY = "download the annotations of COCO 2014 again"
_KINDS = {int: "integer", float: "number", str: "string", list: "list", object: "any type"}
_NEEDED = ("id", "image_id", "category_id", "iscrowd", "area", "segmentation")


def collect(
    source: str,
    *,
    originals: Path,
    workers: int,
    masks: MaskRule = "by_area",
    archives: Mapping[str, Archive] = ARCHIVES,
    counts: Mapping[str, int] = COUNTS,
) -> Collection:
    """Find or download the data set, and draw its masks with ``workers`` processes (at least 1).

    ``source`` is "auto" or a folder. Its subfolders ``annotations``, ``train2014`` and ``val2014``
    (or ``images/train2014``, ...) are used in place; archives, downloads and masks go to
    ``originals``. ``masks`` is a drawing rule of ``recam.datasets.regions``. The splits ``train``
    and ``val_labelled`` have the images with annotations, ``train_all`` and ``val`` all images, by
    ascending image id. Raises UserError for missing or malformed files, and for numbers of images
    or classes other than ``counts``.
    """
    given = folder_of(source)
    folders = {
        name: _folder(name, archive, given=given, originals=originals)
        for name, archive in archives.items()
    }
    files = {part: folders[ANNOTATIONS] / f"instances_{part}.json" for part in (TRAIN, VAL)}
    classes, train, val = _read_both(files)
    splits = _splits(train, val)
    _require_counts({"classes": classes, **splits}, counts, files)
    images = _images(train, folders[TRAIN]) | _images(val, folders[VAL])
    drawn = originals / f"masks-{masks}-{_digest(*files.values())}"
    write_masks([*train, *val], drawn, rule=masks, workers=workers)
    return Collection(
        classes=classes,
        splits=splits,
        images=images,
        labels={p.id: _labels(p, num_classes=len(classes)) for p in (*train, *val)},
        masks={image_id: drawn / f"{image_id}.png" for image_id in images},
    )


def _read_both(
    files: Mapping[str, Path],
) -> tuple[tuple[str, ...], list[AnnotatedImage], list[AnnotatedImage]]:
    """The classes, and the images of train and val. Raises UserError for other classes in val."""
    classes, train = read_annotations(files[TRAIN], part=TRAIN)
    classes_of_val, val = read_annotations(files[VAL], part=VAL)
    if classes_of_val != classes:
        raise UserError(
            f"{files[VAL]}: expected the categories of {files[TRAIN].name}, got others; {_REMEDY}"
        )
    return classes, train, val


def mask_ids(categories: Iterable[int]) -> dict[int, int]:
    """Map category ids to mask ids 1, 2, ... in ascending order."""
    return {category: mask_id(index) for index, category in enumerate(sorted(categories))}


def read_annotations(file: Path, *, part: str) -> tuple[tuple[str, ...], list[AnnotatedImage]]:
    """Read the class names by index, and the annotated images of ``part`` by ascending id.

    Raises UserError for an unreadable file and for missing or invalid fields.
    """
    try:
        with file.open(encoding="utf-8") as text:
            document = json.load(text, object_hook=_lean)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: expected JSON, got {error}; {_REMEDY}") from error
    names = {
        _field(record, "id", int, where): _field(record, "name", str, where)
        for record, where in _records(document, "categories", file)
    }
    ids = mask_ids(names)
    images: dict[int, AnnotatedImage] = {}
    for record, where in _records(document, "images", file):
        image = _image(record, where, part=part, source=file)
        if images.setdefault(record["id"], image) is not image:
            raise UserError(f"{where}: image {record['id']} is listed twice; {_REMEDY}")
    for record, where in _records(document, "annotations", file):
        here = f"{file}: annotation {_field(record, 'id', int, where)}"
        category = _field(record, "category_id", int, here)
        if category not in ids:
            raise UserError(f"{here}: expected a listed category, got {category}; {_REMEDY}")
        image_id = _field(record, "image_id", int, here)
        if image_id not in images:
            raise UserError(f"{here}: expected a listed image, got {image_id}; {_REMEDY}")
        region = Region(
            annotation=record["id"],
            class_index=ids[category] - mask_id(0),
            crowd=bool(_field(record, "iscrowd", int, here)),
            area=float(_field(record, "area", float, here)),
            segmentation=_field(record, "segmentation", object, here),
        )
        images[image_id].regions.append(region)
    return tuple(names[i] for i in ids), [images[i] for i in sorted(images)]


def _folder(name: str, archive: Archive, *, given: Path | None, originals: Path) -> Path:
    needed = [f"instances_{part}.json" for part in (TRAIN, VAL)] if name == ANNOTATIONS else []
    places = (name, f"images/{name}")
    if found := nearest(given, places, holding=needed or ["."]):
        return found
    return unpacked(archive, given=given, folder=originals) / name


def _splits(train: list[AnnotatedImage], val: list[AnnotatedImage]) -> dict[str, tuple[str, ...]]:
    return {
        "train": tuple(image.id for image in train if image.regions),
        "train_all": tuple(image.id for image in train),
        "val": tuple(image.id for image in val),
        "val_labelled": tuple(image.id for image in val if image.regions),
    }


def _require_counts(
    found: Mapping[str, tuple[str, ...]], counts: Mapping[str, int], files: Mapping[str, Path]
) -> None:
    for name, expected in counts.items():
        if len(found[name]) != expected:
            file = files[VAL if name.startswith("val") else TRAIN]
            what = "categories" if name == "classes" else f"images in the split {name}"
            raise UserError(
                f"{file}: expected {expected} {what}, got {len(found[name])}; {_REMEDY}"
            )


def _images(images: list[AnnotatedImage], folder: Path) -> dict[str, Path]:
    there = {file.name for file in folder.glob("*.jpg")}
    files = {image.id: folder / f"{image.id}.jpg" for image in images}
    missing = [file for file in files.values() if file.name not in there]
    if missing:
        raise UserError(
            f"{missing[0]}: not found ({len(missing)} of {len(files)} images are missing); "
            f"unpack the archive {folder.name}.zip again"
        )
    return files


def _labels(image: AnnotatedImage, *, num_classes: int) -> Bool[np.ndarray, "K"]:
    labels = np.zeros(num_classes, dtype=bool)
    labels[[region.class_index for region in image.regions]] = True
    return labels


def _digest(*annotations: Path) -> str:
    """Twelve hexadecimal digits that depend on the annotations and on the code that draws masks."""
    rules = (Path(__file__), Path(regions.__file__), Path(segmentations.__file__))
    parts = [*(sha256(file) for file in (*annotations, *rules)), version("pycocotools")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def _lean(record: dict[str, Any]) -> dict[str, Any]:
    """The needed fields of an annotation, with polygons as arrays: a quarter of the memory."""
    if "segmentation" not in record:
        return record
    lean = {key: record[key] for key in _NEEDED if key in record}
    if isinstance(lean["segmentation"], list):
        with suppress(TypeError, OverflowError):  # kept as it is: draw_mask raises the error
            lean["segmentation"] = [array("d", polygon) for polygon in lean["segmentation"]]
    return lean


def _records(document: object, key: str, file: Path) -> Iterator[tuple[Any, str]]:
    for number, record in enumerate(_field(document, key, list, str(file))):
        yield record, f"{file}: {key}[{number}]"


def _image(record: object, where: str, *, part: str, source: Path) -> AnnotatedImage:
    name = f"COCO_{part}_{_field(record, 'id', int, where):012d}"
    file = _field(record, "file_name", str, where)
    if file != f"{name}.jpg":
        raise UserError(f"{where}: expected the file name {name}.jpg, got {file}; {_REMEDY}")
    height, width = (_field(record, side, int, where) for side in ("height", "width"))
    if min(height, width) < 1:
        raise UserError(f"{where}: expected at least 1x1 pixels, got {width}x{height}; {_REMEDY}")
    return AnnotatedImage(id=name, height=height, width=width, regions=[], source=source)


def _field(record: object, key: str, kind: type, where: str) -> Any:
    """Return ``record[key]``. Raises UserError if it is missing or of another type."""
    value = record.get(key) if isinstance(record, dict) else None
    if kind is float:
        fits = isinstance(value, int | float) and abs(value) < math.inf
    else:
        fits = isinstance(value, kind) and value is not None
    if not fits:
        got = "nothing" if value is None else f"{value!r:.40}"
        raise UserError(f"{where}: expected {key!r} ({_KINDS[kind]}), got {got}; {_REMEDY}")
    return value
