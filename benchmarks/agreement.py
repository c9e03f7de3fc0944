"""Agreement of bf16 with fp32 on the networks of finished runs.

`python benchmarks/agreement.py RUNS` takes the checkpoints in RUNS (a folder with data/ and
results/seed*/METHOD/) and makes cams and masks of the first images of the training split in both
precisions. Maps are cut at Yen's background score of each precision.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml
from run import print_row

from recam.catalogue.methods import load_classifier
from recam.catalogue.segmenters import load_segmenter
from recam.core.labels import seed_mask
from recam.core.metrics import confusion_matrix, miou
from recam.data.layout import MASKS, WeakSplit, load_weak_split
from recam.io.images import read_mask
from recam.io.resumable import ResumableFolder
from recam.io.scores import load_scores
from recam.models.backbones import backbone_of
from recam.pipeline.cams import write_cams
from recam.pipeline.pseudo_masks import score_histogram, yen_threshold
from recam.pipeline.segmentation import masks_of_images
from recam.runtime.precision import BITS

COLUMNS = (
    *("maps", "largest difference", "mean difference", "same pixels, %"),
    *("mIoU fp32, %", "mIoU bf16, %", "CPU s fp32", "CPU s bf16"),
)
BY_BITS = ("fp32", "bf16")

Masks = list[np.ndarray]


def main() -> None:
    """Print a row for the cams and one for the masks of every run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    params = yaml.safe_load((args.runs / "params.yaml").read_text(encoding="utf-8"))
    whole = load_weak_split(args.runs / "data", params["evaluate"]["maps_split"])
    first = slice(args.images)
    split = replace(
        whole, ids=whole.ids[first], images=whole.images[first], labels=whole.labels[first]
    )
    truth = [read_mask(args.runs / "data" / MASKS / f"{i}.png") for i in split.ids]
    print_row(COLUMNS)
    print_row(["---"] * len(COLUMNS))
    for run in sorted(args.runs.glob("results/seed*/*/")):
        if (run / "classifier.pt").is_file():
            print_row([f"{run.name}, cams", *of_cams(run, split, truth, params["make_cams"])])
        if (run / "segmenter.pt").is_file():
            print_row([f"{run.name}, masks", *of_masks(run, split, truth, params["evaluate"])])


def of_cams(run: Path, split: WeakSplit, truth: Masks, numbers: dict[str, Any]) -> list[str]:
    """Differences of the scores, then those of the masks at Yen's background score."""
    masks, scores, seconds = list[Masks](), list[np.ndarray](), list[float]()
    for bits in BY_BITS:
        model, _ = load_classifier(run / "classifier.pt")
        start = time.process_time()
        with TemporaryDirectory() as folder:
            made = ResumableFolder(Path(folder) / "cams", key="")
            write_cams(
                model.readout(combine=numbers["combine"]),
                backbone_of(model),
                split,
                made,
                scales=tuple(numbers["scales"]),
                batch_size=numbers["batch_size"],
                precision=BITS[bits],
            )
            made.finish()
            seconds.append(time.process_time() - start)
            files = [Path(folder) / "cams" / f"{i}.npz" for i in split.ids]
            threshold = yen_threshold(score_histogram(files))
            loaded = [load_scores(file) for file in files]
        masks.append([seed_mask(f.scores, f.classes, threshold=threshold) for f in loaded])
        scores.append(np.concatenate([f.scores.astype(np.float32).ravel() for f in loaded]))
    differences = np.abs(scores[0] - scores[1])
    found = [f"{differences.max():.3f}", f"{differences.mean():.4f}"]
    return found + compared(masks, truth, seconds, num_ids=len(split.classes) + 1)


def of_masks(run: Path, split: WeakSplit, truth: Masks, numbers: dict[str, Any]) -> list[str]:
    """The masks that the segmenter predicts."""
    masks, seconds = list[Masks](), list[float]()
    for bits in BY_BITS:
        model, _ = load_segmenter(run / "segmenter.pt")
        start = time.process_time()
        found = masks_of_images(
            model,
            list(split.images),
            scales=tuple(numbers["scales"]),
            batch_size=numbers["batch_size"],
            precision=BITS[bits],
        )
        masks.append([mask for _, mask in sorted(found, key=lambda pair: pair[0])])
        seconds.append(time.process_time() - start)
    return ["", "", *compared(masks, truth, seconds, num_ids=len(split.classes) + 1)]


def compared(masks: list[Masks], truth: Masks, seconds: list[float], *, num_ids: int) -> list[str]:
    """Equal pixels, mIoU of each precision, seconds of each precision."""
    single, short = masks
    same = np.mean([float((a == b).mean()) for a, b in zip(single, short, strict=True)])
    scores = [
        miou(
            sum_of(
                confusion_matrix(t, m, num_ids=num_ids) for t, m in zip(truth, found, strict=True)
            )
        )
        for found in masks
    ]
    shown = [f"{100 * same:.2f}", *(f"{100 * score:.2f}" for score in scores)]
    return shown + [f"{each:.1f}" for each in seconds]


def sum_of(confusions: Any) -> np.ndarray:
    """The confusion of all images."""
    return np.sum(list(confusions), axis=0)


if __name__ == "__main__":
    main()
