"""Warnings about a user's folder that the data set made from it cannot show any more."""

from collections.abc import Iterator
from pathlib import Path

from recam.checks.inventory import header_record
from recam.checks.report import Fault
from recam.checks.rules import conversion_warnings
from recam.core.errors import UserError
from recam.datasets.copies import UNLIMITED, needs_copy
from recam.datasets.folder import list_folder
from recam.datasets.unused import unused_files
from recam.io.opening import opened
from recam.steps.sections.download import Download


def warnings_of_source(numbers: Download) -> list[Fault]:
    """Warnings about the user's folder; none about another data set."""
    if numbers.dataset != "folder":
        return []
    return warnings_of_folder(
        numbers.source, longest_side=numbers.longest_side, saliency=numbers.saliency
    )


def warnings_of_folder(
    source: str, *, longest_side: int | None, saliency: str | None = None
) -> list[Fault]:
    """Warnings about files that are not used, and about images that were converted to copies.

    Raises UserError as ``list_folder`` does.
    """
    found, root = list_folder(source), Path(source).expanduser()
    maps = [Path(saliency).expanduser()] if saliency else []
    unused = unused_files(root, found, also_used=maps)
    faults = [Fault.warning(entry.file, entry.reason, entry.detail) for entry in unused]
    for image in found.images.values():
        faults += _of_copy(root, image, longest_side=longest_side or UNLIMITED)
    return faults


def _of_copy(root: Path, path: Path, *, longest_side: int) -> Iterator[Fault]:
    """Warnings about an image that is copied; the check of the data finds those of the others."""
    try:
        with opened(path) as image:
            if needs_copy(image, longest_side=longest_side):
                record = header_record(path.relative_to(root).as_posix(), image)
                yield from conversion_warnings(record)
    except UserError:  # the check of the data names the file
        return
