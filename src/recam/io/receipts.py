"""The receipt of a step: the checksum of each of its outputs, as the step wrote it.

Contents are compared with it, whatever the times of files say. A folder with a list of checksums,
such as cams and cams.sha256, stands in the receipt by that list.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from recam.io.atomic import read_manifest, sha256, write_text


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
    Raises UserError for a damaged list of checksums.
    """
    outputs = list(outputs)
    if not receipt.is_file():
        return sorted(outputs)
    written = _listed(receipt, beside=Path())
    lists = [path for path in written if path.suffix == ".sha256" and path.is_file()]
    for path in lists:
        written |= _listed(path, beside=path.parent)
    present = {file for path in outputs for file in _files_of(path)}
    inside = tuple(f"{output}{os.sep}" for output in outputs)
    mine = {path for path in written if path in outputs or str(path).startswith(inside)}
    differing = {path for path in mine & present if sha256(path) != written[path]}
    return sorted(differing | (mine ^ present))


def _listed(file: Path, *, beside: Path) -> dict[Path, str]:
    """A list of checksums whose names are relative to the folder ``beside``."""
    return {beside / name: checksum for name, checksum in read_manifest(file).items()}


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
