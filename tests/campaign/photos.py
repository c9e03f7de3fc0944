"""A tidy folder of images with labels, masks and lists, and a naive reading of its data set."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "hen")
WIDTH, HEIGHT = 12, 10  # pixels

Labels = dict[str, frozenset[str]]


@dataclass(kw_only=True)
class Photos:
    """The folder, and the labels and splits that its owner means."""

    folder: Path
    labels: Labels
    splits: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    @property
    def ids(self) -> list[str]:
        """All ids, in the order of the table."""
        return list(self.labels)


def write_photos(folder: Path, random: Random, ids: list[str] | None = None) -> Photos:
    """Write images named by ``ids`` (twelve if left out); every class has some, not all."""
    ids = ids or [f"p{number:02d}" for number in range(12)]
    (folder / "JPEGImages").mkdir(parents=True)
    labels: Labels = {}
    for number, image_id in enumerate(ids):
        Image.fromarray(pixels_of(number)).save(folder / f"JPEGImages/{image_id}.png")
        chosen = [name for name in CLASSES if random.random() < 0.4]
        labels[image_id] = frozenset(chosen)
    for k, name in enumerate(CLASSES):
        labels[ids[k]] = frozenset([name])
    return Photos(folder=folder, labels=labels)


def pixels_of(number: int) -> np.ndarray:
    """The RGB pixels of an image: noise of its own."""
    generator = np.random.default_rng(number)
    return generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def write_masks(photos: Photos) -> None:
    """True masks that show exactly the labels: a row of pixels for each class."""
    (photos.folder / "SegmentationClass").mkdir()
    for image_id in photos.ids:
        Image.fromarray(mask_of(photos, image_id)).save(mask_file(photos, image_id))


def mask_of(photos: Photos, image_id: str) -> np.ndarray:
    """Mask ids: row k shows class k."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for k, name in enumerate(CLASSES):
        if name in photos.labels[image_id]:
            mask[k] = k + 1
    return mask


def mask_file(photos: Photos, image_id: str) -> Path:
    """The usual place of a true mask."""
    return photos.folder / f"SegmentationClass/{image_id}.png"


def write_splits(photos: Photos) -> None:
    """Splits train and val, two thirds and the rest."""
    folder = photos.folder / "ImageSets/Segmentation"
    folder.mkdir(parents=True)
    cut = 2 * len(photos.ids) // 3
    photos.splits = {"train": photos.ids[:cut], "val": photos.ids[cut:]}
    for name, ids in photos.splits.items():
        (folder / f"{name}.txt").write_text("".join(f"{i}\n" for i in ids))


def write_table(photos: Photos) -> None:
    """labels.csv with a column of names."""
    rows = [f"{i},{';'.join(sorted(names))}" for i, names in photos.labels.items()]
    (photos.folder / "labels.csv").write_text("\n".join(["id,labels", *rows]) + "\n")


def read_labels(data: Path) -> tuple[tuple[str, ...], Labels]:
    """Classes and labels of a data set, read without the project's code."""
    with (data / "labels.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    names = header[1:]
    return tuple(names), {
        row[0]: frozenset(n for n, cell in zip(names, row[1:], strict=True) if cell == "1")
        for row in rows
    }


def read_splits(data: Path) -> dict[str, list[str]]:
    """The ids of every split of a data set."""
    files = (data / "ImageSets/Segmentation").glob("*.txt")
    return {file.stem: file.read_text(encoding="utf-8").split("\n")[:-1] for file in files}


def difference(photos: Photos, data: Path) -> str:
    """The first difference between the data set and its owner's labels; empty if none."""
    names, labels = read_labels(data)
    meant = frozenset[str]().union(*photos.labels.values())
    if (data / "classes.txt").read_text(encoding="utf-8").split("\n")[:-1] != list(names):
        return "classes.txt and labels.csv differ"
    if len(set(names)) < len(names) or not meant <= set(names):
        return f"classes are {list(names)}, meant are {sorted(meant)}"
    if apart := [i for i, n in photos.labels.items() if labels.get(i) != n]:
        found = labels.get(apart[0])
        got = "no row" if found is None else sorted(found)
        return f"{apart[0]} has {got}, meant {sorted(photos.labels[apart[0]])}"
    extra = [f"image {i} is not in the table" for i in labels.keys() - photos.labels.keys()]
    extra += [f"class {name!r} is nobody's" for name in set(names) - meant]
    return min(extra, default="")
