"""Score cams and pseudo masks on the training split and the segmenter on the validation split."""

import argparse
import json

import _step
import numpy as np
import pandas as pd
import torch

from recam.artifacts import ResumableFolder, load_checkpoint
from recam.build.backbones import backbone_of
from recam.build.devices import make_device
from recam.build.segmenters import make_segmenter
from recam.data.layout import WeakSplit, load_weak_split, require_classes
from recam.evaluation import (
    Truth,
    confusion_table,
    curve_table,
    mask_metrics,
    per_class_table,
    score_maps,
    score_masks,
)
from recam.files import write_manifest, write_mask, write_text
from recam.inference import maps_of_images
from recam.progress import progress


def main(args: argparse.Namespace) -> None:
    """Predict masks, then compare everything with the truth and write what was found."""
    maps_split = load_weak_split(args.data, args.maps_split)
    seg_split = load_weak_split(args.data, args.seg_split)
    _predict(args, maps_split, seg_split)
    truth = Truth(ids=maps_split.ids, masks=args.truth, classes=maps_split.classes)
    metrics, confusions, curves = {}, {}, []
    given = {
        "cams": (args.cams, args.cams_threshold),
        "pseudo": (args.scores, args.pseudo_threshold),
    }
    for stage, (folder, threshold) in given.items():
        if folder:  # the upper bound has no maps
            scores = score_maps(folder, truth, threshold=threshold)
            metrics[stage] = {"split": args.maps_split, **scores.metrics(threshold=threshold)}
            confusions[stage] = scores.confusion
            curves.append(curve_table(scores.curve, stage=stage))
    truth = Truth(ids=seg_split.ids, masks=args.truth, classes=seg_split.classes)
    confusions["seg"] = score_masks(args.predictions, truth)
    metrics["seg"] = {"split": args.seg_split, **mask_metrics(confusions["seg"])}
    write_text(args.metrics, json.dumps(metrics, indent=2) + "\n")
    per_class, thresholds, confusion = args.plots
    for path, table in ((per_class, per_class_table), (confusion, confusion_table)):
        tables = [table(c, seg_split.classes, stage=stage) for stage, c in confusions.items()]
        write_text(path, pd.concat(tables).to_csv(index=False))
    empty = curve_table(np.empty(0), stage="")
    write_text(thresholds, pd.concat(curves or [empty]).to_csv(index=False))


def _predict(args: argparse.Namespace, maps_split: WeakSplit, seg_split: WeakSplit) -> None:
    """Masks of the validation split, and of some training images for the picture."""
    tensors, blueprint = load_checkpoint(args.checkpoint)
    require_classes(blueprint.classes, seg_split.classes, source=args.checkpoint)
    device = make_device(args.device, threads=args.threads)
    model = make_segmenter(blueprint)
    model.load_state_dict(tensors)
    model.to(device).to(memory_format=torch.channels_last).eval()
    paths = dict(zip(seg_split.ids, seg_split.images, strict=True))
    shown = slice(args.examples)  # of the training images, for the picture
    paths |= dict(zip(maps_split.ids[shown], maps_split.images[shown], strict=True))
    folder = ResumableFolder(
        args.predictions, key=_step.fingerprint(args, args.data, args.checkpoint)
    )
    left = [image_id for image_id in paths if not folder.has(f"{image_id}.png")]
    all_maps = maps_of_images(
        model.maps,
        [paths[image_id] for image_id in left],
        scales=tuple(args.scales),
        batch_size=args.batch_size,
        mean=backbone_of(model).mean,
        std=backbone_of(model).std,
        device=device,
    )
    for position, maps in progress(all_maps, total=len(left), what="masks", unit="image"):
        mask = maps.argmax(dim=0).to(torch.uint8).cpu().numpy()
        write_mask(folder.partial / f"{left[position]}.png", mask)
    folder.finish()
    write_manifest(args.manifest, [args.predictions])


if __name__ == "__main__":
    _step.run(
        main,
        description=__doc__,
        paths={
            "data": "data set in VOC layout",
            "truth": "folder of true masks",
            "checkpoint": "trained segmenter",
            "cams": "optional: folder of cams",
            "scores": "optional: folder of refined score maps",
            "predictions": "out: folder of predicted masks, palette PNG",
            "manifest": "out: checksums of the predictions",
            "metrics": "out: JSON of mIoU and shares of errors, in percent",
            "plots": "out: three CSVs: IoU by class, mIoU by background score, confusion",
        },
        section="evaluate",
        common=(
            "device",
            "threads",
        ),
    )
