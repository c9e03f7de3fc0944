"""Whether there is something for a segmenter to learn, and whether it learns it.

A night of training on empty masks, or of a network that calls everything background, ends with a
number that means nothing. Both are noticed early, and told with their cause.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, mask_id
from recam.data.layout import MASKS, WeakSplit
from recam.io.images import check_mask, image_size, read_mask
from recam.models.segmenters import Segmenter
from recam.runtime.progress import progress

PERCENT = 100.0
ALMOST_EMPTY = 0.001  # share of foreground in masks that little can be learned from
COLLAPSED = 0.01  # of the foreground in the masks: a network that finds less finds nothing
WARM_UP = 500  # steps in which a network may call everything background, at least
LONG_WARM_UP = 0.05  # of all steps, in a long run; in a short one half of them are enough


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
            f"{_remedy(folder)}"
        )
    return seen


def odd_about(split: WeakSplit, folder: Path, seen: MasksSeen) -> list[str]:
    """A sentence for masks that are almost empty, and for each class that is in none of them."""
    few = (
        f"{folder}: only {PERCENT * seen.foreground:.3f} % of the pixels to learn from show a "
        f"class; {_remedy(folder)}"
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


class Watch:
    """Stops a training run whose network calls everything background. Raises UserError then."""

    def __init__(self, model: Segmenter, folder: Path):
        self.model = model
        self.folder = folder
        self.last: int | None = None  # at which step it was called before

    def __call__(self, step: int, steps: int) -> None:
        """Look at what was found since the last call, after so many steps of so many.

        What was found before the first call, or before the network had warmed up, is not judged.
        """
        true, found = self.model.foreground.shares()
        since, self.last = self.last, step
        warm_up = min(max(WARM_UP, int(LONG_WARM_UP * steps)), steps // 2)
        if since is None or since < warm_up or found >= COLLAPSED * true:
            return
        raise UserError(
            f"after {step} of {steps} steps the segmenter calls {PERCENT * found:.2f} % of the "
            f"pixels something else than background, its masks {PERCENT * true:.2f} %: either its "
            "learning rate is too high, so lower lr_head, lr_head_bias and lr; or its masks are of "
            f"no use, so look at some and {_remedy(self.folder)}"
        )


def _remedy(folder: Path) -> str:
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
