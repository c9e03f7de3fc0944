"""Checks of a data set against the numbers of an experiment, before anything is trained.

Each function returns sentences, none if there is nothing to report.
"""

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from recam.data.layout import MASKS, SPLITS, WeakSplit
from recam.io.images import image_size

# Cells of the feature grid on the longer side of an image, at the smallest scale. Photographs of
# 208 px at scale 0.5 and stride 16 have 7, and lost 17 mIoU of their pseudo masks against larger
# scales. The made data sets are small by design: 128 px at scale 1 are 8 cells, which give no
# warning, since their hyperparameters were tuned at that size.
FEWEST_CELLS, GOOD_CELLS = 8, 12
SHARE = 0.05  # fraction of small images that is tolerated: a few among photographs do no harm
ENLARGED = 2  # factor between an image and the training crop
SCALE_STEP = 0.25  # of a suggested scale
MAX_SCALE = 2.0  # beyond it, enlarging an image adds cells and no detail

logger = logging.getLogger(__name__)


def grid_warnings(
    longer: Collection[int], *, key: str, scales: tuple[float, ...], stride: int
) -> list[str]:
    """A warning if more than SHARE of the images have fewer than FEWEST_CELLS cells.

    ``longer`` are the longer sides in pixels, ``key`` is the parameter of ``scales``, ``stride``
    that of the feature grid in pixels.
    """
    smallest = min(scales)
    cells = [math.ceil(pixels * smallest / stride) for pixels in longer]
    small = sum(count < FEWEST_CELLS for count in cells)
    if small <= SHARE * len(cells):
        return []
    middle = median(longer)
    scale = math.ceil(GOOD_CELLS * stride / middle / SCALE_STEP) * SCALE_STEP
    raised = f"raise the smallest scale to {scale:g}, or " if scale <= MAX_SCALE else ""
    return [
        f"{key}: {small:,} of {len(cells):,} images (median of the longer side {middle:g} px) have "
        f"fewer than {FEWEST_CELLS} cells of {stride} px on it at scale {smallest:g}, and about "
        f"{GOOD_CELLS} are better; {raised}use larger images"
    ]


def crop_warnings(longer: Collection[int], *, key: str, crop: int) -> list[str]:
    """A warning if more than SHARE of the images are less than half as long as the crop.

    Training enlarges them; maps and predictions are made at their own size.
    """
    small = sum(ENLARGED * pixels < crop for pixels in longer)
    if small <= SHARE * len(longer):
        return []
    return [
        f"{key}: {small:,} of {len(longer):,} images are less than half as long as the training "
        f"crop of {crop} px (median {median(longer):g} px); lower resize_min, resize_max and crop, "
        "or use larger images"
    ]


def split_errors(chosen: Mapping[str, str], splits: Collection[str]) -> list[str]:
    """An error for each parameter of ``chosen`` (key -> split) with an unknown split."""
    return [
        f"{key}: expected a split of the data set ({', '.join(splits)}), got {name}; choose one of "
        f"them, or list the images of {name} in {SPLITS}/{name}.txt"
        for key, name in chosen.items()
        if name not in splits
    ]


def supervision_errors(name: str, ids: Sequence[str], with_mask: Collection[str]) -> list[str]:
    """An error if images of the split ``name``, on which `supervised` trains, have no mask."""
    bare = [image_id for image_id in ids if image_id not in with_mask]
    if not bare:
        return []
    return [
        f"methods: supervised needs ground truth of each of the {len(ids):,} images of "
        f"train_seg.split ({name}), {len(bare):,} have none (first: {bare[0]}); add their masks to "
        f"{MASKS}, or remove supervised from methods"
    ]


def pseudo_mask_errors(
    name: str, ids: Sequence[str], mapped: tuple[str, Collection[str]]
) -> list[str]:
    """An error if images of train_seg.split ``name`` get no pseudo masks.

    ``mapped`` is make_cams.split and its ids.
    """
    bare = set(ids).difference(mapped[1])
    if not bare:
        return []
    return [
        f"train_seg.split: {len(bare):,} of the {len(ids):,} images of {name} are not in "
        f"make_cams.split ({mapped[0]}) and get no pseudo masks; set make_cams.split to {name}"
    ]


def scoring_notes(key: str, name: str, ids: Iterable[str], with_mask: Collection[str]) -> list[str]:
    """A note if no image of the split ``name``, chosen by the parameter ``key``, can be scored."""
    if any(image_id in with_mask for image_id in ids):
        return []
    return [
        f"{key}: no image of {name} has ground truth, so its masks are made and not scored; add "
        f"masks of some images to {MASKS} to score them"
    ]


def log_small_images(split: WeakSplit, *, key: str, scales: tuple[float, ...], stride: int) -> None:
    """Log the warnings of ``grid_warnings`` for a split. Raises UserError as ``image_size``."""
    longer = longer_sides(split.images)
    for sentence in grid_warnings(longer, key=key, scales=scales, stride=stride):
        logger.warning("warning: %s", sentence)


def longer_sides(images: Iterable[Path]) -> list[int]:
    """The longer sides of images in pixels, read from their headers."""
    return [max(image_size(path)) for path in images]
