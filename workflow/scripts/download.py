"""Bring the data set into a folder in PASCAL VOC's layout, check it, and list checksums."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.catalogue.datasets import Made, Sources, fill
from recam.checks.report import write_report
from recam.checks.rules import check_data
from recam.core.errors import UserError
from recam.io.atomic import beside
from recam.steps.data_set import settle
from recam.steps.own_folder import warnings_of_source
from recam.steps.paths import Out
from recam.steps.sections.download import OF_MADE, OF_REAL, Download

REPORT = "report in words, then CSVs of classes, co-occurrence and faults"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this step."""

    data: Annotated[Path, Out("folder that receives the data set")]
    check: Annotated[list[Path], Out(REPORT, count=4)]


def main(paths: Paths, numbers: Download) -> None:
    """Fill a folder beside the data's place, check all of it, then put each part there."""
    of_made = {name: getattr(numbers, name) for name in OF_MADE}
    made = None if None in of_made.values() else Made(**of_made)
    data = paths.data
    new, rejected = beside(data), data / "rejected"
    for folder in (new, rejected):
        shutil.rmtree(folder, ignore_errors=True)
    originals = data / "originals" / numbers.dataset
    of_real = {name: getattr(numbers, name) for name in OF_REAL}
    fill(new, numbers.dataset, Sources(originals=originals, **of_real), made)
    report = check_data(new, more=warnings_of_source(numbers))
    folder = rejected if report.errors else paths.check[0].parent
    write_report(report, folder)
    for line in report.warning_lines():
        logger.warning("warning: %s", line)
    logger.info("%s %s/report.md has the details", report.verdict(), folder)
    if report.errors:
        words = f"{report.errors[0]}; fix or remove it; {rejected}/report.md lists all faults"
        raise UserError(words)
    settle(new, data)


if __name__ == "__main__":
    run(main)
