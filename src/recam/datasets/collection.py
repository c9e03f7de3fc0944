"""Photographs that lie somewhere, brought into the one layout by links: nothing is copied."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from recam.core.errors import UserError
from recam.data.layout import CLASSES, IMAGES, LABELS, MASKS, SPLITS
from recam.io.atomic import write_text

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A data set where it lies, and what is known of each image. Ids are strings."""

    classes: tuple[str, ...]
    splits: Mapping[str, tuple[str, ...]]  # train, val, ... -> image ids
    images: Mapping[str, Path]  # of every id that a split names
    labels: Mapping[str, Bool[np.ndarray, "K"]]  # of the same ids
    masks: Mapping[str, Path]  # palette or grey PNG of mask ids; not every image need have one


def folder_of(source: str) -> Path | None:
    """The folder that ``download.source`` names; None for ``auto``. Else raises UserError."""
    if source == AUTO:
        return None
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"source: expected {AUTO} or a folder, got {source}: no such folder; give its path"
        )
    return folder


def link_collection(root: Path, collection: Collection) -> None:
    """Write the layout of ``data/layout.py`` at ``root``: links to the files, and small tables.

    Links to files below the folder that holds ``root`` are relative, so that it may be moved.
    """
    for folder, files in ((IMAGES, collection.images), (MASKS, collection.masks)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for image_id, file in files.items():
            _link(root / folder / f"{image_id}{file.suffix}", file, home=root.parent)
    for split, ids in collection.splits.items():
        write_text(root / SPLITS / f"{split}.txt", "".join(f"{i}\n" for i in ids))
    labels = np.array(list(collection.labels.values()), dtype=int)
    table = pd.DataFrame(labels, index=list(collection.labels), columns=list(collection.classes))
    write_text(root / LABELS, table.to_csv(index_label="id"))
    write_text(root / CLASSES, "".join(f"{name}\n" for name in collection.classes))


def _link(link: Path, file: Path, *, home: Path) -> None:
    file, home = file.resolve(), home.resolve()
    inside = file.is_relative_to(home)
    link.symlink_to(os.path.relpath(file, link.parent.resolve()) if inside else file)
