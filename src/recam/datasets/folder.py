"""`folder`: your own images and a table of labels, used in place.

my_photos/JPEGImages/*.jpg        or images/*.jpg, or my_photos/*.jpg
my_photos/labels.csv              columns: id and one 0/1 column per class, or id and labels
my_photos/classes.txt             optional: class names in the order of their indices
my_photos/ImageSets/Segmentation/{train,val}.txt     optional: otherwise `train` has all images
my_photos/SegmentationClass/*.png optional: ground truth of some or all images
my_photos/SegmentationClass/boxes.csv   optional: boxes of some or all images
"""

import io
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from recam.core.errors import UserError
from recam.data.boxes import BOXES, read_boxes
from recam.data.layout import CLASSES, IMAGES, LABELS, MASKS, SPLITS, read_classes, read_split
from recam.datasets.collection import Collection, folder_of
from recam.datasets.copies import Files, fitting, rescaled_boxes
from recam.io.opening import IMAGE_SUFFIXES, has_image_suffix, is_hidden

LABEL_SEPARATORS = "[;|,]"  # in a cell of the column `labels`

NAMED = 3  # sub-folders in a message

Labels = dict[str, Bool[np.ndarray, "K"]]


def list_folder(source: str) -> Collection:
    """Read the table of labels and list the files of the folder ``source``; opens no image.

    Raises UserError if the folder, its table, its lists and its images do not agree.
    """
    root = folder_of(source)
    if root is None:
        raise UserError("source: expected the folder of your images, got auto; set download.source")
    images = _images(root)
    classes, labels = read_table(root)
    missing = sorted(labels.keys() - images.keys())
    if missing:
        raise UserError(
            f"{root / LABELS}: no image file for {missing[0]} ({len(missing)} of {len(labels)} "
            f"rows have none); {_remedy(root, missing[0])}"
        )
    splits = _splits(root) or {"train": tuple(labels)}
    used = list(dict.fromkeys(image_id for ids in splits.values() for image_id in ids))
    unlabelled = [image_id for image_id in used if image_id not in labels]
    if unlabelled:
        raise UserError(
            f"{root / LABELS}: expected a row for each id of {SPLITS}, {len(unlabelled)} are "
            f"missing (first: {unlabelled[0]}); add the rows, or write these ids without a suffix"
        )
    masks = _masks(root)
    boxes = read_boxes(root / MASKS / BOXES, classes)
    foreign = [image_id for image_id in boxes if image_id not in labels]
    if foreign:
        raise UserError(
            f"{root / MASKS / BOXES}: expected ids of {LABELS}, got {foreign[0]!r}; correct it, "
            "without a suffix, or add the image's labels"
        )
    return Collection(
        classes=classes,
        splits=splits,
        images={image_id: images[image_id] for image_id in used},
        labels={image_id: labels[image_id] for image_id in used},
        masks={image_id: masks[image_id] for image_id in used if image_id in masks},
        boxes={image_id: boxes[image_id] for image_id in used if image_id in boxes},
    )


def collect(source: str, *, originals: Path, longest_side: int | None = None) -> Collection:
    """List the folder ``source``, and copy the images that cannot be used in place.

    Images with an EXIF rotation and images longer than ``longest_side`` pixels are copied into
    ``originals``, rotated upright and downscaled, together with their masks; boxes
    are those of the copies. Raises UserError as ``list_folder`` does.
    """
    found = list_folder(source)
    images, masks = fitting(found.images, found.masks, target=originals, longest_side=longest_side)
    boxes = {
        image_id: rescaled_boxes(of_image, image=found.images[image_id], copy=images[image_id])
        if images[image_id] != found.images[image_id]
        else of_image
        for image_id, of_image in found.boxes.items()
    }
    return replace(found, images=images, masks=masks, boxes=boxes)


def read_table(root: Path) -> tuple[tuple[str, ...], Labels]:
    """Read class names and multi-hot labels by id from labels.csv, in either form.

    Cells are separated by commas or semicolons. Raises UserError for an invalid table.
    """
    path = root / LABELS
    table = _read_csv(path)
    if table.columns[0] != "id" or len(table.columns) < 2:
        raise UserError(
            f"{path}: expected the column 'id' and either one 0/1 column per class or the column "
            f"'labels', got {', '.join(map(repr, table.columns[:3]))}; rename or add columns"
        )
    ids = [_without_suffix(text.strip()) for text in table["id"]]
    if "" in ids:
        raise UserError(
            f"{path}: row {ids.index('') + 2} has no id; add it or delete the blank row"
        )
    repeated = pd.Index(ids)[pd.Index(ids).duplicated()]
    if len(repeated):
        raise UserError(f"{path}: image {repeated[0]} has two rows; keep one")
    table.index = pd.Index(ids)
    by_name = list(table.columns[1:]) == ["labels"]
    names_of_rows = _from_names(table) if by_name else _from_columns(path, table)
    found = [frozenset(names) for names in names_of_rows]
    classes = _classes(root, table, found)
    return classes, {
        image_id: np.array([name in names for name in classes])
        for image_id, names in zip(ids, found, strict=True)
    }


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{path}: not found; save the table of labels there as CSV")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
        head = text.partition("\n")[0]
        separator = ";" if ";" in head.partition("labels")[0] or "," not in head else ","
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected text in UTF-8; export the table as CSV UTF-8") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(
            f"{path}: expected a CSV table with commas or semicolons, got {error}; export it again"
        ) from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes a surplus first cell as index
        raise UserError(
            f"{path}: expected rows of {len(table.columns)} columns as in the header, got longer "
            "ones; delete surplus separators, such as a comma at the end of each row"
        )
    return table.rename(columns=str.strip)


