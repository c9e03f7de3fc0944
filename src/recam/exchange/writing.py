"""Masks in the formats of other tools: COCO JSON, labelme JSON, and CVAT's segmentation masks.

Outlines follow the cracks between pixels, so that a mask comes back to the pixel.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recam.core.errors import UserError
from recam.core.labels import IGNORE, mask_id
from recam.data.parts import IMAGES, MASKS, SPLITS
from recam.exchange.cvat import IGNORE_LABEL, write_default, write_labelmap
from recam.exchange.found import Mask
from recam.exchange.labelme import LIST
from recam.exchange.masks import MaskFolder
from recam.exchange.outlines import Ring, box_of, doubled_area, filled, objects_of
from recam.exchange.runs import Region, compressed, run_lengths
from recam.io.atomic import beside, replace_with, replacing, write_text
from recam.io.images import write_mask
from recam.runtime.progress import progress

LABELME_VERSION = "5.4.1"  # whose fields are written
LABELME_IGNORE, LABELME_BACKGROUND = "__ignore__", "_background_"
ZIP = ".zip"


def write_coco(source: MaskFolder, out: Path, *, rle: bool) -> int:
    """Write a COCO JSON file; return the number of objects.

    An object is a 4-connected component of a class, as one polygon or, with ``rle``, as run
    lengths. The ids of categories are mask values. Ignored pixels of an image are one crowd of the
    category ``ignore``, 255.
    """
    _require_images(source)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (path, mask) in enumerate(_masks(source), 1):
        height, width = mask.shape
        name = source.images[path].name
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for value, ring in _objects(mask, len(source.classes)):
            shape = _object(ring, mask, rle=rle)
            annotations.append({"image_id": number, "category_id": value, "iscrowd": 0, **shape})
        if (ignored := mask == IGNORE).any():
            crowd = {"image_id": number, "category_id": IGNORE, "iscrowd": 1, **_crowd(ignored)}
            annotations.append(crowd)
    names = [(mask_id(index), name) for index, name in enumerate(source.classes)]
    if any(annotation["iscrowd"] for annotation in annotations):
        names.append((IGNORE, IGNORE_LABEL))
    document = {
        "info": {"description": "masks written by recam convert"},
        "licenses": [],
        "categories": [{"id": n, "name": name, "supercategory": ""} for n, name in names],
        "images": images,
        "annotations": [{"id": n, **record} for n, record in enumerate(annotations, 1)],
    }
    write_text(out, json.dumps(document, ensure_ascii=False, separators=(",", ":")))
    return sum(not annotation["iscrowd"] for annotation in annotations)


def write_labelme(source: MaskFolder, out: Path) -> int:
    """Write a labelme JSON file for each mask into a new folder; return the number of objects.

    An object is a 4-connected component; a hole is joined to its outline by a slit, since labelme
    has none. Ignored pixels are polygons ``__ignore__``. Files name the images by relative paths,
    and ``labels.txt`` lists the classes.
    """
    _require_images(source)
    count = 0
    with _new_folder(out) as made:
        for path, mask in _masks(source):
            image = source.images[path].absolute()
            objects = list(_objects(mask, len(source.classes)))
            count += len(objects)
            shapes = [_shape(source.classes[value - 1], ring) for value, ring in objects]
            shapes += [_shape(LABELME_IGNORE, ring) for ring in objects_of(mask == IGNORE)]
            document = {
                "version": LABELME_VERSION,
                "flags": {},
                "shapes": shapes,
                "imagePath": Path(os.path.relpath(image, out.absolute())).as_posix(),
                "imageData": None,
                "imageHeight": mask.shape[0],
                "imageWidth": mask.shape[1],
            }
            text = json.dumps(document, ensure_ascii=False, indent=2)
            write_text(made / f"{path.stem}.json", text)
        labels = (LABELME_IGNORE, LABELME_BACKGROUND, *source.classes)
        write_text(made / LIST, "".join(f"{name}\n" for name in labels))
    return count


def write_cvat(source: MaskFolder, out: Path, *, with_images: bool) -> int:
    """Write CVAT's format "Segmentation mask 1.1" as a new folder, or as an archive ``.zip``.

    Returns the number of masks.
    """
    if out.suffix.lower() != ZIP:
        with _new_folder(out) as made:
            _fill_cvat(source, made, with_images=with_images)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent) as folder, replacing(out) as temporary:
            _fill_cvat(source, Path(folder), with_images=with_images)
            _pack(Path(folder), temporary)
    return len(source.masks)


def _fill_cvat(source: MaskFolder, folder: Path, *, with_images: bool) -> None:
    for path, mask in _masks(source):
        write_mask(folder / MASKS / f"{path.stem}.png", mask, num_classes=len(source.classes))
        if with_images:
            image = source.images[path]
            (folder / IMAGES).mkdir(exist_ok=True)
            shutil.copyfile(image, folder / IMAGES / f"{path.stem}{image.suffix}")
    write_labelmap(folder, source.classes)
    write_default(folder / SPLITS, (path.stem for path in source.masks))


def _pack(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            packed.write(file, file.relative_to(folder).as_posix())


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that is moved to ``out`` when the block succeeds."""
    made = beside(out)
    shutil.rmtree(made, ignore_errors=True)  # of a killed run
    try:
        made.mkdir(parents=True)
        yield made
        replace_with(out, made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _require_images(source: MaskFolder) -> None:
    if not source.images:
        raise UserError(
            f"{source.path}: this format names the image of each mask, but none are known; give "
            "their folder by --images"
        )


def _masks(source: MaskFolder) -> Iterator[tuple[Path, Mask]]:
    for path in progress(source.masks, total=len(source.masks), what="convert", unit="mask"):
        yield path, source.read(path)


def _objects(mask: Mask, num_classes: int) -> Iterator[tuple[int, Ring]]:
    """The mask value and the outline of each object, by value."""
    for value in np.unique(mask).tolist():
        if mask_id(0) <= value <= mask_id(num_classes - 1):
            for ring in objects_of(mask == value):
                yield value, ring


def _object(ring: Ring, mask: Mask, *, rle: bool) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = box_of(ring)
    segmentation: Any = [[coordinate for corner in ring for coordinate in corner]]
    if rle:
        height, width = mask.shape
        segmentation = _rle(filled([np.array(ring, float)], (height, width)))
    return {
        "segmentation": segmentation,
        "area": doubled_area(ring) // 2,
        "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
    }


def _crowd(region: Region) -> dict[str, Any]:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return {
        "segmentation": _rle(region),
        "area": int(region.sum()),
        "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
    }


def _rle(region: Region) -> dict[str, Any]:
    return {"size": list(region.shape), "counts": compressed(run_lengths(region))}


def _shape(label: str, ring: Ring) -> dict[str, Any]:
    return {
        "label": label,
        "points": [[float(x), float(y)] for x, y in ring],
        "group_id": None,
        "description": "",
        "shape_type": "polygon",
        "flags": {},
        "mask": None,
    }
