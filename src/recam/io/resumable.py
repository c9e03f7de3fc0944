"""Folders that are filled file by file and can be resumed after a kill."""

import shutil
from pathlib import Path

from recam.core.errors import UserError
from recam.io.archives import MARK, is_stored
from recam.io.atomic import replace_with, write_manifest, write_text
from recam.io.origins import PART
from recam.io.packing import pack
from recam.io.seals import check_png, read_sealed
from recam.runtime.distributed import is_first, wait_for_all
from recam.runtime.parts import WHOLE, Part


class ResumableFolder:
    """A folder that is filled file by file and appears at ``path`` only when it is complete.

    Files go into ``.<name>.partial`` beside it, which survives a killed run. The next run with the
    same ``key`` (a hash of parameters, inputs and code) keeps these files, unless one was damaged
    since; a run with another key deletes them. ``part`` is the part of the step's batches whose
    files belong here. With ``in_archives`` files go into parts there, and the finished folder has
    archives; see ``recam.io.stores``.
    """

    def __init__(self, path: Path, *, key: str, part: Part = WHOLE, in_archives: bool = False):
        self.path = path
        self.part = part
        self.partial = path.with_name(f".{path.name}.partial")
        self.in_archives = in_archives
        if is_first():
            self._begin(key)
        wait_for_all()  # all ranks fill the folder

    def _begin(self, key: str) -> None:
        key_file, mark = self.partial / ".key", self.partial / MARK
        is_same = key_file.is_file() and key_file.read_text() == key
        if not is_same or mark.exists() != self.in_archives:
            shutil.rmtree(self.partial, ignore_errors=True)
            if self.in_archives:
                write_text(mark, "")
            write_text(key_file, key)
        for unfinished in self.partial.glob(".*.tmp"):
            unfinished.unlink()
        for file in self.partial.iterdir():
            _delete_if_damaged(file)

    def has(self, name: str) -> bool:
        """Whether the file ``name`` is finished, by this run or by a killed one."""
        file = self.partial / name
        return is_stored(file) if self.in_archives else file.is_file()

    def take(self, file: Path) -> None:
        """Move a finished file, or a part, of another folder here, if it has the same storage."""
        if (file.suffix == PART) == self.in_archives:
            file.replace(self.partial / file.name)

    def finish(self) -> None:
        """Move the folder to ``path``, and replace what was there."""
        made = self.partial
        if self.in_archives:
            made = self.path.with_name(f".{self.path.name}.packed")
            shutil.rmtree(made, ignore_errors=True)  # of a killed run
            pack(self.partial, made)
        else:
            (self.partial / ".key").unlink()
        self.path.with_name(f"{self.path.name}.sha256").unlink(missing_ok=True)  # of what was there
        replace_with(self.path, made)
        if self.in_archives:
            self.drop()

    def finish_with_manifest(self, manifest: Path) -> None:
        """Put the folder in its place, then write the checksums of its files."""
        self.finish()
        write_manifest(manifest, [self.path])

    def drop(self) -> None:
        """Delete the folder: its files were needed only during the step."""
        shutil.rmtree(self.partial)


def _delete_if_damaged(file: Path) -> None:
    """Delete a score map or a mask whose checksum differs, so that it is made anew."""
    try:
        if file.suffix == ".npz":
            read_sealed(file, kind="score maps")
        elif file.suffix == ".png":
            check_png(file, missing="")
    except UserError:
        file.unlink()
