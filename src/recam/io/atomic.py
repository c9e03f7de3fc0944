"""Atomic file writes, checksums and manifests."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename it to ``path`` when the block succeeds.

    After an exception the temporary file is deleted and ``path`` keeps its content. An OSError
    without a file name gets that of ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)  # writing to an open file sets none
        raise
    finally:
        temporary.unlink(missing_ok=True)


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
    write_text(manifest, "".join(f"{sha256(f)}  {f.relative_to(root).as_posix()}\n" for f in files))
