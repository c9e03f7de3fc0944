"""Report the errors, warnings and statistics of a data set, as Markdown and CSV."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.checks.report import write_report
from recam.steps.data_check import check_folder, raise_errors
from recam.steps.paths import In, Optional, Out


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this command."""

    data: Annotated[Path, In("data set in VOC layout, or a folder of your images with labels.csv")]
    params: Annotated[Path | None, Optional("params.yaml of an experiment to run on the data")]
    report: Annotated[Path, Out("folder for the report and CSVs")]


def main(paths: Paths) -> None:
    """Check the data set, write the report and print it; fail if there are errors."""
    report, text = check_folder(paths.data, params=paths.params)
    write_report(report, paths.report)
    print(text)  # noqa: T201 the output of this command
    raise_errors(report, more=f"; {paths.report}/report.md lists all faults")


if __name__ == "__main__":
    run(main)
