"""`street`: Clothing Co-Parsing (Yang, Luo & Lin, CVPR 2014), photographs of people in the street.

photos/0001.jpg                  every photograph
annotations/pixel-level/*.mat    ``groundtruth`` (H, W): a label number for each pixel
annotations/image-level/*.mat    ``tags`` (n, 1) or (1, n): the label numbers of the photograph
label_list.mat                   ``label_list`` (1, 59): the names of the label numbers 0 to 58

A photograph has either a mask or tags. ``GARMENTS`` merges 30 of the 59 labels into ten classes;
the others are background. Splits of photographs with at least one class:

- val, val_small: the last 301 masked ones; 150 of these, evenly spread
- train, train_masked: all others but ``Published.twins``; those with a mask
- train_small: 400 masked and 200 tagged ones of train, evenly spread
- train_small_masked: the masked ones of train_small
- tune, tune_masked, tune_val: 200 masked and 100 tagged ones of train for tuning; those with a
  mask; the other masked ones; none of the three has one of train_small
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from recam.core.errors import UserError
from recam.core.labels import labels_of_mask
from recam.datasets.collection import Collection, folder_of
from recam.datasets.copies import Files, fitting
from recam.datasets.fetch import Archive, unpacked
from recam.datasets.garments import (
    CLASSES,
    COMMIT,
    REMEDY,
    REPOSITORY,
    read_tags,
    read_truth,
    require_label_list,
)
from recam.io.images import write_mask
from recam.runtime.progress import progress

# Archives of commits are made on request, without a published checksum.
ARCHIVE = Archive(url=f"https://github.com/bearpaw/{REPOSITORY}/archive/{COMMIT}.zip", md5=None)

PHOTOS, LABEL_LIST = "photos", "label_list.mat"
PIXEL_LEVEL, IMAGE_LEVEL = "annotations/pixel-level", "annotations/image-level"
Labels = dict[str, Bool[np.ndarray, "K"]]
Splits = dict[str, tuple[str, ...]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Numbers of photographs: those published, and those of our splits."""

    masked: int = 1004
    tagged: int = 1094
    val: int = 301  # the last masked ones
    val_small: int = 150
    small: tuple[int, int] = (400, 200)  # masked and tagged ones of train_small
    tune: tuple[int, int] = (200, 100)  # masked and tagged ones of tune
    # Left out of train: near-duplicates of photographs of val, then of others of train.
    twins: tuple[str, ...] = (
        *("0078", "0183", "0594", "0692", "1694"),
        *("0671", "1074", "1083", "1341", "1707", "1715", "1790", "1913"),
    )


PUBLISHED = Published()


def collect(
    source: str,
    *,
    originals: Path,
    longest_side: int | None = None,
    archive: Archive = ARCHIVE,
    published: Published = PUBLISHED,
) -> Collection:
    """Find or download the data set, and convert its masks to palette PNGs.

    ``source`` is "auto" or a folder: the data set, used in place, or the place of its archive.
    Downloads, masks and copies of photographs longer than ``longest_side`` pixels go to
    ``originals``. Raises UserError for missing, damaged or contradictory files before any is
    written.
    """
    root = _root(folder_of(source), originals, archive)
    require_label_list(root / LABEL_LIST)
    photos, truths, tags = _files(root, published)
    labels = _labels(photos, truths, tags)
    splits = make_splits(
        [i for i in truths if labels[i].any()],
        [i for i in tags if labels[i].any()],
        held_out=list(truths)[len(truths) - published.val :],
        published=published,
    )
    used = list(dict.fromkeys(chain.from_iterable(splits.values())))
    masks = {i: originals / "masks" / f"{i}.png" for i in used if i in truths}
    for image_id in _shown(masks, "convert masks"):
        write_mask(masks[image_id], read_truth(truths[image_id], photos[image_id]))
    images, masks = fitting(
        {i: photos[i] for i in used}, masks, target=originals, longest_side=longest_side
    )
    return Collection(
        classes=CLASSES,
        splits=splits,
        images=images,
        labels={i: labels[i] for i in used},
        masks=masks,
    )


