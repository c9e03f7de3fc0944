"""Gather all replicates and methods: a table of results, CSVs for plots, and a picture."""

import argparse
import json
import logging
from pathlib import Path

import _step
import numpy as np

from recam.artifacts import load_scores
from recam.data.layout import WeakSplit, load_weak_split
from recam.files import read_image, read_mask, write_text
from recam.labels import top_class
from recam.plots import Picture, PictureRow, class_colours, draw_picture, shown_maps, shown_mask
from recam.summary import (
    METHODS,
    Run,
    gathered_curves,
    gathered_metrics,
    gathered_table,
    results_table,
)

LIGHT_GREY = 235
Cells = dict[str, Picture | None]  # by column title; None where there is nothing to show

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
    rows = [_cells(args.truth, split, i, first) for i in range(min(args.examples, len(split.ids)))]
    caption = f"first images of {split.name}, random seed {runs[0].random_seed}; nothing is picked"
    draw_picture(args.picture, _filled(rows), split.classes, caption=caption)
    for method, values in metrics["cams"].items():
        if "miou" in values:
            logger.info("mIoU of %s's cams: %.1f", METHODS[method], values["miou"])


def _cells(truth: Path, split: WeakSplit, index: int, runs: list[Run]) -> Cells:
    image_id, image = split.ids[index], read_image(split.images[index])
    colours = class_colours(len(split.classes))

    def of_mask(file: Path) -> Picture | None:
        return shown_mask(image, read_mask(file), colours) if file.is_file() else None

    def of_cams(file: Path) -> Picture | None:
        if not file.is_file():
            return None
        cams = load_scores(file)
        ids, scores = top_class(cams.scores, cams.classes)
        return shown_maps(image, ids, np.clip(scores, 0, 1), colours)

    cells: Cells = {"image": image, "truth": of_mask(truth / f"{image_id}.png")}
    for run in runs:
        cells[f"{METHODS[run.method]} map"] = of_cams(run.folder / "cams" / f"{image_id}.npz")
    for folder, title in (("pseudo", "pseudo mask"), ("predictions", "segmentation")):
        for run in runs:
            mask = of_mask(run.folder / folder / f"{image_id}.png")
            cells[f"{METHODS[run.method]}\n{title}"] = mask
    return cells


def _filled(rows: list[Cells]) -> list[PictureRow]:
    """A column that is empty throughout is left out; any other empty cell is light grey."""
    present = [{title: c for title, c in cells.items() if c is not None} for cells in rows]
    titles = [title for title in rows[0] if any(title in cells for cells in present)]
    greys = [np.full_like(cells["image"], LIGHT_GREY) for cells in present]
    return [
        PictureRow(cells={title: cells.get(title, grey) for title in titles})
        for cells, grey in zip(present, greys, strict=True)
    ]


if __name__ == "__main__":
    _step.run(
        main,
        description=__doc__,
        paths={
            "data": "data set in VOC layout",
            "truth": "folder of true masks, of all, some or no images",
            "runs": "several: metrics.json of every replicate and method, in its folder",
            "metrics": "out: JSON of the mean and standard deviation over replicates",
            "table": "out: Markdown table of mIoU",
            "plots": "out: four CSVs: tables of all runs by their names, and curves of training",
            "picture": "out: PNG of images, maps and masks",
        },
        section="summarize",
    )
