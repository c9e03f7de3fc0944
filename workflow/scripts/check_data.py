"""Say in words and CSV what a data set holds, and what is wrong or odd about it."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from _library import run

from recam.catalogue.datasets import Sources, fill
from recam.checks.report import write_report
from recam.checks.rules import check_data
from recam.core.errors import UserError
from recam.data.layout import CLASSES, SPLITS


def main(args: argparse.Namespace) -> None:
    """Look at everything, write the report and print it; fail where training would."""
    with TemporaryDirectory() as temporary:
        report = check_data(_in_layout(args.data, Path(temporary)))
    write_report(report, args.report)
    print(report.words())  # noqa: T201 what was asked for
    if report.wrong:
        raise UserError(f"{args.data} cannot be used as it is; {args.report} has all faults")


def _in_layout(data: Path, temporary: Path) -> Path:
    """The data set itself, or links to a folder of one's own, as the download step makes them."""
    if (data / CLASSES).is_file() and (data / SPLITS).is_dir():
        return data
    sources = Sources(source=str(data), originals=temporary / "originals")
    fill(temporary / "data", "folder", sources, None)
    return temporary / "data"


if __name__ == "__main__":
    run(
        main,
        description=__doc__,
        paths={
            "data": "data set in VOC layout, or a folder of your own images with labels.csv",
            "report": "out: folder for the report and CSVs",
        },
    )
