"""`folder`: your own images and a table of labels, used where they lie.

my_photos/JPEGImages/*.jpg        (or images/, or the images right in the folder)
my_photos/labels.csv              id and one 0/1 column a class, or id and labels
my_photos/classes.txt             optional: class names in the order that you want
my_photos/ImageSets/Segmentation/{train,val}.txt     optional: without, `train` is all
my_photos/SegmentationClass/*.png optional: true masks, of some images or of all
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool
from PIL import ExifTags, Image, ImageOps

from recam.core.errors import UserError
from recam.data.layout import CLASSES, IMAGES, LABELS, MASKS, SPLITS, read_classes, read_split
from recam.datasets.collection import Collection, folder_of
from recam.io.atomic import replacing
from recam.io.images import DEEP_MODES, IMAGE_SUFFIXES, UNREADABLE, read_mask, write_mask
from recam.runtime.progress import progress

BETWEEN_LABELS = "[;|,]"  # of one image, in a column `labels`
UPRIGHT, SIDEWAYS = 1, 5  # EXIF: not to be turned; from here on width and height change places
ANY_SIDE = 1_000_000  # pixels

Labels = dict[str, Bool[np.ndarray, "K"]]
Files = dict[str, Path]
Size = tuple[int, int]  # width, height


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a folder of one's own says of its images; none of them was opened."""

    classes: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]
    images: Files  # of all ids that a split names
    labels: Labels  # of the same


def list_folder(source: str) -> Listing:
    """Read the table and the names of files. UserError where they do not fit together."""
    root = folder_of(source)
    if root is None:
        raise UserError("source: expected the folder of your images, got auto; set download.source")
    images = _images(root)
    classes, labels = read_table(root)
    missing = sorted(labels.keys() - images.keys())
    if missing:
        raise UserError(
            f"{root / LABELS}: no image file for {missing[0]} ({len(missing)} of {len(labels)} "
            f"rows have none); an id is the name of its file, with or without .jpg or .png"
        )
    splits = _splits(root) or {"train": tuple(labels)}
    used = dict.fromkeys(image_id for ids in splits.values() for image_id in ids)
    unlabelled = [image_id for image_id in used if image_id not in labels]
    if unlabelled:
        raise UserError(
            f"{root / LABELS}: no row for image {unlabelled[0]} of ImageSets ({len(unlabelled)} "
            f"missing); add its labels or take it off the split"
        )
    return Listing(
        classes=classes,
        splits=splits,
        images={image_id: images[image_id] for image_id in used},
        labels={image_id: labels[image_id] for image_id in used},
    )


def collect(source: str, *, originals: Path, longest_side: int | None = None) -> Collection:
    """The images of a folder of one's own, with their labels and the masks that are there.

    Photographs that a camera marked as turned, and those longer than ``longest_side`` pixels, are
    copied into ``originals``, upright as every viewer shows them and no larger than that, and with
    them their masks; all others stay where they are. Raises UserError as ``list_folder`` does.
    """
    found, folder = list_folder(source), Path(source).expanduser() / MASKS
    masks = {image_id: folder / f"{image_id}.png" for image_id in found.images}
    images, masks = _fitting(
        found.images,
        {image_id: mask for image_id, mask in masks.items() if mask.is_file()},
        target=originals,
        longest_side=longest_side or ANY_SIDE,
    )
    return Collection(
        classes=found.classes,
        splits=found.splits,
        images=images,
        labels=found.labels,
        masks=masks,
    )


def read_table(root: Path) -> tuple[tuple[str, ...], Labels]:
    """Classes and labels of labels.csv, in either form, with commas or semicolons."""
    path = root / LABELS
    table = _read_csv(path)
    if table.columns[0] != "id" or len(table.columns) < 2:
        raise UserError(
            f"{path}: expected a column 'id' and then one of 0 and 1 for each class, or a column "
            f"'labels', got {', '.join(map(repr, table.columns[:3]))}"
        )
    ids = [_without_suffix(text.strip()) for text in table["id"]]
    repeated = pd.Index(ids)[pd.Index(ids).duplicated()]
    if len(repeated):
        raise UserError(f"{path}: image {repeated[0]} has two rows; keep one")
    table.index = pd.Index(ids)
    by_name = list(table.columns[1:]) == ["labels"]
    names_of_rows = _named(table) if by_name else _ticked(path, table)
    found = [frozenset(names) for names in names_of_rows]
    classes = _classes(root, table, found)
    return classes, {
        image_id: np.array([name in names for name in classes])
        for image_id, names in zip(ids, found, strict=True)
    }


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{path}: not found; save your table of labels there as CSV")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a mark in front
        head = text.partition("\n")[0]
        separator = ";" if ";" in head.partition("labels")[0] or "," not in head else ","
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text in UTF-8; save the table as CSV in UTF-8") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path}: not a readable CSV table ({error})") from error
    return table.rename(columns=str.strip)