def _from_names(table: pd.DataFrame) -> list[list[str]]:
    """Rows such as ``0042,cat;dog``."""
    cells = [re.split(LABEL_SEPARATORS, text) for text in table["labels"]]
    return [[name.strip() for name in names if name.strip()] for names in cells]


def _from_columns(path: Path, table: pd.DataFrame) -> list[list[str]]:
    """Rows such as ``0042,1,0,1``."""
    cells = table.drop(columns="id").map(str.strip)
    invalid = np.argwhere(~cells.isin(["0", "1"]).to_numpy())
    if len(invalid):
        row, column = invalid[0]
        raise UserError(
            f"{path}: image {cells.index[row]}, class {cells.columns[column]}: expected 0 or 1, "
            f"got {cells.iloc[row, column]!r}; correct it"
        )
    return [list(cells.columns[(row == "1").to_numpy()]) for _, row in cells.iterrows()]


def _classes(root: Path, table: pd.DataFrame, found: list[frozenset[str]]) -> tuple[str, ...]:
    """Class names in the order of classes.txt, else of the columns, else of the alphabet."""
    columns = list(table.columns[1:])
    known = sorted(frozenset().union(*found)) if columns == ["labels"] else columns
    if not (root / CLASSES).is_file():
        return tuple(known)
    classes = read_classes(root / CLASSES)
    unknown = [name for name in known if name not in classes]
    if unknown:
        raise UserError(
            f"{root / LABELS}: expected the classes of classes.txt, got {unknown[0]!r}; correct "
            "the name or add it to classes.txt"
        )
    return classes


def _images(root: Path) -> Files:
    """Image files by id, from the first of three folders that has any; ids must be unique."""
    for folder in (root / IMAGES, root / "images", root):
        if not folder.is_dir():
            continue
        images: Files = {}
        for file in sorted(folder.iterdir()):
            if not has_image_suffix(file.name) or is_hidden(file.name):
                continue
            if file.stem in images:
                raise UserError(
                    f"{file}: has the same id as {images[file.stem].name}; rename one of them"
                )
            images[file.stem] = file
        if images:
            return images
    raise UserError(
        f"{root}: expected images ({', '.join(IMAGE_SUFFIXES)}) in {IMAGES}, in images or in the "
        f"folder itself, found none{_elsewhere(root)}; move or convert them"
    )


def _masks(root: Path) -> Files:
    """Masks <id>.png by id, with the ending in any case."""
    files = sorted((root / MASKS).iterdir()) if (root / MASKS).is_dir() else []
    named = [file for file in files if file.suffix.lower() == ".png" and not is_hidden(file.name)]
    return {file.stem: file for file in named if file.is_file() or file.is_symlink()}


def _elsewhere(root: Path) -> str:
    """The sub-folders that hold images, in words."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and _has_images(path)]
    names = ", ".join(f"{folder.name}/" for folder in folders[:NAMED])
    return f" (sub-folders are not searched: {names})" if folders else ""


def _has_images(folder: Path) -> bool:
    return any(has_image_suffix(file.name) for file in folder.iterdir())


def _remedy(root: Path, image_id: str) -> str:
    """How to make the file of an id usable, with a file of a similar name if there is one."""
    folders = (root / IMAGES, root / "images", root)
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())]
    names = [file.name for file in files if file.stem == image_id and file.is_file()]
    if names:
        return f"convert {names[0]} to .jpg or .png"
    similar = [file.stem for file in files if _plain(file.stem) == _plain(image_id)]
    if similar:
        return f"write the id as its file is named, {similar[0]}"
    if "/" in image_id and (root / image_id).parent.is_dir():
        return f"move the images of sub-folders into {IMAGES}, and write ids without a folder"
    return "correct the id, which is the file name without .jpg, .jpeg or .png"


def _plain(name: str) -> str:
    """A name without the differences that file systems and spreadsheets make: case, accents."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def _splits(root: Path) -> dict[str, tuple[str, ...]]:
    return {
        path.stem: read_split(root, path.stem) for path in sorted((root / SPLITS).glob("[!.]*.txt"))
    }


def _without_suffix(name: str) -> str:
    return Path(name).stem if has_image_suffix(name) else name
