"""``recam report``: the results of an experiment as one HTML page."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recam.report.page.experiment import Experiment

DESCRIPTION = """\
Write the results of an experiment as one HTML page that needs no other file and
no network: the answer, an explorer of masks, figures, cost and provenance.

An unfinished run gives a page, too: it says what is missing."""
EXAMPLE = "recam report --experiment ~/recam --out ~/recam.html"
REPORT = Path("results/report.html")  # in the experiment's folder

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder of the experiment and the file to write."""
    parser.add_argument(
        "--experiment",
        type=_experiment_folder,
        default=".",
        metavar="FOLDER",
        help="folder with params.yaml and results (default: this one)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"page to write (default: {REPORT} in the experiment)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page, and draw the figures that are missing or outdated."""
    logger.info("%s", write_report(args.experiment, args.out or args.experiment / REPORT))
    return 0


def write_report(folder: Path, out: Path) -> str:
    """Write the page of the experiment in ``folder``, and return a sentence on it.

    Raises UserError if no run has started, or for wrong parameters.
    """
    from recam.report.page.page import write_page  # noqa: PLC0415 imports matplotlib

    write_page(experiment_in(folder), out)
    return f"{out}: {out.stat().st_size / 1e6:.1f} MB. Open it in a browser, or mail it."


def experiment_in(folder: Path) -> "Experiment":
    """The experiment of a folder. Raises UserError for wrong parameters."""
    from recam.report.page.experiment import Experiment  # noqa: PLC0415 imports matplotlib
    from recam.steps.params import check  # noqa: PLC0415
    from recam.steps.yaml_files import read_params  # noqa: PLC0415

    file = read_params(folder / "params.yaml")
    numbers = check(file.values, [file])
    return Experiment(
        folder=folder,
        params=file.values,
        random_seeds=numbers.random_seeds,
        methods=numbers.methods,
        examples=numbers.draw.examples,
        dataset=numbers.download.dataset,
    )


def _experiment_folder(text: str) -> Path:
    folder = Path(text)
    if not (folder / "params.yaml").is_file():
        raise argparse.ArgumentTypeError(
            f"expected the folder of an experiment, with params.yaml, got {text}"
        )
    return folder
