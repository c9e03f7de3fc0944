"""Draw the report's figures (maps and masks of images, curves, errors) and its first page."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.report.figures import Folders, draw_figures
from recam.report.first_page import write_first_page
from recam.report.summary import Run
from recam.steps.paths import In, Optional, Out
from recam.steps.sections.pictures import Draw

FIGURES = "five folders: maps, pseudo masks, segmentation, curves, errors"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this step."""

    data: Annotated[Path, In("data set in VOC layout")]
    truth: Annotated[Path, In("folder of ground-truth masks, of all, some or no images")]
    runs: Annotated[list[Path], In("metrics.json of every replicate and method", several=True)]
    picture: Annotated[Path | None, Optional("PNG of images, maps and masks")]
    answer: Annotated[Path, Out("the report's first page, HTML")]
    figures: Annotated[list[Path], Out(FIGURES, count=5)]


def main(paths: Paths, numbers: Draw) -> None:
    """Draw the results so far, of a finished or an unfinished run."""
    runs = [Run(folder=path.parent) for path in paths.runs]
    folders = Folders(*paths.figures)
    data, truth = paths.data, paths.truth
    count = draw_figures(runs, folders, data=data, truth=truth, examples=numbers.examples)
    write_first_page(paths.answer, runs, picture=paths.picture)
    logger.info("%d figures", count)


if __name__ == "__main__":
    run(main)
