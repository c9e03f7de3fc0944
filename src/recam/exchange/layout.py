"""The project's own layout of a folder, written from the annotated images of another tool."""

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from recam.core.errors import UserError
from recam.data.parts import BOX_COLUMNS, BOXES, CLASSES, IMAGES, LABELS, MASKS, SPLITS
from recam.exchange.found import Found, Item, noted
from recam.io.atomic import beside, replace_with, write_text
from recam.io.images import image_size, write_mask
from recam.io.opening import opened
from recam.runtime.progress import progress

SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "GIF": ".gif",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The number of files and rows of a finished folder, and notes on what it lacks."""

    images: int
    masks: int
    boxes: int
    notes: list[str]


def require_free(out: Path) -> None:
    """Raise UserError if a file or a folder with content is at ``out``."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: expected a new or empty place, got one in use; choose another")


def require_new(out: Path, *, source: Path) -> None:
    """Raise UserError unless ``out`` is free, as by ``require_free``, and outside ``source``."""
    require_free(out)
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out}: expected a folder outside {source}, got one in it; choose another")


def write_folder(out: Path, found: Found) -> Written:
    """Write images, labels, classes, splits, masks and boxes into the new folder ``out``.

    Images are hard links to the originals, or copies where links are not possible. The folder
    appears when it is complete. Raises UserError as the reader of the format does.
    """
    made = beside(out)
    shutil.rmtree(made, ignore_errors=True)  # of a killed run
    try:
        for folder in (IMAGES, MASKS, SPLITS):
            (made / folder).mkdir(parents=True)
        masks = 0
        for item in progress(found.items, total=len(found.items), what="write", unit="image"):
            masks += _write_item(made, item, len(found.classes))
        boxes = _write_boxes(made / MASKS / BOXES, found)
        notes = _write_splits(made, found)
        _write_labels(made / LABELS, found)
        write_text(made / CLASSES, "".join(f"{name}\n" for name in found.classes))
        for folder in (MASKS, SPLITS):
            if not any((made / folder).iterdir()):
                (made / folder).rmdir()
        if not any((made / "ImageSets").iterdir()):
            (made / "ImageSets").rmdir()
        replace_with(out, made)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Written(images=len(found.items), masks=masks, boxes=boxes, notes=notes)


def _write_item(root: Path, item: Item, num_classes: int) -> bool:
    """Write an image and its mask; return whether it has one."""
    if isinstance(item.image, Path):
        image = root / IMAGES / f"{item.id}{item.image.suffix.lower()}"
        _link(item.image.resolve(), image)
    else:
        with opened(BytesIO(item.image)) as embedded:
            suffix = SUFFIXES.get(embedded.format or "", ".png")
        image = root / IMAGES / f"{item.id}{suffix}"
        image.write_bytes(item.image)
    if item.mask:
        mask = item.mask(image_size(image))
        write_mask(root / MASKS / f"{item.id}.png", mask, num_classes=num_classes)
    return item.mask is not None


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:  # another disk, or one without hard links
        shutil.copy2(file, link)


def _write_boxes(path: Path, found: Found) -> int:
    """Write boxes.csv, if there are boxes; return their number."""
    rows = [(item.id, *box) for item in found.items for box in item.boxes]
    if rows:
        _write_table(path, [BOX_COLUMNS, *rows])
    return len(rows)


def _write_splits(root: Path, found: Found) -> list[str]:
    """Write a list for each split; return notes on names without an image, and the reverse."""
    ids = {item.id for item in found.items}
    listed = Counter(image_id for names in found.splits.values() for image_id in names)
    for split, names in found.splits.items():
        known = [name for name in names if name in ids]
        if not known:
            raise UserError(
                f"split {split}: expected names of annotated images, got none of them; correct the "
                "list of the split"
            )
        write_text(root / SPLITS / f"{split}.txt", "".join(f"{name}\n" for name in known))
    notes: list[str] = []
    if absent := sorted(listed.keys() - ids):
        notes.append(noted("names in lists that have no annotation are not used", absent))
    if found.splits and (left := sorted(ids - listed.keys())):
        notes.append(noted("images in no list belong to no split", left))
    return notes


def _write_labels(path: Path, found: Found) -> None:
    rows = [
        (item.id, *(int(name in item.labels) for name in found.classes)) for item in found.items
    ]
    _write_table(path, [("id", *found.classes), *rows])


def _write_table(path: Path, rows: Iterable[tuple[object, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())
