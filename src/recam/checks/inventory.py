"""Inventory of a data set folder: its tables and the properties of every image and mask.

Reading goes on after a fault, so that one run reports all of them.
"""

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image

from recam.checks.report import Fault
from recam.core.errors import UserError
from recam.core.labels import IGNORE, mask_id
from recam.core.names import clean_id, quoted, reason_no_id
from recam.data.layout import (
    CLASSES,
    IMAGES,
    LABEL_CELLS,
    LABELS,
    MASKS,
    SPLITS,
    find_image,
    label_cells,
    read_classes,
)
from recam.io.images import MASK_FORMATS, MASK_MODES, not_ids, upright_size
from recam.io.opening import UPRIGHT, RefusedError, has_frames, opened, orientation
from recam.io.rgb import is_deep, is_transparent, rgb_of
from recam.io.tables import read_lines
from recam.runtime.progress import progress
from recam.runtime.threads import usable_cores

Labels = dict[str, Bool[np.ndarray, "K"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """Properties of an image or mask file, without its pixels."""

    file: str  # relative to the data set's folder
    error: str = ""  # reason why it cannot be read; the fields below are then unset
    sha256: bytes = b""
    size: tuple[int, int] = (0, 0)  # width, height, upright
    mode: str = ""
    transparent: bool = False  # has pixels that are put on white
    turned: bool = False  # has an EXIF rotation
    deep: bool = False  # has more than eight bits a channel
    framed: bool = False  # the first of several frames
    pixels: Mapping[int, int] = field(
        default_factory=dict[int, int]
    )  # pixel count of each id of a mask
    colours: Mapping[int, bytes] = field(
        default_factory=dict[int, bytes]
    )  # RGB of each id of a mask with a palette, ignored pixels left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Contents of a data set folder. Ids are strings; ids without a file have no record."""

    classes: tuple[str, ...]
    splits: Mapping[str, tuple[str, ...]]
    labels: Labels
    rows: frozenset[str]  # ids in labels.csv, including those of invalid rows
    files: tuple[str, ...]  # file names in the folder of images
    images: Mapping[str, ImageRecord]
    masks: Mapping[str, ImageRecord]

    def splits_of(self) -> dict[str, list[str]]:
        """The names of the splits that list each id."""
        named: dict[str, list[str]] = defaultdict(list)
        for split, ids in self.splits.items():
            for image_id in ids:
                named[image_id].append(split)
        return named

    def labels_of(self, ids: Iterable[str]) -> Bool[np.ndarray, "_ K"]:
        """Multi-hot labels of the ids with a valid row."""
        known = [self.labels[i] for i in ids if i in self.labels]
        return np.array(known, dtype=bool).reshape(-1, len(self.classes))

    def pixels_of(self, ids: Iterable[str]) -> Int[np.ndarray, "256"]:
        """Number of pixels of each mask id in the masks of ``ids``."""
        counts = np.zeros(IGNORE + 1, dtype=np.int64)
        for mask in (self.masks[i] for i in ids if i in self.masks):
            for value, pixels in mask.pixels.items():
                counts[value] += pixels
        return counts

    def names(self, ids: set[int]) -> str:
        """Comma-separated class names of mask ids."""
        return ", ".join(self.classes[i - mask_id(0)] for i in sorted(ids))


def take_inventory(root: Path) -> tuple[Inventory, list[Fault]]:
    """Read the tables and every image and mask of the splits, on all cores.

    Returns the inventory and the faults found while reading. Raises UserError only if classes.txt
    or labels.csv is missing or unreadable, or their classes differ.
    """
    classes = read_classes(root / CLASSES)
    faults: list[Fault] = []
    splits = _read_splits(root, faults)
    labels, rows = _read_labels(root, classes, faults)
    ids = list(dict.fromkeys(i for named in splits.values() for i in named))
    folder = root / IMAGES
    files = tuple(sorted(f.name for f in folder.iterdir())) if folder.is_dir() else ()
    stems = frozenset(_key(Path(name).stem) for name in files)
    with ThreadPool(usable_cores()) as pool:  # Pillow releases the GIL while it decodes
        records = pool.imap(partial(_read_pair, root, stems), ids, chunksize=16)
        pairs = list(progress(records, total=len(ids), what="check", unit="image"))
    inventory = Inventory(
        classes=classes,
        splits=splits,
        labels=labels,
        rows=rows,
        files=files,
        images={i: image for i, (image, _) in zip(ids, pairs, strict=True) if image},
        masks={i: mask for i, (_, mask) in zip(ids, pairs, strict=True) if mask},
    )
    return inventory, faults


def header_record(file: str, image: Image.Image) -> ImageRecord:
    """The properties of an opened image that its header tells; ``transparent`` if it has alpha."""
    return ImageRecord(
        file=file,
        size=upright_size(image),
        mode=image.mode,
        transparent=image.has_transparency_data,
        turned=orientation(image) != UPRIGHT,
        deep=is_deep(image),
        framed=has_frames(image),
    )


def file_of(split: str) -> str:
    """The file of a split, relative to the data set's folder."""
    return f"{SPLITS}/{split}.txt"


def side_of(split: str) -> str:
    """``train`` or ``val`` by the name of a split; empty for one such as trainval."""
    if split.startswith("val"):
        return "val"
    return "train" if split.startswith("train") and "val" not in split else ""


def _read_splits(root: Path, faults: list[Fault]) -> dict[str, tuple[str, ...]]:
    """The ids of every split, without repetition."""
    splits: dict[str, tuple[str, ...]] = {}
    for path in sorted((root / SPLITS).glob("[!.]*.txt")):
        file = f"{SPLITS}/{path.name}"
        try:
            counts = Counter(map(clean_id, read_lines(path).values()))
        except UserError as error:
            faults.append(Fault.error(file, "the split cannot be read", str(error)))
            continue
        unfit = {i: reason for i in counts if (reason := reason_no_id(i))}
        splits[path.stem] = tuple(i for i in counts if i not in unfit)
        if not counts:
            faults.append(Fault.error(file, "the split is empty"))
        faults += [
            Fault.error(
                file, "the split lists a name that cannot be an image id", f"{quoted(i)} {reason}"
            )
            for i, reason in unfit.items()
        ]
        faults += [
            Fault.error(file, "the split lists an image twice", image_id)
            for image_id, count in counts.items()
            if count > 1
        ]
    if not splits:
        faults.append(Fault.error(SPLITS, "no split found"))
    return splits


def _read_labels(
    root: Path, classes: tuple[str, ...], faults: list[Fault]
) -> tuple[Labels, frozenset[str]]:
    """Labels of the valid rows, and the ids of all rows. Invalid rows become faults."""
    table = label_cells(root / LABELS, classes)
    labels: Labels = {}
    invalid: list[Fault] = []
    for number, (image_id, *cells) in zip(table.lines, table.rows, strict=True):
        unlike = [(n, c) for n, c in zip(classes, cells, strict=True) if c not in LABEL_CELLS]
        for name, cell in unlike:
            detail = f"line {number}, image {image_id}, class {name}: {quoted(cell)}"
            invalid.append(Fault.error(LABELS, "a label is neither 0 nor 1", detail))
        if not unlike:
            labels.setdefault(image_id, np.array([cell == "1" for cell in cells]))
    rows = Counter(table.column("id"))
    twice = [image_id for image_id, count in rows.items() if count > 1]
    faults += [Fault.error(LABELS, "an image has two rows", image_id) for image_id in twice]
    faults += invalid
    return labels, frozenset(rows)


def _key(stem: str) -> str:
    """A name by which file systems find the same file, also those that ignore case."""
    return unicodedata.normalize("NFC", stem).casefold()


def _read_pair(
    root: Path, stems: frozenset[str], image_id: str
) -> tuple[ImageRecord | None, ImageRecord | None]:
    """Records of an image and its mask; None for a missing file.

    ``stems`` are the keys of all images: the search for a missing one would list the folder.
    """
    mask = root / MASKS / f"{image_id}.png"
    there = mask.exists() or mask.is_symlink()  # a broken link is an unreadable mask
    try:
        image = find_image(root / IMAGES, image_id) if _key(image_id) in stems else None
    except UserError:
        image = None
    return (
        _record(root, image, _image_record) if image else None,
        _record(root, mask, _mask_record) if there else None,
    )


def _record(root: Path, path: Path, read: Callable[[str, BytesIO], ImageRecord]) -> ImageRecord:
    """Read a file once and decode it completely."""
    file = path.relative_to(root).as_posix()
    try:
        return read(file, BytesIO(path.read_bytes()))
    except OSError as error:
        return ImageRecord(file=file, error=error.strerror or str(error))
    except UserError as error:
        return ImageRecord(file=file, error=str(error))


def _image_record(file: str, content: BytesIO) -> ImageRecord:
    with opened(content) as image:
        record = header_record(file, image)
        rgb_of(image, content)  # decodes it, and refuses values without a rule
        return replace(
            record,
            sha256=hashlib.sha256(content.getvalue()).digest(),
            transparent=record.transparent and (record.deep or is_transparent(image)),
        )


def _mask_record(file: str, content: BytesIO) -> ImageRecord:
    with opened(content, formats=MASK_FORMATS, noun="mask") as mask:
        if mask.mode in MASK_MODES and (words := not_ids(mask)):
            raise RefusedError(words)
        mask.load()
        counts = mask.histogram() if mask.mode in MASK_MODES else []
        pixels = {value: count for value, count in enumerate(counts) if count}
        rgb = bytes(mask.getpalette("RGB") or ())
        colours = {i: rgb[3 * i : 3 * i + 3] for i in pixels if rgb and i != IGNORE}
        return ImageRecord(
            file=file, size=mask.size, mode=mask.mode, pixels=pixels, colours=colours
        )
