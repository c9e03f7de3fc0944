"""Data sets outside the data folder, linked into the common layout without copying."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from recam.core.errors import UserError
from recam.data.boxes import BoxesOfImage, write_boxes
from recam.data.layout import CLASSES, IMAGES, LABELS, MASKS, SPLITS
from recam.data.parts import BOXES
from recam.io.atomic import write_text

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The files, labels and splits of a data set in its original place. Ids are strings."""

    classes: tuple[str, ...]
    splits: Mapping[str, tuple[str, ...]]  # train, val, ... -> image ids
    images: Mapping[str, Path]  # of every id in a split
    labels: Mapping[str, Bool[np.ndarray, "K"]]  # multi-hot, of the same ids
    masks: Mapping[str, Path]  # ground truth as palette or grey PNG; may be missing for some ids
    # Ground truth boxes of some ids; without them the components of masks serve as boxes.
    boxes: Mapping[str, BoxesOfImage] = field(default_factory=dict[str, BoxesOfImage])


def folder_of(source: str) -> Path | None:
    """The folder ``source``, or None for ``auto``. Raises UserError if it does not exist."""
    if source == AUTO:
        return None
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"source: expected {AUTO} or the path of a folder, got {source}, which does not exist; "
            "correct download.source"
        )
    return folder


def link_collection(root: Path, collection: Collection) -> None:
    """Write the layout of ``recam.data.layout`` at ``root``: links to the files, and the tables.

    Links to files below the parent folder of ``root`` are relative, so that it can be moved.
    """
    for folder, files in ((IMAGES, collection.images), (MASKS, collection.masks)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for image_id, file in files.items():
            link_file(root / folder / f"{image_id}{file.suffix.lower()}", file, home=root.parent)
    if collection.boxes:
        write_boxes(root / MASKS / BOXES, collection.boxes, collection.classes)
    for split, ids in collection.splits.items():
        write_text(root / SPLITS / f"{split}.txt", "".join(f"{i}\n" for i in ids))
    labels = np.array(list(collection.labels.values()), dtype=int)
    table = pd.DataFrame(labels, index=list(collection.labels), columns=list(collection.classes))
    write_text(root / LABELS, table.to_csv(index_label="id"))
    write_text(root / CLASSES, "".join(f"{name}\n" for name in collection.classes))


def link_file(link: Path, file: Path, *, home: Path) -> None:
    """Make ``link`` point to ``file``: a relative link if the file is below the folder ``home``."""
    file, home = file.resolve(), home.resolve()
    inside = file.is_relative_to(home)
    link.symlink_to(os.path.relpath(file, link.parent.resolve()) if inside else file)


def settle_links(folder: Path, place: Path) -> None:
    """Rewrite the relative links in ``folder`` so that they hold when it is moved to ``place``."""
    home = place.parent.resolve() / place.name
    for link in [path for path in folder.rglob("*") if path.is_symlink()]:
        old = link.readlink()
        new = Path(os.path.relpath(link.resolve(), home / link.parent.relative_to(folder)))
        if not old.is_absolute() and old != new:
            link.unlink()
            link.symlink_to(new)
