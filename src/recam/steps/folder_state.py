"""The state of the user's folders as one hash: names, sizes, times, and the content of tables."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from stat import S_ISREG

TABLES = (".csv", ".txt")  # small files, compared by content
LOWEST = "\0"  # a character that is in no name


def state_of(folders: Iterable[str]) -> str:
    """A hash of all files of the folders, by path; "" without a folder.

    Images and masks count by size and time: one call of the system a file, since every start of
    Snakemake asks for it. Links to folders are not followed.
    """
    paths: list[str] = []
    for folder in (folders := list(folders)):
        for inside, _, names in os.walk(Path(folder)):
            prefix = str(Path(inside, "_"))[:-1]
            paths += [prefix + name for name in names]
    paths.sort(key=_in_order_of_parts)
    looks = ((path, look) for path in paths if (look := _look(path)) is not None)
    digest = hashlib.sha256(b"[")  # of the list of all looks, which need not be in memory
    for number, look in enumerate(looks):
        digest.update(f"{', ' * (number > 0)}{look!r}".encode())
    digest.update(b"]")
    return digest.hexdigest() if folders else ""


def _in_order_of_parts(path: str) -> str:
    """A key that sorts as Path does, by parts, of which the root is one."""
    return f"{os.sep * path.startswith(os.sep)}{path.replace(os.sep, LOWEST)}"


def _look(path: str) -> bytes | tuple[int, int] | None:
    """The content of a table, the size and time of another file, None of a link to nowhere."""
    try:
        status = os.stat(path)  # noqa: PTH116 a Path would take longer than the call
    except OSError:
        return None
    if not S_ISREG(status.st_mode):
        return None
    if path.endswith(TABLES) and PurePath(path).suffix:
        return Path(path).read_bytes()
    return status.st_size, status.st_mtime_ns
