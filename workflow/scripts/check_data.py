"""Say in words and CSV what a data set in VOC layout holds, and what is wrong or odd about it."""

import argparse

import _step

from recam.data.checks import check_data
from recam.data.report import write_report
from recam.errors import UserError


def main(args: argparse.Namespace) -> None:
    """Look at everything, write the report and print it; fail where training would."""
    report = check_data(args.data)
    write_report(report, args.report)
    print(report.words())  # noqa: T201 what was asked for
    if report.wrong:
        raise UserError(f"{args.data} cannot be used as it is; {args.report} has all faults")


if __name__ == "__main__":
    _step.run(
        main,
        description=__doc__,
        paths={"data": "data set in VOC layout", "report": "out: folder for the report and CSVs"},
    )
