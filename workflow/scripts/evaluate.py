"""Score cams and pseudo masks on the training split and the segmenter on the validation split."""

import argparse
import json
import logging
from functools import partial
from pathlib import Path

from _library import run

from recam.catalogue.segmenters import load_segmenter
from recam.core.errors import UserError
from recam.data.layout import WeakSplit, load_weak_split, require_classes
from recam.io.atomic import write_manifest, write_text
from recam.io.images import write_mask
from recam.io.resumable import ResumableFolder
from recam.models.folding import folded
from recam.pipeline.evaluation import (
    Truth,
    confusion_table,
    counts_table,
    curve_table,
    mask_metrics,
    per_class_table,
    score_maps,
    score_masks,
)
from recam.pipeline.segmentation import masks_of_images
from recam.report.style import STAGES
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first, is_first_after_all, shard
from recam.runtime.precision import make_precision
from recam.runtime.progress import progress
from recam.runtime.threads import writing_behind
from recam.steps import command
from recam.steps.crf import crf_of
from recam.steps.launch import shared

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    """Predict masks, then compare everything with the truth and write what was found."""
    maps_split = load_weak_split(args.data, args.maps_split)
    seg_split = load_weak_split(args.data, args.seg_split)
    given = {
        "cams": (args.cams, args.cams_threshold),
        "pseudo": (args.scores, _threshold(args.cut)),
    }
    given = {stage: (folder, t) for stage, (folder, t) in given.items() if folder}
    for folder, _ in given.values():
        _require_maps(folder, maps_split)
    _predict(args, maps_split, seg_split)
    if not is_first():
        return
    metrics, confusions, curves, counts = {}, {}, {}, {}
    splits = {split.name: split for split in (maps_split, seg_split)}
    truths = {name: _truth(args.truth, split) for name, split in splits.items()}
    if given:  # the upper bound has no maps
        truth, scored = truths[args.maps_split]
        for stage, (folder, threshold) in given.items():
            scores = score_maps(folder, truth, threshold=threshold)
            metrics[stage] = scored | scores.metrics(threshold=threshold)
            confusions[stage], curves[stage] = scores.confusion, scores.curve
            counts[stage] = scores.counts
    truth, scored = truths[args.seg_split]
    confusions["seg"], counts["seg"] = score_masks(args.predictions, truth)
    metrics["seg"] = scored | mask_metrics(confusions["seg"])
    write_text(args.metrics, json.dumps(metrics, indent=2) + "\n")
    tables = (
        per_class_table(confusions, seg_split.classes),
        curve_table(curves),
        confusion_table(confusions, seg_split.classes),
    )
    for path, table in zip(args.plots, tables, strict=True):
        write_text(path, table.to_csv(index=False))
    write_text(args.counts, counts_table(counts).to_csv(index=False))
    found = [f"{STAGES[s]} {m['miou']:.1f}" for s, m in metrics.items() if "miou" in m]
    logger.info("mIoU, %%: %s", ", ".join(found) or "no true masks to tell it by")


def _threshold(cut: Path | None) -> float:
    """At which score make_pseudo cut its masks; the upper bound has none."""
    if not cut:
        return 0.0
    if not cut.is_file():
        raise UserError(f"{cut}: not found; run make_pseudo, which makes it")
    return json.loads(cut.read_text(encoding="utf-8"))["threshold"]


def _require_maps(folder: Path, split: WeakSplit) -> None:
    missing = [image_id for image_id in split.ids if not (folder / f"{image_id}.npz").is_file()]
    if missing:
        raise UserError(
            f"{folder}: has no maps for {len(missing)} of the {len(split.ids)} images of split "
            f"{split.name} (first: {missing[0]}); make evaluate.maps_split and make_cams.split "
            "the same"
        )


def _truth(masks: Path, split: WeakSplit) -> tuple[Truth, dict[str, str | int]]:
    """The true masks of a split, and for how many of its images there are some."""
    truth = Truth(ids=split.ids, masks=masks, classes=split.classes)
    images, of = len(truth.scored_ids()), len(split.ids)
    if not images:
        logger.info("no true masks for split %s: nothing to score", split.name)
    elif images < of:
        words = "scored on %d of %d images of %s, the others have no true mask"
        logger.info(words, images, of, split.name)
    return truth, {"split": split.name, "images": images, "of": of}


def _predict(args: argparse.Namespace, maps_split: WeakSplit, seg_split: WeakSplit) -> None:
    """Masks of the validation split, and of some training images for the picture."""
    model, model_config = load_segmenter(args.checkpoint)
    require_classes(model_config.classes, seg_split.classes, source=args.checkpoint)
    device = make_device(args.device, threads=args.threads)
    paths = dict(zip(seg_split.ids, seg_split.images, strict=True))
    shown = slice(args.examples)  # of the training images, for the picture
    paths |= dict(zip(maps_split.ids[shown], maps_split.images[shown], strict=True))
    folder = ResumableFolder(
        args.predictions, key=command.fingerprint(args, args.data, args.checkpoint)
    )
    left = [image_id for image_id in shard(list(paths)) if not folder.has(f"{image_id}.png")]
    model = folded(model.to(device), lambda network, images: network.logits(images))
    masks = masks_of_images(
        model,
        [paths[image_id] for image_id in left],
        scales=tuple(args.scales),
        batch_size=args.batch_size,
        crf=crf_of(args) if args.crf else None,
        precision=make_precision(args.precision, device),
    )
    with writing_behind() as write:
        for position, mask in progress(masks, total=len(left), what="masks", unit="image"):
            path = folder.partial / f"{left[position]}.png"
            write(partial(write_mask, path, mask, num_classes=len(seg_split.classes)))
    if is_first_after_all():
        folder.finish()
        write_manifest(args.manifest, [args.predictions])


if __name__ == "__main__":
    run(
        shared(main),
        description=__doc__,
        paths={
            "data": "data set in VOC layout",
            "truth": "folder of true masks, of all, some or no images",
            "checkpoint": "trained segmenter",
            "cams": "optional: folder of cams",
            "scores": "optional: folder of refined score maps",
            "cut": "optional: JSON of the score at which make_pseudo cut them",
            "predictions": "out: folder of predicted masks, palette PNG",
            "manifest": "out: checksums of the predictions",
            "metrics": "out: JSON of mIoU and shares of errors, in percent",
            "plots": "out: three CSVs: IoU by class, mIoU by background score, confusion",
            "counts": "out: CSV of every image's confusion, from which the errors are drawn",
        },
        section="evaluate",
        common=("device", "devices", "precision", "threads"),
    )
