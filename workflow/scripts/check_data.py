"""Report the errors, warnings and statistics of a data set, as Markdown and CSV."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from _library import run

from recam.catalogue.datasets import Sources, fill
from recam.checks.report import Fault, write_report
from recam.checks.rules import check_data
from recam.core.errors import UserError
from recam.data.layout import CHECKSUMS, CLASSES, SPLITS
from recam.steps.own_folder import warnings_of_folder
from recam.steps.params import check
from recam.steps.paths import In, Optional, Out
from recam.steps.preflight import errors_of, facts_of_layout, warnings_of
from recam.steps.yaml_files import read_params


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this command."""

    data: Annotated[Path, In("data set in VOC layout, or a folder of your images with labels.csv")]
    params: Annotated[Path | None, Optional("params.yaml of an experiment to run on the data")]
    report: Annotated[Path, Out("folder for the report and CSVs")]


def main(paths: Paths) -> None:
    """Check the data set, write the report and print it; fail if there are errors."""
    with TemporaryDirectory() as temporary:
        data = _in_layout(paths.data, Path(temporary))
        report = check_data(data, more=_of_folder(paths.data))
        of_params = [] if report.errors or not paths.params else _findings(data, paths.params)
    write_report(report, paths.report)
    print("\n".join([report.markdown(), *of_params]))  # noqa: T201 the output of this command
    if report.errors:
        raise UserError(
            f"{report.errors[0]}; fix or remove it; {paths.report}/report.md lists all faults"
        )


def _findings(data: Path, params: Path) -> list[str]:
    """Errors and warnings about the experiment of ``params`` on these data, as Markdown."""
    file = read_params(params)
    numbers, facts = check(file.values, [file]), facts_of_layout(data)
    found = [f"- error, which stops a run: {sentence}" for sentence in errors_of(numbers, facts)]
    found = found or [f"- {sentence}" for sentence in warnings_of(numbers, facts)]
    return [f"## With the numbers of {params}\n", *(found or ["No errors, no warnings."])]


def _in_layout(data: Path, temporary: Path) -> Path:
    """The data set itself, or links to a user's folder, as the download step makes them."""
    if (data / CLASSES).is_file() and (data / SPLITS).is_dir():
        return data
    sources = Sources(source=str(data), originals=temporary / "originals")
    fill(temporary / "data", "folder", sources, None)
    return temporary / "data"


def _of_folder(data: Path) -> list[Fault]:
    """Warnings about the files of a user's folder; none about the folder of the download step."""
    is_downloaded = (data / CHECKSUMS).is_file()
    try:
        return [] if is_downloaded else warnings_of_folder(str(data), longest_side=None)
    except UserError:  # a data set with faults: the report of its content lists them
        return []


if __name__ == "__main__":
    run(main)
