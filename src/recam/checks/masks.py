"""Checks of training masks, before a segmenter trains on them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, mask_id
from recam.data.layout import MASKS, WeakSplit
from recam.io.archives import files_in
from recam.io.images import check_mask, image_size, read_mask
from recam.io.origins import OWN_MASKS
from recam.runtime.progress import progress

PERCENT = 100.0
ALMOST_EMPTY = 0.001  # fraction of foreground below which masks teach a segmenter little


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskStatistics:
    """Pixel statistics of the masks of a split."""

    foreground: float  # fraction of the pixels that are not ignored, 0 to 1
    ignored: float  # fraction of all pixels, 0 to 1
    shown: Bool[np.ndarray, "K"]  # classes with at least one pixel


def check_masks(split: WeakSplit, folder: Path) -> MaskStatistics:
    """Read every mask of a split once and count its pixels.

    Raises UserError for a missing or corrupt mask, a mask whose size differs from its image, an id
    beyond the classes, and masks without any foreground.
    """
    _require_masks(folder, split)
    num_ids = len(split.classes) + 1
    pixels = np.zeros(IGNORE + 1, np.int64)
    files = [folder / f"{image_id}.png" for image_id in split.ids]
    pairs = list(zip(files, split.images, strict=True))
    for file, image in progress(pairs, total=len(pairs), what="check masks", unit="mask"):
        mask = read_mask(file)
        check_mask(file, mask, size=image_size(image), num_ids=num_ids)
        pixels += np.bincount(mask.ravel(), minlength=len(pixels))
    judged = pixels[:num_ids].sum()
    seen = MaskStatistics(
        foreground=float(1 - pixels[BACKGROUND] / judged) if judged else 0.0,
        ignored=float(pixels[IGNORE] / pixels.sum()),
        shown=pixels[mask_id(0) : num_ids] > 0,
    )
    if not seen.foreground:
        raise UserError(
            f"{folder}: expected masks with foreground pixels, got none "
            f"({PERCENT * seen.ignored:.1f} % of the pixels are ignored); {remedy_for(folder)}"
        )
    return seen


def mask_warnings(split: WeakSplit, folder: Path, seen: MaskStatistics) -> list[str]:
    """Warnings about nearly empty masks and about classes missing from all of them."""
    few = (
        f"{folder}: only {PERCENT * seen.foreground:.3f} % of the pixels that are not ignored are "
        f"foreground; {remedy_for(folder)}"
    )
    return [few] * (seen.foreground < ALMOST_EMPTY) + absent_class_warnings(split, seen)


def absent_class_warnings(split: WeakSplit, seen: MaskStatistics) -> list[str]:
    """A warning for each class that is missing from all masks."""
    counts = split.labels.sum(axis=0)
    sentences = []
    for name, shown, images in zip(split.classes, seen.shown, counts, strict=True):
        if not shown:
            sentences.append(
                f"class {name} is in no mask of split {split.name} ({images} of its images are "
                f"labelled with it), so the segmenter cannot learn it and its IoU will be 0"
            )
    return sentences


def are_ground_truth(folder: Path) -> bool:
    """Whether these are the masks of the data set, on which the supervised upper bound trains."""
    return folder.name == MASKS


def remedy_for(folder: Path) -> str:
    """The remedy in a message about masks: ground truth, the segmenter's own, or pseudo masks."""
    if are_ground_truth(folder):
        return "correct them"
    if OWN_MASKS in folder.name:
        return "lower train_seg.self_training_confidence, or set train_seg.self_training to none"
    return "lower the background score in make_pseudo"


def _is_broken_link(file: Path) -> bool:
    return file.is_symlink() and not file.exists()


def _require_masks(folder: Path, split: WeakSplit) -> None:
    there = {file.name for file in files_in(folder, ".png") if not _is_broken_link(file)}
    missing = [image_id for image_id in split.ids if f"{image_id}.png" not in there]
    if missing:
        remedy = (
            "add them or remove supervised from methods"
            if are_ground_truth(folder)
            else "set make_cams.split to a split that contains train_seg.split"
        )
        raise UserError(
            f"{folder}: expected a mask for each of the {len(split.ids)} images of split "
            f"{split.name}, {len(missing)} are missing (first: {missing[0]}); {remedy}"
        )
