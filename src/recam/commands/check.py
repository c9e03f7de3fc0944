"""``recam check``: the faults of a data set."""

import argparse
from pathlib import Path

from recam.core.errors import UserError
from recam.interface.files import existing_file
from recam.runtime.loading import loading

DESCRIPTION = """\
List the errors, warnings and statistics of a data set: a folder of images with
labels.csv, or PASCAL VOC's layout. Nothing in the folder changes. The exit code
is 1 if there are errors."""
EXAMPLE = "recam check my_photos --params params.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder, and what the check may read and write besides."""
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="folder of the data set")
    add(
        "--params",
        type=Path,
        metavar="FILE",
        help="params.yaml of an experiment to run on the data",
    )
    add("--report", type=Path, metavar="DIR", help="folder for the report as Markdown and CSV")


def run(args: argparse.Namespace) -> int:
    """Print the report; the paths are checked before anything slow is imported."""
    if not args.data.is_dir():
        raise UserError(f"{args.data}: expected the folder of a data set; check the path")
    if args.params:
        existing_file(args.params)
    with loading():
        from recam.checks.report import write_report  # noqa: PLC0415 imports pandas
        from recam.steps.data_check import check_folder, raise_errors  # noqa: PLC0415
    report, text = check_folder(args.data, params=args.params)
    if args.report:
        write_report(report, args.report)
    print(text)  # noqa: T201 the output of this command
    raise_errors(report)
    return 0
