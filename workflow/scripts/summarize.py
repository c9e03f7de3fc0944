"""Gather all replicates and methods: a table of results, CSVs for plots, and a picture."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.io.atomic import write_text
from recam.report import summary
from recam.report.details import write_results
from recam.report.examples import draw_overview, material_of
from recam.report.trust import readings_of, trust_json, trust_text, verdict_words
from recam.steps.paths import In, Out
from recam.steps.sections.pictures import Summarize

PLOTS = "tables of all runs by their names, and training curves"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this step."""

    data: Annotated[Path, In("data set in VOC layout")]
    truth: Annotated[Path, In("folder of ground-truth masks, of all, some or no images")]
    runs: Annotated[list[Path], In("metrics.json of every replicate and method", several=True)]
    metrics: Annotated[Path, Out("JSON of the numbers to compare: means over replicates")]
    details: Annotated[Path, Out("CSV of every number, mean and standard deviation")]
    table: Annotated[Path, Out("Markdown table of mIoU, and of signs without ground truth")]
    trust: Annotated[Path, Out("JSON of the signs")]
    plots: Annotated[list[Path], Out(PLOTS, count=4)]
    picture: Annotated[Path, Out("PNG of images, maps and masks")]


def main(paths: Paths, numbers: Summarize) -> None:
    """Write the metrics, the table, the CSVs and the picture."""
    runs = [summary.Run(folder=path.parent) for path in paths.runs]
    metrics = summary.gathered_metrics(runs)
    replicates = len({run.random_seed for run in runs})
    write_results(metrics, replicates=replicates, chosen=paths.metrics, every=paths.details)
    for path in paths.plots:
        is_curves = path.stem == "curves"
        table = (
            summary.gathered_curves(runs) if is_curves else summary.gathered_table(runs, path.name)
        )
        write_text(path, table.to_csv(index=False))
    readings = readings_of(runs)
    table = summary.results_table(metrics, replicates=replicates)
    write_text(paths.table, f"{table}\n{trust_text(readings)}")
    write_text(paths.trust, trust_json(readings))
    material = material_of(runs, data=paths.data, truth=paths.truth)
    draw_overview(paths.picture, material, examples=numbers.examples)
    for line in [*summary.miou_lines(metrics), *verdict_words(readings)]:
        logger.info(line)


if __name__ == "__main__":
    run(main)
