"""Gather all replicates and methods: a table of results, CSVs for plots, and a picture."""

import argparse
import json
import logging

from _library import run

from recam.data.layout import CLASSES, read_classes
from recam.io.atomic import write_text
from recam.report.examples import Material, draw_first
from recam.report.style import LOOKS, STAGES
from recam.report.summary import (
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
    draw_first(args.picture, _material(args, runs), examples=args.examples)
    for stage, methods in metrics.items():
        found = [f"{LOOKS[m].name} {v['miou']:.1f}" for m, v in methods.items() if "miou" in v]
        if found:
            logger.info("mIoU of %s: %s", STAGES[stage], ", ".join(found))


def _material(args: argparse.Namespace, runs: list[Run]) -> Material:
    return Material(
        data=args.data,
        truth=args.truth,
        classes=read_classes(args.data / CLASSES),
        runs={run.method: run for run in runs if run.random_seed == runs[0].random_seed},
    )


if __name__ == "__main__":
    run(
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
