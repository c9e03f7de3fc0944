"""The receipt of a step: the checksum of each of its outputs, as the step wrote it.

Contents are compared with it, whatever the times of files say. A folder with a list of checksums,
such as cams and cams.sha256, stands in the receipt by that list.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from recam.core.errors import UserError
from recam.io.atomic import sha256, write_text


def write_receipt(receipt: Path, outputs: Iterable[Path], known: dict[Path, str]) -> None:
    """Write one line ``checksum  path`` for every file of a step's outputs, hidden files aside.

    ``known`` has checksums of further files as they were when the step started.
    """
    files = {file for path in outputs for file in _standing_for(path)}
    lines = {file: sha256(file) for file in files} | known
    write_text(receipt, "".join(f"{lines[file]}  {file.as_posix()}\n" for file in sorted(lines)))


def altered(receipt: Path, outputs: Iterable[Path]) -> list[Path]:
    """Files that are not as the step wrote them: changed, missing or foreign, sorted.

    Contents are compared, not times. All ``outputs`` are altered if there is no receipt.
    """
    outputs = list(outputs)
    if not receipt.is_file():
        return sorted(outputs)
    written = read_checksums(receipt, beside=Path())
    lists = [path for path in written if path.suffix == ".sha256" and path.is_file()]
    for path in lists:
        written |= read_checksums(path, beside=path.parent)
    present = {file for path in outputs for file in _files_of(path)}
    mine = {path for path in written if any(path.is_relative_to(output) for output in outputs)}
    differing = {path for path in mine & present if sha256(path) != written[path]}
    return sorted(differing | (mine ^ present))


def read_checksums(file: Path, *, beside: Path) -> dict[Path, str]:
    """A list of checksums in ``sha256sum`` format: path -> checksum.

    Its names are relative to the folder ``beside``. Raises UserError for another format.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        lines = ["?"]
    split = [line.split("  ", 1) for line in lines]
    if any(len(parts) != 2 or len(parts[0]) != 64 for parts in split):
        raise UserError(
            f"{file}: expected lines of a checksum and a file name, got other content; delete it"
            " and run the step that makes it"
        )
    return {beside / name: checksum for checksum, name in split}


def _standing_for(path: Path) -> Iterator[Path]:
    """The files whose checksums tell the content of an output."""
    inside = sorted(path.glob("[!.]*.sha256"))  # the folder of a data set has several
    if path.with_name(f"{path.name}.sha256").is_file():
        yield path.with_name(f"{path.name}.sha256")
    elif inside:
        yield from inside
    else:
        yield from _files_of(path)


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for folder, _, names in os.walk(path):
            yield from (Path(folder, name) for name in names if not name.startswith("."))
    elif path.is_file():
        yield path
