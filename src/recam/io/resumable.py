"""Folders that are filled file by file and can be resumed after a kill."""

import shutil
from pathlib import Path

from recam.io.atomic import replace_with, write_manifest, write_text
from recam.runtime.distributed import is_first, wait_for_all


class ResumableFolder:
    """A folder that is filled file by file and appears under its name only when it is whole.

    Work goes on in ``.<name>.partial`` beside it. A killed run leaves that behind; the next one
    with the same key (a hash of parameters, inputs and code) keeps its files, another drops it.
    """

    def __init__(self, path: Path, *, key: str):
        self.path = path
        self.partial = path.with_name(f".{path.name}.partial")
        key_file = self.partial / ".key"
        if is_first():
            if not key_file.is_file() or key_file.read_text() != key:
                shutil.rmtree(self.partial, ignore_errors=True)
                write_text(key_file, key)
            for unfinished in self.partial.glob(".*.tmp"):
                unfinished.unlink()
        wait_for_all()  # processes that fill it together

    def has(self, name: str) -> bool:
        """Whether a file was finished, now or before the run was killed."""
        return (self.partial / name).is_file()

    def finish(self) -> None:
        """Put the folder in its place."""
        (self.partial / ".key").unlink()
        replace_with(self.path, self.partial)

    def finish_with_manifest(self, manifest: Path) -> None:
        """Put the folder in its place, then write the checksums of its files."""
        self.finish()
        write_manifest(manifest, [self.path])

    def drop(self) -> None:
        """Delete what was filled in: it was of use only while something else was made."""
        shutil.rmtree(self.partial)