def make_splits(
    masked: Sequence[str], tagged: Sequence[str], *, held_out: Sequence[str], published: Published
) -> Splits:
    """The splits of labelled photographs, masked and tagged, as the module describes them.

    ``held_out`` are the photographs that may be in val and in nothing else.
    """
    val = [i for i in masked if i in held_out]
    masked = [i for i in masked if i not in held_out and i not in published.twins]
    tagged = [i for i in tagged if i not in published.twins]
    small, small_tagged = map(_spread, (masked, tagged), published.small)
    rest = [i for i in masked if i not in small]
    tune, tune_tagged = map(
        _spread, (rest, [i for i in tagged if i not in small_tagged]), published.tune
    )
    splits = {
        "train": [*masked, *tagged],
        "train_masked": masked,
        "train_small": [*small, *small_tagged],
        "train_small_masked": small,
        "tune": [*tune, *tune_tagged],
        "tune_masked": tune,
        "tune_val": [i for i in rest if i not in tune],
        "val": val,
        "val_small": _spread(val, published.val_small),
    }
    return {name: tuple(ids) for name, ids in splits.items()}


def _root(given: Path | None, originals: Path, archive: Archive) -> Path:
    """The folder with the layout: the given one, or the unpacked archive."""
    if given is not None and not (given / archive.name).is_file():
        return given
    root = unpacked(archive, given=given, folder=originals) / f"{REPOSITORY}-{COMMIT}"
    if not root.is_dir():
        got = ", ".join(sorted(path.name for path in root.parent.iterdir())[:3])
        raise UserError(
            f"{root.parent}: expected the archive's folder {root.name}, got {got}, which is "
            f"another commit; remove it and use {archive.name}"
        )
    return root


def _files(root: Path, published: Published) -> tuple[Files, Files, Files]:
    """Photographs, masks and tags by ascending id. Raises UserError if they do not agree."""
    photos = _by_id(root / PHOTOS, "jpg")
    truths, tags = _by_id(root / PIXEL_LEVEL, "mat"), _by_id(root / IMAGE_LEVEL, "mat")
    for image_id in photos:
        if (image_id in truths) + (image_id in tags) != 1:
            got = "both" if image_id in tags else "neither"
            raise UserError(
                f"{photos[image_id]}: expected an annotation in either {PIXEL_LEVEL} or "
                f"{IMAGE_LEVEL}, got {got}; {REMEDY}"
            )
    for image_id, file in chain(truths.items(), tags.items()):
        if image_id not in photos:
            raise UserError(
                f"{file}: expected the photograph {root / PHOTOS / image_id}.jpg, got none; "
                f"{REMEDY}"
            )
    for folder, found, expected in (
        (PIXEL_LEVEL, truths, published.masked),
        (IMAGE_LEVEL, tags, published.tagged),
    ):
        if len(found) != expected:
            raise UserError(
                f"{root / folder}: expected {expected} .mat files, got {len(found)}; {REMEDY}"
            )
    return photos, truths, tags


def _labels(photos: Files, truths: Files, tags: Files) -> Labels:
    """Labels of masked and tagged photographs, and a message about those without a class."""
    labels = {image_id: read_tags(file) for image_id, file in tags.items()}
    for image_id in _shown(truths, "read masks"):
        mask = read_truth(truths[image_id], photos[image_id])
        labels[image_id] = labels_of_mask(mask, num_classes=len(CLASSES))
    if bare := sorted(image_id for image_id, found in labels.items() if not found.any()):
        logger.info(
            "%d photographs show no garment class and are left out: %s", len(bare), ", ".join(bare)
        )
    return labels


def _by_id(folder: Path, suffix: str) -> Files:
    if not folder.is_dir():
        raise UserError(
            f"{folder}: not found; set download.source to the folder with {PHOTOS}, annotations "
            f"and {LABEL_LIST}, or to auto"
        )
    return {file.stem: file for file in sorted(folder.glob(f"[!.]*.{suffix}"))}


def _shown(files: Files, what: str) -> Iterator[str]:
    return progress(list(files), total=len(files), what=what, unit="image")


def _spread(ids: Sequence[str], count: int) -> list[str]:
    """``count`` of the ids, or all if they are fewer, evenly spread."""
    count = min(count, len(ids))
    return [ids[number * len(ids) // count] for number in range(count)]
