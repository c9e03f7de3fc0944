"""Gather all replicates and methods: a table of results, CSVs for plots, and a picture."""

import argparse
import json
import logging

import _step
import numpy as np

from recam.artifacts import load_scores
from recam.data.layout import WeakSplit, load_weak_split
from recam.files import read_image, read_mask, write_text
from recam.labels import top_class
from recam.plots import PictureRow, class_colours, draw_picture, shown_maps, shown_mask
from recam.summary import (
    METHODS,
    Run,
    gathered_curves,
    gathered_metrics,
    gathered_table,
    results_table,
)

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    """Write the metrics, the table, the CSVs and the picture."""
    runs = [Run(folder=path.parent) for path in args.runs]
    metrics = gathered_metrics(runs)
    write_text(args.metrics, json.dumps(metrics, indent=2) + "\n")
    for path in args.plots:
        table = gathered_curves(runs) if path.stem == "curves" else gathered_table(runs, path.name)
        write_text(path, table.to_csv(index=False))
    table = results_table(metrics, replicates=len({run.random_seed for run in runs}))
    write_text(args.table, table)
    some = next(iter((metrics["cams"] or metrics["seg"]).values()))
    split = load_weak_split(args.data, str(some["split"]))
    first = [run for run in runs if run.random_seed == runs[0].random_seed]
    rows = [_row(args, split, i, first) for i in range(min(args.examples, len(split.ids)))]
    caption = f"first images of {split.name}, random seed {runs[0].random_seed}; nothing is picked"
    draw_picture(args.picture, rows, split.classes, caption=caption)
    for method, values in metrics["cams"].items():
        logger.info("mIoU of %s's cams: %.1f", METHODS[method], values["miou"])


def _row(args: argparse.Namespace, split: WeakSplit, index: int, runs: list[Run]) -> PictureRow:
    image_id, image = split.ids[index], read_image(split.images[index])
    colours = class_colours(len(split.classes))
    cells = {"image": image}
    cells["truth"] = shown_mask(image, read_mask(args.truth / f"{image_id}.png"), colours)
    for run in runs:
        file = run.folder / "cams" / f"{image_id}.npz"
        if file.is_file():
            cams = load_scores(file)
            ids, scores = top_class(cams.scores, cams.classes)
            cells[f"{METHODS[run.method]} map"] = shown_maps(
                image, ids, np.clip(scores, 0, 1), colours
            )
    for folder, title in (("pseudo", "pseudo mask"), ("predictions", "segmentation")):
        for run in runs:
            file = run.folder / folder / f"{image_id}.png"
            if file.is_file():
                mask = shown_mask(image, read_mask(file), colours)
                cells[f"{METHODS[run.method]}\n{title}"] = mask
    return PictureRow(cells=cells)


if __name__ == "__main__":
    _step.run(
        main,
        description=__doc__,
        paths={
            "data": "data set in VOC layout",
            "truth": "folder of true masks",
            "runs": "several: metrics.json of every replicate and method, in its folder",
            "metrics": "out: JSON of the mean and standard deviation over replicates",
            "table": "out: Markdown table of mIoU",
            "plots": "out: four CSVs: tables of all runs by their names, and curves of training",
            "picture": "out: PNG of images, maps and masks",
        },
        section="summarize",
    )
