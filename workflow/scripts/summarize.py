"""Gather all replicates and methods: a table of results, CSVs for plots, and a picture."""

import argparse
import json
import logging

from _library import run

from recam.io.images import write_text
from recam.report.examples import draw_first, material_of
from recam.report.summary import (
    Run,
    gathered_curves,
    gathered_metrics,
    gathered_table,
    miou_lines,
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
    replicates = len({run.random_seed for run in runs})
    write_text(args.table, results_table(metrics, replicates=replicates))
    material = material_of(runs, data=args.data, truth=args.truth)
    draw_first(args.picture, material, examples=args.examples)
    for line in miou_lines(metrics):
        logger.info(line)


if __name__ == "__main__":
    run(
        main,
        description=__doc__,
        paths={
            "data": "data set in VOC layout",
            "truth": "folder of ground truth masks, of all, some or no images",
            "runs": "several: metrics.json of every replicate and method, in its folder",
            "metrics": "out: JSON of the mean and standard deviation over replicates",
            "table": "out: Markdown table of mIoU",
            "plots": "out: four CSVs: tables of all runs by their names, and training curves",
            "picture": "out: PNG of images, maps and masks",
        },
        section="summarize",
    )
