"""The state of the user's folders as one hash: names, sizes, times, and the content of tables."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from stat import S_ISREG

TABLES = (".csv", ".txt")  # small files, compared by content


def state_of(folders: Iterable[str]) -> str:
    """A hash of all files of the folders, by path; "" without a folder.

    Images and masks count by size and time: one call of the system a file, since every start of
    Snakemake asks for it. Links to folders are not followed.
    """
    folders = list(folders)
    looks: list[tuple[str, bytes | tuple[int, int]]] = []
    for folder in folders:
        for inside, _, names in os.walk(Path(folder)):
            prefix = str(Path(inside, "_"))[:-1]
            looks += [(prefix + name, look) for name in names if (look := _look(prefix, name))]
    looks.sort(key=lambda look: _parts(look[0]))
    return hashlib.sha256(repr(looks).encode()).hexdigest() if folders else ""


def _parts(path: str) -> list[str]:
    """The parts of a path, by which Path compares; one of the root is itself."""
    first, *others = path.split(os.sep)  # noqa: PTH206 that of Path takes longer
    return [first or os.sep, *others]


def _look(prefix: str, name: str) -> bytes | tuple[int, int] | None:
    """The content of a table, the size and time of another file, None of a link to nowhere."""
    try:
        status = os.stat(prefix + name)  # noqa: PTH116 a Path would take longer than the call
    except OSError:
        return None
    if not S_ISREG(status.st_mode):
        return None
    if name.endswith(TABLES) and PurePath(name).suffix:
        return Path(prefix, name).read_bytes()
    return status.st_size, status.st_mtime_ns
