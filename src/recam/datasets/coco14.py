"""MS COCO 2014 (Lin et al., ECCV 2014): where it lies, its splits, its labels and its masks.

A class is present in an image where at least one annotation of it is, crowds included. Mask ids
1..80 are the categories in ascending order of their ids, which have gaps; ``data/regions.py``
states the rule by which masks are drawn.
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
from recam.datasets import regions
from recam.datasets.collection import Collection, folder_of
from recam.datasets.fetch import Archive, unpacked
from recam.datasets.regions import Picture, Region, write_masks
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

_ADVICE = "get the annotations of COCO 2014 anew"
_KINDS = {int: "a whole number", float: "a number", str: "a text", list: "a list", object: "any"}
_NEEDED = ("id", "image_id", "category_id", "iscrowd", "area", "segmentation")


def collect(
    source: str,
    *,
    originals: Path,
    workers: int,
    archives: Mapping[str, Archive] = ARCHIVES,
    counts: Mapping[str, int] = COUNTS,
) -> Collection:
    """Find or fetch the data set, and draw its masks with ``workers`` processes (at least 1).

    ``source`` is "auto", or a folder whose ``annotations``, ``train2014`` and ``val2014`` (or
    ``images/train2014``, ...) are used where they lie; what it has as archives is unpacked into
    ``originals``, what it has not is fetched there, and there the masks are drawn. Splits, in
    ascending order of image ids: ``train`` and ``val_labelled``, where something is annotated, and
    all of ``train_all`` and ``val``. Raises UserError, naming the file, for whatever is missing,
    malformed or of another number than ``counts`` says.
    """
    given = folder_of(source)
    folders = {
        name: _folder(name, archive, given=given, originals=originals)
        for name, archive in archives.items()
    }
    files = {part: folders[ANNOTATIONS] / f"instances_{part}.json" for part in (TRAIN, VAL)}
    classes, train = read_annotations(files[TRAIN], part=TRAIN)
    classes_of_val, val = read_annotations(files[VAL], part=VAL)
    if classes_of_val != classes:
        raise UserError(f"{files[VAL]}: not the categories of {files[TRAIN].name}; {_ADVICE}")
    splits = _splits(train, val)
    _require_counts({"classes": classes, **splits}, counts, files)
    images = _images(train, folders[TRAIN]) | _images(val, folders[VAL])
    masks = originals / f"masks-{_digest(*files.values())}"
    write_masks([*train, *val], masks, workers=workers)
    return Collection(
        classes=classes,
        splits=splits,
        images=images,
        labels={p.id: _labels(p, num_classes=len(classes)) for p in (*train, *val)},
        masks={image_id: masks / f"{image_id}.png" for image_id in images},
    )


def mask_ids(categories: Iterable[int]) -> dict[int, int]:
    """The mask id of each category id: 1, 2, ... in ascending order."""
    return {category: mask_id(index) for index, category in enumerate(sorted(categories))}


def read_annotations(file: Path, *, part: str) -> tuple[tuple[str, ...], list[Picture]]:
    """Class names in the order of their indices, and the images of ``part`` in that of their ids.

    Raises UserError for a file that cannot be read, and for what is missing or wrong in it.
    """
    try:
        with file.open(encoding="utf-8") as text:
            document = json.load(text, object_hook=_lean)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: not readable as JSON ({error}); {_ADVICE}") from error
    names = {
        _field(record, "id", int, where): _field(record, "name", str, where)
        for record, where in _records(document, "categories", file)
    }
    ids = mask_ids(names)
    pictures: dict[int, Picture] = {}
    for record, where in _records(document, "images", file):
        picture = _picture(record, where, part=part, source=file)
        if pictures.setdefault(record["id"], picture) is not picture:
            raise UserError(f"{where}: image {record['id']} is listed twice; {_ADVICE}")
    for record, where in _records(document, "annotations", file):
        here = f"{file}: annotation {_field(record, 'id', int, where)}"
        category = _field(record, "category_id", int, here)
        if category not in ids:
            raise UserError(f"{here}: category {category} is none of the categories; {_ADVICE}")
        image = _field(record, "image_id", int, here)
        if image not in pictures:
            raise UserError(f"{here}: image {image} is none of the images; {_ADVICE}")
        region = Region(
            annotation=record["id"],
            class_index=ids[category] - mask_id(0),
            crowd=bool(_field(record, "iscrowd", int, here)),
            area=float(_field(record, "area", float, here)),
            segmentation=_field(record, "segmentation", object, here),
        )
        pictures[image].regions.append(region)
    return tuple(names[i] for i in ids), [pictures[i] for i in sorted(pictures)]


def _folder(name: str, archive: Archive, *, given: Path | None, originals: Path) -> Path:
    needed = [f"instances_{part}.json" for part in (TRAIN, VAL)] if name == ANNOTATIONS else []
    for candidate in (given / name, given / "images" / name) if given else ():
        if candidate.is_dir() and all((candidate / file).is_file() for file in needed):
            return candidate
    return unpacked(archive, given=given, folder=originals) / name


def _splits(train: list[Picture], val: list[Picture]) -> dict[str, tuple[str, ...]]:
    return {
        "train": tuple(picture.id for picture in train if picture.regions),
        "train_all": tuple(picture.id for picture in train),
        "val": tuple(picture.id for picture in val),
        "val_labelled": tuple(picture.id for picture in val if picture.regions),
    }


def _require_counts(
    found: Mapping[str, tuple[str, ...]], counts: Mapping[str, int], files: Mapping[str, Path]
) -> None:
    for name, expected in counts.items():
        if len(found[name]) != expected:
            file = files[VAL if name.startswith("val") else TRAIN]
            what = "categories" if name == "classes" else f"images in the split {name}"
            raise UserError(
                f"{file}: expected {expected} {what}, got {len(found[name])}; {_ADVICE}"
            )


def _images(pictures: list[Picture], folder: Path) -> dict[str, Path]:
    there = {file.name for file in folder.glob("*.jpg")}
    files = {picture.id: folder / f"{picture.id}.jpg" for picture in pictures}
    missing = [file for file in files.values() if file.name not in there]
    if missing:
        raise UserError(
            f"{missing[0]}: not found ({len(missing)} of {len(files)} images are missing); "
            f"put them there, from the archive {folder.name}.zip"
        )
    return files


def _labels(picture: Picture, *, num_classes: int) -> Bool[np.ndarray, "K"]:
    labels = np.zeros(num_classes, dtype=bool)
    labels[[region.class_index for region in picture.regions]] = True
    return labels


def _digest(*annotations: Path) -> str:
    """Twelve digits that change with the annotations and with all that masks are made by."""
    rules = (Path(__file__), Path(regions.__file__))
    parts = [*(sha256(file) for file in (*annotations, *rules)), version("pycocotools")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def _lean(record: dict[str, Any]) -> dict[str, Any]:
    """Of an annotation what is needed, with arrays for polygons: a fourth of the memory."""
    if "segmentation" not in record:
        return record
    lean = {key: record[key] for key in _NEEDED if key in record}
    if isinstance(lean["segmentation"], list):
        with suppress(TypeError, OverflowError):  # left as it is then, for `draw_mask` to refuse
            lean["segmentation"] = [array("d", polygon) for polygon in lean["segmentation"]]
    return lean


def _records(document: object, key: str, file: Path) -> Iterator[tuple[Any, str]]:
    for number, record in enumerate(_field(document, key, list, str(file))):
        yield record, f"{file}: {key}[{number}]"


def _picture(record: object, where: str, *, part: str, source: Path) -> Picture:
    name = f"COCO_{part}_{_field(record, 'id', int, where):012d}"
    file = _field(record, "file_name", str, where)
    if file != f"{name}.jpg":
        raise UserError(f"{where}: expected the file name {name}.jpg, got {file}; {_ADVICE}")
    height, width = (_field(record, side, int, where) for side in ("height", "width"))
    if min(height, width) < 1:
        raise UserError(f"{where}: expected pixels, got {width}x{height} of them; {_ADVICE}")
    return Picture(id=name, height=height, width=width, regions=[], source=source)


def _field(record: object, key: str, kind: type, where: str) -> Any:
    """Give ``record[key]``, or raise UserError where it is missing or of another kind."""
    value = record.get(key) if isinstance(record, dict) else None
    if kind is float:
        fits = isinstance(value, int | float) and abs(value) < math.inf
    else:
        fits = isinstance(value, kind) and value is not None
    if not fits:
        got = "nothing" if value is None else f"{value!r:.40}"
        raise UserError(f"{where}: expected {key!r} ({_KINDS[kind]}), got {got}; {_ADVICE}")
    return value
