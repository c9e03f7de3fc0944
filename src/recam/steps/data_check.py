"""The check of a data set by a person: its faults, and those of an experiment on it."""

from pathlib import Path
from tempfile import TemporaryDirectory

from recam.catalogue.datasets import Sources, fill
from recam.checks.report import Fault, Report
from recam.checks.rules import check_data
from recam.core.errors import UserError
from recam.data.layout import CHECKSUMS, CLASSES, SPLITS
from recam.steps.own_folder import warnings_of_folder
from recam.steps.params import check
from recam.steps.preflight import errors_of, facts_of_layout, warnings_of
from recam.steps.yaml_files import read_params


def check_folder(data: Path, *, params: Path | None) -> tuple[Report, str]:
    """The report on ``data``, in VOC layout or a user's folder, and all of it as Markdown.

    ``params`` is the params.yaml of an experiment to compare data without errors with.
    """
    with TemporaryDirectory() as temporary:
        layout = _in_layout(data, Path(temporary))
        report = check_data(layout, more=_of_folder(data))
        findings = [] if report.errors or not params else _findings(layout, params)
    return report, "\n".join([report.markdown(), *findings])


def raise_errors(report: Report, *, more: str = "") -> None:
    """Raise UserError with the first error of a report, if there is one; ``more`` ends it."""
    if report.errors:
        raise UserError(f"{report.errors[0]}; fix or remove it{more}")


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
