"""Features of frozen networks on disk: computed once, read by every later training.

A folder per network holds a file per view of an image; its name is a hash of everything that its
content depends on. So a file is valid as long as it exists, and any file may be deleted.
"""

import io
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from recam.core.disk import disk_sentence
from recam.io.atomic import replacing

GIB = 2**30  # bytes
CHECK_SIZE = 4  # bytes of the CRC behind each file's content
SUFFIX = ".npy"
USED = ".used"  # file in a network's folder; its time is that of the last use
IN_USE = 3600.0  # seconds after its last use in which no other network's training deletes a folder
RECOUNTS = 32  # the folders are counted anew after this fraction of the limit

Features = Float16[np.ndarray, "C h w"]


class FeatureFiles:
    """The features of one network in the folder ``root``/``key``, float16.

    All networks' files in ``root`` take at most ``limit`` bytes; each further process that writes
    at the same time may exceed it by 1/32. At the limit, the folders of other networks go first,
    the least recently used one before others, unless used within the last hour.
    """

    def __init__(self, root: Path, *, key: str, limit: int):
        self.root = root
        self.folder = root / key
        self.limit = limit
        self.is_full = limit == 0
        self.obstacle = f"its limit of {limit / GIB:.3g} GiB is reached"  # where it is full
        self._left = 0  # bytes until the folders are counted anew

    def read(self, name: str) -> Features | None:
        """The features of a view; None if they are not stored, or the file is damaged."""
        try:
            content = self._path(name).read_bytes()
            body = memoryview(content)[:-CHECK_SIZE]
            if zlib.crc32(body) != int.from_bytes(content[-CHECK_SIZE:]):
                return None
            found = np.load(io.BytesIO(body))
        except (OSError, ValueError, EOFError):
            return None
        return found if found.dtype == np.float16 else None

    def write(self, name: str, features: Features) -> bool:
        """Store the features of a view, atomically; false if the limit or the disk forbids it."""
        buffer = io.BytesIO()
        np.save(buffer, features)
        content = buffer.getvalue()
        content += zlib.crc32(content).to_bytes(CHECK_SIZE)
        if self.is_full or not self._has_room(len(content)):
            self.is_full = True
            return False
        with self._optional(), replacing(self._path(name)) as temporary:
            temporary.write_bytes(content)
        self._left -= len(content)
        return not self.is_full

    def count(self) -> int:
        """The number of stored views."""
        return sum(1 for _ in self.folder.rglob(f"[!.]*{SUFFIX}"))

    def touch(self) -> None:
        """Mark the folder as in use."""
        if self.is_full:
            return
        with self._optional():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / USED).touch()

    @contextmanager
    def _optional(self) -> Iterator[None]:
        """Store nothing more after an error of the disk: a training needs no stored features."""
        try:
            yield
        except OSError as error:
            self.is_full, self.obstacle = True, disk_sentence(error)

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}{SUFFIX}"  # folders of a few hundred files

    def _has_room(self, size: int) -> bool:
        if self._left >= size:
            return True
        self.touch()
        free = self.limit - _bytes_in(self.root)
        for folder in self._unused():
            if free >= size:
                break
            free += _bytes_in(folder)
            shutil.rmtree(folder, ignore_errors=True)
        self._left = min(free, max(size, self.limit // RECOUNTS))
        return free >= size

    def _unused(self) -> list[Path]:
        """The folders of other networks that no training uses, the least recently used first."""
        limit = time.time() - IN_USE
        others = [file for file in self.root.glob(f"*/{USED}") if file.parent != self.folder]
        times = {file.parent: file.stat().st_mtime for file in others}
        return sorted((f for f, used in times.items() if used < limit), key=times.__getitem__)


def _bytes_in(folder: Path) -> int:
    return sum(_size(file) for file in folder.rglob(f"*{SUFFIX}"))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # another process has just deleted it
        return 0
