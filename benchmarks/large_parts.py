"""CPU seconds of the parts of the steps that visit every image, in one process, without its start.

`python benchmarks/large_parts.py 1000 4000` prints the seconds of each number of images, and the
exponent of their growth. No network runs; maps and predictions are made of the ground truth.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from large_photos import CLASSES, SIDE, draw_photos

from recam.catalogue.datasets import Sources, fill
from recam.checks.rules import check_data
from recam.data.coverage import covering_images
from recam.data.layout import load_weak_split
from recam.io.atomic import write_manifest
from recam.io.images import read_mask, write_mask
from recam.io.resumable import ResumableFolder
from recam.io.scores import ScoredClasses, save_scores
from recam.pipeline.held_out import divided
from recam.pipeline.pseudo_masks import (
    Cut,
    alike_batches,
    cut_masks,
    in_threads,
    score_histogram,
)
from recam.pipeline.scoring import maps_of_run, score_run
from recam.pipeline.signs import PseudoMasks, evenly_spaced, signs_of_run
from recam.report.examples import material_of
from recam.report.selection import groups_by_score, mious_of
from recam.report.summary import Run, gathered_table
from recam.runtime.threads import writing_behind
from recam.steps.data_set import settle
from recam.steps.evaluation import write_scores
from recam.steps.folder_state import state_of
from recam.steps.own_folder import warnings_of_folder
from recam.steps.refinement import images_of_cams

DATA, RUN = Path("data"), Path("results/seed0/cam")
MASKS = DATA / "SegmentationClass"
SPLITS = {"maps_split": "train", "seg_split": "val"}
KEY = "benchmark"


def main() -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    numbers = [int(word) for word in sys.argv[1:]]
    columns = [seconds(number) for number in numbers]
    print(f"| part | {' | '.join(f'{n:,}' for n in numbers)} | exponent |")
    print(f"| --- |{' ---: |' * (len(numbers) + 1)}")
    for name in columns[0]:
        row = [column[name] for column in columns]
        slopes = [log(b / a) for a, b in pairwise(row)]
        steps = [log(b / a) for a, b in pairwise(numbers)]
        exponent = f"{slopes[-1] / steps[-1]:.2f}" if slopes else ""
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in row)} | {exponent} |")


def seconds(number: int) -> dict[str, float]:
    """CPU seconds of each part, in a new folder."""
    found: dict[str, float] = {}
    here = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        RUN.mkdir(parents=True)
        draw_photos(Path("photos"), number)
        for name, part in PARTS.items():
            start = time.process_time()
            part()
            found[name] = time.process_time() - start
        os.chdir(here)
    return found


def make_cams() -> None:
    """A file of maps for each image of the split, made of its mask, and the checksums."""
    split = load_weak_split(DATA, "train")
    folder = ResumableFolder(RUN / "cams", key=KEY)
    noise = np.random.default_rng(0).random((1, SIDE, SIDE), np.float32) / 4
    with writing_behind() as write:
        for image_id, labels in zip(split.ids, split.labels, strict=True):
            mask = read_mask(MASKS / f"{image_id}.png")
            maps = ScoredClasses(scores=noise + 0.7 * (mask > 0), classes=np.flatnonzero(labels))
            write(partial(save_scores, folder.partial / f"{image_id}.npz", maps))
    folder.finish_with_manifest(RUN / "cams.sha256")


def make_pseudo() -> None:
    """The masks of all cams, cut without a refiner."""
    images = images_of_cams(RUN / "cams", DATA)
    folders = {name: ResumableFolder(RUN / name, key=KEY) for name in ("scores", "pseudo")}
    cut = Cut(background=0.5, margin=0.05, crf=None)
    work = partial(
        cut_masks,
        scores=folders["scores"].partial,
        masks=folders["pseudo"].partial,
        cut=cut,
        num_classes=len(CLASSES),
        device=torch.device("cpu"),
    )
    for _ in in_threads(work, alike_batches(images, batch_size=16), what="pseudo masks"):
        pass
    for name, folder in folders.items():
        folder.finish_with_manifest(RUN / f"{name}.sha256")
    (RUN / "cut.json").write_text('{"background": 0.5, "threshold": 0.5, "margin": 0.05}')


def evaluate() -> None:
    """All of evaluate but the network: ground truth serves as predictions."""
    splits = {kind: load_weak_split(DATA, name) for kind, name in SPLITS.items()}
    compared = evenly_spaced(splits["maps_split"].ids, 100)
    folder = ResumableFolder(RUN / "predictions", key=KEY)
    for image_id in (*splits["seg_split"].ids, *compared):
        mask = read_mask(MASKS / f"{image_id}.png")
        write_mask(folder.partial / f"{image_id}.png", mask, num_classes=len(CLASSES))
    folder.finish()
    given = (RUN / "cams", RUN / "scores", RUN / "cut.json")
    maps = maps_of_run(*given, None, splits["maps_split"])
    found = score_run(maps, RUN / "predictions", ground_truth=MASKS, **splits)
    tables = [RUN / f"{name}.csv" for name in ("per_class", "thresholds", "confusion")]
    metrics, counts = RUN / "metrics.json", RUN / "counts.csv"
    write_scores(found, CLASSES, metrics, tables=tables, counts=counts)
    pseudo = PseudoMasks(folder=RUN / "pseudo", cams=RUN / "cams", compared=compared)
    signs_of_run(RUN / "predictions", pseudo, **splits).write(RUN / "signs.json")
    write_manifest(RUN / "predictions.sha256", [RUN / "predictions", metrics, *tables, counts])


def choose() -> None:
    """Read the counts of the images, and choose those of the report."""
    runs = [Run(folder=RUN)]
    counts = gathered_table(runs, "counts.csv")
    material = material_of(runs, data=DATA, truth=MASKS, counts=counts)
    material.covering(material.common_ids(), count=6)
    for stage in ("cams", "pseudo", "seg"):
        groups_by_score(mious_of(counts, stage), material.labels, count=6)


def splits() -> None:
    """Load a split, hold images out, choose images to show."""
    split = load_weak_split(DATA, "train")
    divided(split, 0.1)
    covering_images(split.ids, split.labels, count=6)


NEW = Path(".data.new")
SOURCES = Sources(source="photos", originals=Path("originals"))
PARTS: dict[str, Callable[[], object]] = {
    "start of Snakemake: state of the folder": lambda: state_of(["photos"]),
    "download: list, link": lambda: fill(NEW, "folder", SOURCES, None),
    "download: check all images and masks": lambda: check_data(NEW),
    "download: warnings about the folder": lambda: warnings_of_folder("photos", longest_side=None),
    "download: settle, checksums": lambda: settle(NEW, DATA),
    "splits, held-out images, images to show": splits,
    "make_cams: files and checksums": make_cams,
    "make_pseudo: histogram of the maps": lambda: score_histogram((RUN / "cams").glob("*.npz")),
    "make_pseudo: scores, masks and checksums": make_pseudo,
    "evaluate: scores, tables and signs": evaluate,
    "draw: counts, choice of images": choose,
}


if __name__ == "__main__":
    main()
