"""The data format of all steps: a folder in PASCAL VOC's layout.

``JPEGImages/<id>.jpg|png``, ``SegmentationClass/<id>.png``, ``ImageSets/Segmentation/<split>.txt``,
``labels.csv`` (id, then one 0/1 column per class) and ``classes.txt``. Ids are strings.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, UInt8

from recam.core.errors import UserError
from recam.core.labels import labels_of_mask
from recam.core.names import clean_id, clean_name, quoted, reason_no_id, shown
from recam.data.parts import (
    CLASSES,
    IMAGES,
    LABELS,
    MASKS,
    SPLITS,
    read_classes,
    repeated_line,
)
from recam.io.atomic import write_text
from recam.io.images import write_image, write_mask
from recam.io.opening import IMAGE_SUFFIXES, has_image_suffix
from recam.io.tables import Table, read_lines, read_table

SALIENCY = "Saliency"  # optional: grey maps of the user
LABEL_CELLS = ("0", "1")
CHECKSUMS = "images.sha256"  # of all but masks and maps, written by the download step
WEAK_PARTS = (IMAGES, "ImageSets", LABELS, CLASSES)  # everything but ground truth


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSplit:
    """The images and image-level labels of a split, without ground truth masks."""

    name: str
    ids: tuple[str, ...]
    images: tuple[Path, ...]  # in the order of ids
    labels: Bool[np.ndarray, "N K"]  # multi-hot, in the same order
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A generated RGB image with its exact mask."""

    image: UInt8[np.ndarray, "H W 3"]
    mask: UInt8[np.ndarray, "H W"]


def load_weak_split(root: Path, split: str) -> WeakSplit:
    """Load the ids, image paths and labels of ``split`` (train, val, ...) in the data set ``root``.

    Raises UserError for a missing or invalid file.
    """
    classes = read_classes(root / CLASSES)
    ids = read_split(root, split)
    table = read_labels(root / LABELS, classes)
    missing = [i for i in ids if i not in table.index]
    if missing:
        raise UserError(
            f"{root / LABELS}: expected a row for each image of split {split}, {len(missing)} are "
            f"missing (first: {missing[0]}); add the rows or remove these ids from the split"
        )
    images = tuple(find_image(root / IMAGES, image_id) for image_id in ids)
    return WeakSplit(
        name=split,
        ids=ids,
        images=images,
        labels=table.loc[list(ids)].to_numpy(dtype=bool, copy=True),
        classes=classes,
    )


def read_split(root: Path, split: str) -> tuple[str, ...]:
    """Read the image ids of a split, in file order. Raises UserError for an invalid list."""
    path = root / SPLITS / f"{split}.txt"
    lines = [(number, clean_id(text)) for number, text in read_lines(path).items()]
    for number, image_id in lines:
        if reason := reason_no_id(image_id):
            raise UserError(
                f"{path}: line {number}: expected an image id, {quoted(image_id)} {reason}; write "
                "the name of the image file without its suffix"
            )
    if repeated := repeated_line(lines):
        raise UserError(
            f"{path}: line {repeated[0]}: image {shown(repeated[1])} is listed twice; list "
            "each image once"
        )
    if not lines:
        raise UserError(f"{path}: the split is empty; list at least one image id")
    return tuple(image_id for _, image_id in lines)


def read_labels(path: Path, classes: tuple[str, ...]) -> pd.DataFrame:
    """Read labels.csv as a boolean table: a row for each image id, a column for each class.

    Raises UserError for a missing or unreadable file, other columns, a repeated id and any value
    but 0 and 1.
    """
    table = label_cells(path, classes)
    ids = table.column("id")
    if repeated := repeated_line(zip(table.lines, ids, strict=True)):
        raise UserError(
            f"{path}: line {repeated[0]}: image {shown(repeated[1])} has two rows; keep one"
        )
    for number, (image_id, *cells) in zip(table.lines, table.rows, strict=True):
        for name, cell in zip(classes, cells, strict=True):
            if cell not in LABEL_CELLS:
                raise UserError(
                    f"{path}: line {number}: image {image_id}, class {name}: expected 0 or 1, got "
                    f"{quoted(cell)}; correct it"
                )
    values = [[cell == "1" for cell in cells] for _, *cells in table.rows]
    labels = np.array(values, dtype=bool).reshape(-1, len(classes))
    return pd.DataFrame(labels, index=pd.Index(ids, name="id", dtype=object), columns=list(classes))


