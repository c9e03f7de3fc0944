"""Signs of failure that need no ground truth: shares of pixels, images and classes, in percent.

Pseudo masks are compared with the labels, with the predictions of the segmenter that they trained,
and with the pseudo masks of CAM. ``recam.report.signs`` has the limits of each sign.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from recam.core.labels import BACKGROUND, IGNORE, labels_of_mask, mask_id
from recam.core.metrics import LEVELS, Confusion, iou_per_class
from recam.data.layout import WeakSplit
from recam.io.images import check_mask, read_mask
from recam.io.records import write_record
from recam.pipeline.evaluation import GroundTruth, score_masks
from recam.pipeline.pseudo_masks import score_histogram, yen_threshold
from recam.runtime.progress import progress

PERCENT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSigns:
    """The signs of one run. A sign without a value, for lack of masks or labels, is left out."""

    values: dict[str, float] = field(default_factory=dict[str, float])  # by sign, in percent
    classes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])  # names, by sign

    def write(self, path: Path) -> None:
        """Write both dictionaries as JSON."""
        write_record(path, asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoMasks:
    """The pseudo masks of a run, and the images on which others are compared with them."""

    folder: Path | None  # None for the upper bound
    cams: Path | None = None  # folder of the maps that they were made of
    of_cam: Path | None = None  # CAM's, where there are others beside them
    compared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskCounts:
    """Pixels and classes of the masks of a split."""

    pixels: Int64[np.ndarray, "256"]  # of each id, over all masks
    shown: Bool[np.ndarray, "N K"]  # classes with a pixel in each mask


def signs_of_run(
    predictions: Path, pseudo: PseudoMasks, *, maps_split: WeakSplit, seg_split: WeakSplit
) -> RunSigns:
    """The signs of the predictions for ``seg_split`` and of the pseudo masks of ``maps_split``.

    Raises UserError for a missing or unreadable mask and for masks of different sizes.
    """
    found = RunSigns()
    _add_predictions(found, count_masks(predictions, seg_split), seg_split)
    if not pseudo.folder:
        return found
    _add_pseudo(found, count_masks(pseudo.folder, maps_split), maps_split)
    own = GroundTruth(ids=pseudo.compared, masks=pseudo.folder, classes=maps_split.classes)
    confusion, _ = score_masks(predictions, own)
    _add(found, "agreement", foreground_miou(confusion))
    _add(found, "predicted_of_pseudo", _predicted_of_pseudo(confusion))
    if pseudo.cams:
        maps = score_histogram(pseudo.cams / f"{image_id}.npz" for image_id in pseudo.compared)
        _add(found, "pseudo_of_yen", _of_yen(confusion[mask_id(0) :].sum(), maps))
    if pseudo.of_cam:
        _add(found, "cam_agreement", foreground_miou(score_masks(pseudo.of_cam, own)[0]))
    return found


def evenly_spaced(ids: tuple[str, ...], count: int) -> tuple[str, ...]:
    """At most ``count`` ids at equal distances, since neighbours in a sorted list are alike."""
    if count >= len(ids):
        return ids
    return tuple(ids[number * len(ids) // count] for number in range(count))


def count_masks(folder: Path, split: WeakSplit) -> MaskCounts:
    """Count the masks of a split. Raises UserError for an unreadable mask and an id beyond K."""
    num_classes = len(split.classes)
    pixels = np.zeros(IGNORE + 1, np.int64)
    shown = np.zeros((len(split.ids), num_classes), dtype=bool)
    numbered = progress(
        list(enumerate(split.ids)),
        total=len(split.ids),
        what=f"signs of {folder.name}",
        unit="mask",
    )
    for number, image_id in numbered:
        path = folder / f"{image_id}.png"
        mask = read_mask(path)
        check_mask(path, mask, size=mask.shape, num_ids=num_classes + 1)
        pixels += np.bincount(mask.ravel(), minlength=len(pixels))
        shown[number] = labels_of_mask(mask, num_classes=num_classes)
    return MaskCounts(pixels=pixels, shown=shown)


def foreground_miou(confusion: Confusion) -> float:
    """Mean IoU, 0 to 1, of the classes in either mask; NaN without any.

    Background is left out: it would lift the agreement of empty masks.
    """
    ious = iou_per_class(confusion)[mask_id(0) :]
    return float(np.nanmean(ious)) if np.isfinite(ious).any() else float("nan")


def _add_predictions(found: RunSigns, counts: MaskCounts, split: WeakSplit) -> None:
    _add(found, "predicted_foreground", _foreground(counts.pixels[:IGNORE]))
    _add_absent(found, "unpredicted_classes", counts, split)


def _add_pseudo(found: RunSigns, counts: MaskCounts, split: WeakSplit) -> None:
    _add(found, "pseudo_foreground", _foreground(counts.pixels[:IGNORE]))
    _add(found, "ignored", _share(counts.pixels[IGNORE], counts.pixels.sum()))
    labelled = split.labels.any(axis=1)
    empty = labelled & ~counts.shown.any(axis=1)
    _add(found, "empty_images", _share(empty.sum(), labelled.sum()))
    missing = split.labels & ~counts.shown
    _add(found, "missing_labels", _share(missing.sum(), split.labels.sum()))
    _add_absent(found, "unseen_classes", counts, split)


def _add_absent(found: RunSigns, sign: str, counts: MaskCounts, split: WeakSplit) -> None:
    """The share of the split's labelled classes that are in no mask, and their names."""
    labelled = split.labels.any(axis=0)
    absent = labelled & ~counts.shown.any(axis=0)
    _add(found, sign, _share(absent.sum(), labelled.sum()))
    found.classes[sign] = [split.classes[index] for index in np.flatnonzero(absent)]


def _predicted_of_pseudo(confusion: Confusion) -> float:
    """Predicted foreground over the foreground of the pseudo masks, on the same pixels."""
    return _share(confusion[:, mask_id(0) :].sum(), confusion[mask_id(0) :].sum())


def _of_yen(foreground: np.integer, maps: Int64[np.ndarray, "levels"]) -> float:
    """Foreground pixels over those of the maps above Yen's threshold, found in their histogram."""
    if not maps.any():
        return float("nan")
    level = round(LEVELS * yen_threshold(maps))
    return _share(foreground, maps[level + 1 :].sum())


def _foreground(pixels: Int64[np.ndarray, "ids"]) -> float:
    return _share(pixels.sum() - pixels[BACKGROUND], pixels.sum())


def _share(part: np.integer, of: np.integer) -> float:
    return float(part / of) if of else float("nan")


def _add(found: RunSigns, sign: str, share: float) -> None:
    if np.isfinite(share):
        found.values[sign] = round(PERCENT * share, 4)
