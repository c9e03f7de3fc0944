"""Checks of training masks, before a segmenter trains on them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, mask_id
from recam.data.layout import MASKS, WeakSplit
from recam.io.images import check_mask, image_size, read_mask
from recam.runtime.progress import progress

PERCENT = 100.0
ALMOST_EMPTY = 0.001  # share of foreground in masks that little can be learned from


@dataclass(frozen=True, slots=True, kw_only=True)
class MasksSeen:
    """What the masks of a split hold."""

    foreground: float  # share of the pixels to learn from, 0 to 1
    ignored: float  # share of all pixels
    shown: Bool[np.ndarray, "K"]  # classes with at least one pixel


def look_at_masks(split: WeakSplit, folder: Path) -> MasksSeen:
    """Read every mask of a split once.

    Raises UserError for a missing or broken mask, one that does not fit its image or its classes,
    and masks with nothing in them to learn.
    """
    _require_masks(folder, split)
    num_ids = len(split.classes) + 1
    pixels = np.zeros(IGNORE + 1, np.int64)
    files = [folder / f"{image_id}.png" for image_id in split.ids]
    pairs = list(zip(files, split.images, strict=True))
    for file, image in progress(pairs, total=len(pairs), what="looking at masks", unit="mask"):
        mask = read_mask(file)
        check_mask(file, mask, size=image_size(image), num_ids=num_ids)
        pixels += np.bincount(mask.ravel(), minlength=len(pixels))
    judged = pixels[:num_ids].sum()
    seen = MasksSeen(
        foreground=float(1 - pixels[BACKGROUND] / judged) if judged else 0.0,
        ignored=float(pixels[IGNORE] / pixels.sum()),
        shown=pixels[mask_id(0) : num_ids] > 0,
    )
    if not seen.foreground:
        raise UserError(
            f"{folder}: no pixel shows a class, and {PERCENT * seen.ignored:.1f} % are ignored; "
            f"{remedy_for(folder)}"
        )
    return seen


def odd_about(split: WeakSplit, folder: Path, seen: MasksSeen) -> list[str]:
    """A sentence for masks that are almost empty, and for each class that is in none of them."""
    few = (
        f"{folder}: only {PERCENT * seen.foreground:.3f} % of the pixels to learn from show a "
        f"class; {remedy_for(folder)}"
    )
    return [few] * (seen.foreground < ALMOST_EMPTY) + never_shown(split, seen)


def never_shown(split: WeakSplit, seen: MasksSeen) -> list[str]:
    """A sentence for each class that a segmenter trained on these masks cannot know."""
    counts = split.labels.sum(axis=0)
    sentences = []
    for name, shown, images in zip(split.classes, seen.shown, counts, strict=True):
        if not shown:
            sentences.append(
                f"class {name} is in none of the masks of split {split.name} (images labelled with "
                f"it: {images}): the segmenter cannot find it, so where it is shown its IoU is 0"
            )
    return sentences


def remedy_for(folder: Path) -> str:
    """The last words of an error about masks: how to get better ones."""
    return "correct them" if folder.name == MASKS else "lower the background's score of make_pseudo"


def _require_masks(folder: Path, split: WeakSplit) -> None:
    missing = [image_id for image_id in split.ids if not (folder / f"{image_id}.png").is_file()]
    if missing:
        remedy = (
            "add them, or take supervised off methods"
            if folder.name == MASKS
            else "make_cams.split does not cover train_seg.split; make them the same"
        )
        raise UserError(
            f"{folder}: has no mask for {len(missing)} of the {len(split.ids)} images of split "
            f"{split.name} (first: {missing[0]}); {remedy}"
        )
