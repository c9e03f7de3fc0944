"""PASCAL VOC XML, as VOC's devkit, labelImg and CVAT write it, with or without masks.

An image has the labels of its objects, difficult or not, and of its mask. Boxes of VOC's own
database count pixels from 1; those of other tools are corners, from 0.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

from recam.core.errors import UserError
from recam.core.labels import labels_of_mask
from recam.core.names import clean_name, quoted
from recam.data.parts import CLASSES, MASKS, read_classes
from recam.data.recognition import LABELMAP, NAMES, VOC
from recam.exchange.cvat import read_coloured, read_labelmap
from recam.exchange.documents import read_xml
from recam.exchange.found import (
    Box,
    Found,
    Item,
    Mask,
    class_names,
    clipped,
    id_of_path,
    is_no_class,
    noted,
    require_size,
)
from recam.exchange.lists import read_lists
from recam.exchange.source import Source
from recam.io.images import check_mask, image_size, read_mask
from recam.io.opening import has_image_suffix
from recam.runtime.progress import progress

DEVKIT = "voc"  # a word in the name of VOC's own database, such as "The VOC2007 Database"
LISTS_OF_CLASSES = (CLASSES, "class_names.txt", "labels.txt")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
NO_LIST = "masks are not used, since no labelmap.txt or classes.txt names their values"

Reader = Callable[[Path], Mask]  # of one mask file, with the ids of the classes
Notes = dict[str, list[str]]  # images by the kind of note


def read_voc(source: Source) -> Found:
    """Read labels, boxes and masks.

    Raises UserError for a missing image, an unreadable file and a size that is not the image's.
    """
    records = {path: read_xml(path) for path in source.documents}
    names = [_text(o, "name", p) for p, root in records.items() for o in root.iterfind("object")]
    classes, reader = _classes(source.root, names)
    notes: Notes = {}
    if reader is None and (source.root / MASKS).is_dir():
        notes[NO_LIST] = [p.name for p in sorted((source.root / MASKS).glob("*.png"))]
    todo = progress(records.items(), total=len(records), what="read annotations", unit="image")
    items = [_item(source, path, root, classes, reader, notes) for path, root in todo]
    return Found(
        format=NAMES[VOC],
        classes=classes,
        items=items,
        splits=_splits(source.root),
        notes=[noted(kind, places) for kind, places in notes.items() if places],
    )


def _splits(root: Path) -> dict[str, list[str]]:
    lists = read_lists(root)
    return {split: [id_of_path(name, split) for name in names] for split, names in lists.items()}


def _classes(root: Path, names: Sequence[str]) -> tuple[tuple[str, ...], Reader | None]:
    """The classes in the order of a list, or of the alphabet, and how masks are read with it."""
    if (root / LABELMAP).is_file():
        labelmap = read_labelmap(root / LABELMAP)
        classes = class_names(labelmap.names, str(labelmap.path))
        reader = partial(read_coloured, labelmap=labelmap, classes=classes)
    else:
        path = next((root / n for n in LISTS_OF_CLASSES if (root / n).is_file()), None)
        if path is None:
            return tuple(sorted(class_names(names, str(root)))), None
        classes, reader = read_classes(path), read_mask
    used = {clean_name(name) for name in names if not is_no_class(name)}
    if unknown := sorted(used - set(classes)):
        raise UserError(
            f"{root}: class {quoted(unknown[0])} of the annotations is not in the list of classes; "
            "add it there"
        )
    return classes, reader


def _item(
    source: Source,
    path: Path,
    root: Element,
    classes: tuple[str, ...],
    reader: Reader | None,
    notes: Notes,
) -> Item:
    name = root.findtext("filename", "").strip() or path.stem
    bare = name.rpartition(".")[0] if has_image_suffix(name) else name
    image = source.images.find(name, beside=path.parent, where=str(path))
    size = _size(root, path, image)
    labels: set[str] = set()
    boxes: list[Box] = []
    is_devkit = DEVKIT in root.findtext("source/database", "").casefold()
    for element in root.iterfind("object"):
        label = clean_name(_text(element, "name", path))
        if is_no_class(label):
            notes.setdefault(f"objects {quoted(label)} are not used", []).append(str(path))
            continue
        labels.add(label)
        box = _box(element, path, is_devkit=is_devkit)
        if kept := clipped(label, box, size) if box else None:
            boxes.append(kept)
        else:
            notes.setdefault("objects without a box in the image", []).append(str(path))
    mask = source.root / MASKS / f"{bare}.png"
    draw = None
    if reader and mask.is_file():
        draw = partial(_drawn, mask, reader, len(classes))
        present = labels_of_mask(draw(size), num_classes=len(classes))
        labels |= {c for c, is_in in zip(classes, present, strict=True) if is_in}
    return Item(
        id=id_of_path(bare, str(path)),
        image=image,
        labels=frozenset(labels),
        mask=draw,
        boxes=tuple(boxes),
    )


def _drawn(path: Path, reader: Reader, num_classes: int, size: tuple[int, int]) -> Mask:
    mask = reader(path)
    check_mask(path, mask, size=size, num_ids=num_classes + 1)
    return mask


def _size(root: Element, path: Path, image: Path) -> tuple[int, int]:
    """Height and width of the upright image. Raises UserError if the file states others."""
    height, width = image_size(image)
    stated = [root.findtext(f"size/{side}", "").strip() for side in ("height", "width")]
    if all(re.fullmatch("0*[1-9][0-9]{0,8}", text) for text in stated):  # some write 0
        annotated = (int(stated[0]), int(stated[1]))
        require_size(str(path), annotated=annotated, image=(height, width))
    return height, width


def _box(element: Element, path: Path, *, is_devkit: bool) -> list[float] | None:
    if element.find("bndbox") is None:
        return None
    texts = [element.findtext(f"bndbox/{corner}", "") for corner in CORNERS]
    try:
        x_min, y_min, x_max, y_max = map(float, texts)
    except ValueError as error:
        raise UserError(
            f"{path}: expected numbers as {', '.join(CORNERS)}, got {', '.join(map(quoted, texts))}"
            "; correct the box"
        ) from error
    return [x_min - is_devkit, y_min - is_devkit, x_max, y_max]


def _text(element: Element, key: str, path: Path) -> str:
    if text := element.findtext(key, "").strip():
        return text
    raise UserError(f"{path}: expected a {key} in each object, got none; add it")
