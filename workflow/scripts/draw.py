"""Draw the report's figures (maps and masks of images, curves, errors) and its first page."""

import argparse
import logging

from _library import run

from recam.report.figures import Folders, draw_figures
from recam.report.first_page import write_first_page
from recam.report.summary import Run

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    """Draw the results so far, of a finished or an unfinished run."""
    runs = [Run(folder=path.parent) for path in args.runs]
    folders = Folders(*args.figures)
    count = draw_figures(runs, folders, data=args.data, truth=args.truth, examples=args.examples)
    write_first_page(args.answer, runs, picture=args.picture)
    logger.info("%d figures", count)


if __name__ == "__main__":
    run(
        main,
        description=__doc__,
        paths={
            "data": "data set in VOC layout",
            "truth": "folder of ground truth masks, of all, some or no images",
            "runs": "several: metrics.json of every replicate and method, in its folder",
            "picture": "optional: PNG of images, maps and masks, for the first page",
            "answer": "out: the report's first page, HTML",
            "figures": "out: five folders: maps, pseudo masks, segmentation, curves, errors",
        },
        section="draw",
    )