def _named(table: pd.DataFrame) -> list[list[str]]:
    """Rows such as ``0042,cat;dog``."""
    cells = [re.split(BETWEEN_LABELS, text) for text in table["labels"]]
    return [[name.strip() for name in names if name.strip()] for names in cells]


def _ticked(path: Path, table: pd.DataFrame) -> list[list[str]]:
    """Rows such as ``0042,1,0,1``."""
    cells = table.drop(columns="id").map(str.strip)
    wrong = np.argwhere(~cells.isin(["0", "1"]).to_numpy())
    if len(wrong):
        row, column = wrong[0]
        raise UserError(
            f"{path}: image {cells.index[row]}, class {cells.columns[column]}: expected 0 or 1, "
            f"got {cells.iloc[row, column]!r}"
        )
    return [list(cells.columns[(row == "1").to_numpy()]) for _, row in cells.iterrows()]


def _classes(root: Path, table: pd.DataFrame, found: list[frozenset[str]]) -> tuple[str, ...]:
    """The order of classes.txt, else of the columns, else of the alphabet."""
    columns = list(table.columns[1:])
    known = sorted(frozenset().union(*found)) if columns == ["labels"] else columns
    if not (root / CLASSES).is_file():
        return tuple(known)
    classes = read_classes(root / CLASSES)
    stray = [name for name in known if name not in classes]
    if stray:
        raise UserError(
            f"{root / LABELS}: class {stray[0]!r} is not in classes.txt; add it there or correct it"
        )
    return classes


def _images(root: Path) -> Files:
    """By id, the images of the first place that has any. Two files of one id are refused."""
    for folder in (root / IMAGES, root / "images", root):
        if not folder.is_dir():
            continue
        images: Files = {}
        for file in sorted(folder.iterdir()):
            if file.suffix not in IMAGE_SUFFIXES or file.name.startswith("."):
                continue
            if file.stem in images:
                raise UserError(f"{file}: has the same id as {images[file.stem].name}; rename one")
            images[file.stem] = file
        if images:
            return images
    raise UserError(f"{root}: no images .jpg or .png in JPEGImages, in images or in the folder")


def _splits(root: Path) -> dict[str, tuple[str, ...]]:
    return {
        path.stem: read_split(root, path.stem) for path in sorted((root / SPLITS).glob("*.txt"))
    }


def _fitting(
    images: Files, masks: Files, *, target: Path, longest_side: int
) -> tuple[Files, Files]:
    """The files themselves, or copies in ``target`` of what is turned or too large."""
    images, masks = dict(images), dict(masks)
    todo = progress(list(images), total=len(images), what="photographs", unit="image")
    for image_id in todo:
        name = f"{image_id}.png"
        copy, mask = target / IMAGES / name, masks.get(image_id)
        sizes = _copied(images[image_id], copy, longest_side=longest_side)
        if sizes is None:
            continue
        images[image_id] = copy
        if mask and _resized(mask, target / MASKS / name, *sizes):
            masks[image_id] = target / MASKS / name
    return images, masks


def _copied(file: Path, copy: Path, *, longest_side: int) -> tuple[Size, Size] | None:
    """Write an upright copy, as PNG, that is not too large; its size before and after, upright.

    None where the image may stay as it is, and where it cannot be used: that the check tells.
    """
    try:
        with Image.open(file) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
            width, height = image.size
            whole = (height, width) if turned >= SIDEWAYS else (width, height)
            is_deep = image.mode.startswith(DEEP_MODES)
            if is_deep or (turned == UPRIGHT and max(whole) <= longest_side):
                return None
            image.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except UNREADABLE:
        return None
    with replacing(copy) as temporary:
        upright.save(temporary, format="PNG", exif=b"")
    return whole, upright.size


def _resized(mask: Path, copy: Path, whole: Size, small: Size) -> bool:
    """Write a copy of a mask in the size of its image's copy. A mask that fits neither is left."""
    try:
        ids = Image.fromarray(read_mask(mask))
    except UserError:
        return False
    if ids.size != whole:
        return False
    write_mask(copy, np.array(ids.resize(small, Image.Resampling.NEAREST)))
    return True


def _without_suffix(name: str) -> str:
    return Path(name).stem if Path(name).suffix in IMAGE_SUFFIXES else name
