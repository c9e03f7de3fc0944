"""Folders of maps and masks as archives, for tests of their readers."""

from recam.io.archives import files_in
from recam.io.packing import write_archive


def in_archive(folder):
    """Move the maps and masks of a folder into one archive."""
    files = files_in(folder)
    write_archive(folder / "00000.zip", files)
    for file in files:
        file.unlink()