def label_cells(path: Path, classes: tuple[str, ...]) -> Table:
    """The cells of labels.csv as text, with the columns id and one for each class in their order.

    Raises UserError for a missing or unreadable file, other columns and a row without an id.
    """
    table = read_table(path)
    if table.header[0] != "id":
        raise UserError(
            f"{path}: expected 'id' as the first column, got {quoted(table.header[0])}; rename it"
        )
    found = tuple(map(clean_name, table.header[1:]))
    if found != classes:
        raise UserError(
            f"{path}: expected one column for each of the {len(classes)} classes of classes.txt in "
            f"its order, got {len(found)} columns ({', '.join(found[:3])}, ...); make both files "
            "agree"
        )
    rows = tuple((clean_id(image_id), *cells) for image_id, *cells in table.rows)
    for number, (image_id, *_) in zip(table.lines, rows, strict=True):
        if not image_id:
            raise UserError(f"{path}: line {number}: the row has no id; add it or delete the row")
    return replace(table, header=("id", *classes), rows=rows)


def require_classes(trained: tuple[str, ...], expected: tuple[str, ...], *, source: Path) -> None:
    """Raise UserError if the checkpoint ``source`` was trained on other classes than expected."""
    if trained != expected:
        raise UserError(
            f"{source}: expected a checkpoint for the {len(expected)} classes of the data set "
            f"({', '.join(expected[:3])}, ...), got one for {len(trained)} classes "
            f"({', '.join(trained[:3])}, ...); train on this data set"
        )


def find_image(folder: Path, image_id: str) -> Path:
    """The image file of an id, with any suffix of IMAGE_SUFFIXES in any case. Raises UserError."""
    for suffix in IMAGE_SUFFIXES:
        for ending in (suffix, suffix.upper()):
            path = folder / f"{image_id}{ending}"
            if _is_file(path):
                return path
    for path in sorted(folder.glob(f"{escape(image_id)}.*")):  # such as .Jpg
        if path.stem == image_id and has_image_suffix(path.name) and _is_file(path):
            return path
    raise UserError(
        f"{folder}: expected the image {image_id}.jpg, .png, .tif or of another usual ending, "
        "found none; add it or remove the id from the split"
    )


def _is_file(path: Path) -> bool:
    """Whether a file is there; false for a name that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def write_scenes(
    root: Path, splits: Mapping[str, Iterable[Scene]], classes: tuple[str, ...]
) -> Iterable[str]:
    """Write generated scenes in the layout, and yield each id once its files are written.

    Labels are derived from the masks. The tables are written last, so a folder that has them is
    complete.
    """
    rows: dict[str, list[int]] = {}
    for split, scenes in splits.items():
        ids = []
        for number, scene in enumerate(scenes):
            image_id = f"{split}_{number:04d}"
            write_image(root / IMAGES / f"{image_id}.png", scene.image)
            write_mask(root / MASKS / f"{image_id}.png", scene.mask, num_classes=len(classes))
            present = labels_of_mask(scene.mask, num_classes=len(classes))
            rows[image_id] = [int(p) for p in present]
            ids.append(image_id)
            yield image_id
        write_text(root / SPLITS / f"{split}.txt", "".join(f"{i}\n" for i in ids))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(classes))
    write_text(root / LABELS, table.to_csv(index_label="id"))
    write_text(root / CLASSES, "".join(f"{name}\n" for name in classes))
