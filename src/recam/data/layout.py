"""The one data format: a folder in PASCAL VOC's layout, and what training may see of it.

``JPEGImages/<id>.jpg|png``, ``SegmentationClass/<id>.png``, ``ImageSets/Segmentation/<split>.txt``,
``labels.csv`` (id, then one 0/1 column per class) and ``classes.txt``. Ids are strings, always.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, UInt8

from recam.core.errors import UserError
from recam.core.labels import MAX_CLASSES, labels_of_mask
from recam.io.atomic import write_text
from recam.io.images import IMAGE_SUFFIXES, write_image, write_mask

IMAGES = "JPEGImages"
MASKS = "SegmentationClass"
SPLITS = "ImageSets/Segmentation"
LABELS = "labels.csv"
CLASSES = "classes.txt"
WEAK_PARTS = (IMAGES, "ImageSets", LABELS, CLASSES)  # all that weak supervision may see


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSplit:
    """What weak supervision may see of a split: images and image-level labels. No masks."""

    name: str
    ids: tuple[str, ...]
    images: tuple[Path, ...]
    labels: Bool[np.ndarray, "N K"]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A made image with its exact mask."""

    image: UInt8[np.ndarray, "H W 3"]
    mask: UInt8[np.ndarray, "H W"]


def load_weak_split(root: Path, split: str) -> WeakSplit:
    """Images and labels of ``train``, ``val``, ... Raises UserError for any fault in the files."""
    classes = read_classes(root / CLASSES)
    ids = read_split(root, split)
    table = read_labels(root / LABELS, classes)
    missing = [i for i in ids if i not in table.index]
    if missing:
        raise UserError(
            f"{root / LABELS}: no row for image {missing[0]} of split {split} "
            f"({len(missing)} missing); add its labels or take it off the split"
        )
    images = tuple(find_image(root / IMAGES, image_id) for image_id in ids)
    return WeakSplit(
        name=split,
        ids=ids,
        images=images,
        labels=table.loc[list(ids)].to_numpy(dtype=bool),
        classes=classes,
    )


def read_classes(path: Path) -> tuple[str, ...]:
    """Foreground class names, one a line, in the order of their indices."""
    names = tuple(line.strip() for line in _lines(path) if line.strip())
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(f"{path}: class {repeated[0]!r} is listed twice; list each class once")
    if not 1 <= len(names) <= MAX_CLASSES:
        raise UserError(f"{path}: expected 1 to {MAX_CLASSES} classes, got {len(names)}")
    return names


def read_split(root: Path, split: str) -> tuple[str, ...]:
    """The image ids of a split, in file order."""
    path = root / SPLITS / f"{split}.txt"
    ids = tuple(line.strip() for line in _lines(path) if line.strip())
    repeated = [i for i, count in Counter(ids).items() if count > 1]
    if repeated:
        raise UserError(f"{path}: image {repeated[0]} is listed twice; list each image once")
    if not ids:
        raise UserError(f"{path}: the split is empty; list at least one image id")
    return ids


def read_labels(path: Path, classes: tuple[str, ...]) -> pd.DataFrame:
    """A boolean table: one row per image id, one column per class in the order of ``classes``."""
    if not path.is_file():
        raise UserError(f"{path}: not found; run the download step or put it there")
    try:
        table = pd.read_csv(path, dtype={0: str, "id": str}, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path}: not a readable CSV table ({error})") from error
    if table.columns[0] != "id":
        raise UserError(f"{path}: the first column must be 'id', got {table.columns[0]!r}")
    table = table.set_index("id")
    if list(table.columns) != list(classes):
        raise UserError(
            f"{path}: expected one column for each of the {len(classes)} classes of classes.txt in "
            f"its order, got {len(table.columns)} columns ({', '.join(table.columns[:3])}, ...)"
        )
    repeated = table.index[table.index.duplicated()]
    if len(repeated):
        raise UserError(f"{path}: image {repeated[0]} has two rows; keep one")
    wrong = ~table.isin([0, 1, "0", "1"])  # one text makes its whole column text
    if wrong.to_numpy().any():
        row, column = np.argwhere(wrong.to_numpy())[0]
        value = table.iloc[:, column].tolist()[row]  # a number of Python's own, for its words
        raise UserError(
            f"{path}: image {table.index[row]}, class {classes[column]}: expected 0 or 1, "
            f"got {value!r}"
        )
    return table.astype(int).astype(bool)


def require_classes(trained: tuple[str, ...], expected: tuple[str, ...], *, source: Path) -> None:
    """Raise UserError where a checkpoint was trained on other classes than the data set has."""
    if trained != expected:
        raise UserError(
            f"{source}: was trained on {len(trained)} classes ({', '.join(trained[:3])}, ...), the "
            f"data set has {len(expected)} ({', '.join(expected[:3])}, ...); train on this data set"
        )


def find_image(folder: Path, image_id: str) -> Path:
    """The file of an image id, whichever of the usual suffixes it has."""
    for suffix in IMAGE_SUFFIXES:
        path = folder / f"{image_id}{suffix}"
        if path.is_file():
            return path
    raise UserError(f"{folder}: no image {image_id}.jpg or .png; add it or take it off the split")


def write_scenes(
    root: Path, splits: Mapping[str, Iterable[Scene]], classes: tuple[str, ...]
) -> Iterable[str]:
    """Write made scenes in the layout, yielding each id when its files are there.

    Labels are what the masks show. The tables are written last: a folder with them is whole.
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


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"{path}: not found; run the download step or put it there")
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()  # some editors put a mark in front
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text in UTF-8; save it as such") from error
