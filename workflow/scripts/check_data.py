"""Report the errors, warnings and statistics of a data set, as Markdown and CSV."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from _library import run

from recam.catalogue.datasets import Sources, fill
from recam.checks.report import write_report
from recam.checks.rules import check_data
from recam.core.errors import UserError
from recam.data.layout import CLASSES, SPLITS
from recam.steps.paths import In, Out


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this command."""

    data: Annotated[Path, In("data set in VOC layout, or a folder of your images with labels.csv")]
    report: Annotated[Path, Out("folder for the report and CSVs")]


def main(paths: Paths) -> None:
    """Check the data set, write the report and print it; fail if there are errors."""
    with TemporaryDirectory() as temporary:
        report = check_data(_in_layout(paths.data, Path(temporary)))
    write_report(report, paths.report)
    print(report.markdown())  # noqa: T201 the output of this command
    if report.errors:
        raise UserError(
            f"{report.errors[0]}; fix or remove it; {paths.report}/report.md lists all faults"
        )


def _in_layout(data: Path, temporary: Path) -> Path:
    """The data set itself, or links to a user's folder, as the download step makes them."""
    if (data / CLASSES).is_file() and (data / SPLITS).is_dir():
        return data
    sources = Sources(source=str(data), originals=temporary / "originals")
    fill(temporary / "data", "folder", sources, None)
    return temporary / "data"


if __name__ == "__main__":
    run(main)
