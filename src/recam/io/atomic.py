"""Atomic file writes, checksums and manifests."""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from recam.core.errors import UserError
from recam.io.archives import read_content
from recam.io.origins import damaged, remedy_of

TEMPORARY = re.compile(r"\.(.+)\.([0-9]+)\.tmp", re.DOTALL)  # target and process
LINE = re.compile(r"([0-9a-f]{64})  (.+)")  # of a list of checksums: SHA-256 and name


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename it to ``path`` when the block succeeds.

    After an exception the temporary file is deleted and ``path`` keeps its content. An OSError
    without a file name gets that of ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    for left in _left_by_killed(path.parent.absolute()).pop(path.name, ()):
        left.unlink(missing_ok=True)
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno and error.filename in (None, str(temporary)):
            error.filename = str(path)  # writing to an open file sets none
        raise
    finally:
        temporary.unlink(missing_ok=True)


@lru_cache(maxsize=1024)  # stored features are in 256 folders
def _left_by_killed(folder: Path) -> dict[str, list[Path]]:
    """The temporary files of processes that were killed before this one began, by their target.

    A folder is listed once: a listing for each of its files would take the square of their number.
    """
    found: dict[str, list[Path]] = {}
    with suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            match = TEMPORARY.fullmatch(entry.name)
            if match and not _is_alive(int(match[2])):
                found.setdefault(match[1], []).append(folder / entry.name)
    return found


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def replace_with(path: Path, made: Path) -> None:
    """Move the finished file or folder ``made`` to ``path``, and replace the one that was there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.replace(path)


def beside(folder: Path) -> Path:
    """A hidden place from which files can be moved into ``folder``: on the same disk.

    It is beside the folder; where the folder is the root of a disk, or links to one, within it.
    """
    real = folder.resolve()
    is_root = real.is_dir() and real.stat().st_dev != real.parent.stat().st_dev
    is_own = real.is_dir() and not os.access(real.parent, os.W_OK)
    return real / ".new" if is_root or is_own else real.with_name(f".{real.name}.new")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(manifest: Path, paths: list[Path]) -> None:
    """Write the SHA-256 of every file of ``paths``, folders included, in ``sha256sum`` format.

    Names are relative to the manifest's folder: ``sha256sum --check`` works there. Hidden files
    are left out.
    """
    files = sorted(
        file
        for path in paths
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    )
    root = manifest.parent
    names = [Path(os.path.relpath(file, root)).as_posix() for file in files]
    lines = [f"{sha256(file)}  {name}\n" for file, name in zip(files, names, strict=True)]
    write_text(manifest, "".join(lines))


def read_manifest(manifest: Path) -> dict[str, str]:
    """The SHA-256 by name of a list of checksums. Raises UserError for any other file."""
    listed: dict[str, str] = {}
    for line in io.BytesIO(read_content(manifest)):  # one at a time: a list has many
        match = LINE.fullmatch(line.decode("utf-8", errors="replace").rstrip("\r\n"))
        if not match or match[2] in listed:
            raise damaged(manifest, "expected a line with a SHA-256 and a name for each file")
        listed[match[2]] = match[1]
    return listed


def require_listed(folder: Path) -> None:
    """Raise UserError if the finished folder lacks a file of the list of checksums beside it."""
    listed = read_manifest(folder.with_name(f"{folder.name}.sha256"))
    there = {f"{folder.name}/{file.name}" for file in folder.iterdir()}
    missing = [name for name in listed if name.startswith(f"{folder.name}/") and name not in there]
    if missing:
        first = folder.parent / missing[0]
        raise UserError(
            f"{folder}: lacks {len(missing)} of the {len(listed)} files in {folder.name}.sha256 "
            f"(first: {first.name}); {remedy_of(first)}"
        )
