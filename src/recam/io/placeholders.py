"""Files that stand for a checkpoint where nothing was trained; known without PyTorch."""

from pathlib import Path

from recam.io.atomic import write_text

START = "no IRN was trained"


def write_placeholder(path: Path, reason: str) -> str:
    """Write a note in the place of a checkpoint, atomically, and return it."""
    note = f"{START}: {reason}"
    write_text(path, f"{note}\n")
    return note


def is_placeholder(path: Path) -> bool:
    """Whether the file is such a note."""
    try:
        with path.open("rb") as file:
            return file.read(len(START)) == START.encode()
    except OSError:  # the reader of the checkpoint reports it
        return False
