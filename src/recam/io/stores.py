"""Writing of a folder's files: each alone, or in parts until ``recam.io.packing`` makes archives.

A process appends its files to a part of its own in the unfinished folder, so a split of any size
needs a few files at any time, whatever the order of the images and however the work is shared. A
file that a killed process did not finish is left out, and made anew.
"""

import os
import secrets
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from recam.io.archives import MARK, RECORD, SIGNATURE
from recam.io.atomic import replacing
from recam.io.origins import PART

_LOCK = threading.Lock()  # of this process's parts
_OWN: dict[tuple[Path, int], Path] = {}  # the part of a folder and a process


def store(path: Path, content: Sequence[bytes | memoryview]) -> None:
    """Write the pieces of a file atomically; into a part, if its folder is filled in parts."""
    if (path.parent / MARK).exists():
        _append(path, b"".join(content))
        return
    with replacing(path) as temporary, temporary.open("wb") as file:
        for piece in content:
            file.write(piece)


def _append(path: Path, content: bytes) -> None:
    """Add a file to this process's part; after an error the part is as it was."""
    name = path.name.encode()
    crc = zlib.crc32(name, zlib.crc32(content))
    record = RECORD.pack(SIGNATURE, crc, len(content), len(name)) + name + content
    left = memoryview(record)
    with _LOCK, _own_part(path.parent).open("ab", buffering=0) as file:
        end = file.tell()
        try:
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            os.ftruncate(file.fileno(), end)
            error.filename = error.filename or str(path)
            raise


def _own_part(folder: Path) -> Path:
    key = (folder, os.getpid())
    if key not in _OWN or not _OWN[key].exists():
        _OWN[key] = folder / f"{os.getpid()}-{secrets.token_hex(8)}{PART}"
    return _OWN[key]
