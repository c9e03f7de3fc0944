"""Files and devices that a user names: they are there, and of the expected kind."""

import re
from pathlib import Path

from recam.core.errors import UserError
from recam.io.origins import unreadable

DEVICES = re.compile(r"auto|cpu|cuda(:\d+)?")
ARCHIVE = b"PK\x03\x04"  # first bytes of every checkpoint, a ZIP archive


def existing_file(path: Path) -> Path:
    """The path. Raises UserError for a file that is missing or may not be read."""
    _start(path)
    return path


def checkpoint_file(path: Path) -> Path:
    """The path. Raises UserError for a missing file, and for one that is no checkpoint."""
    if _start(path) != ARCHIVE:
        raise UserError(
            f"{path}: expected a checkpoint such as segmenter.pt, got another kind of file; "
            "correct the path"
        )
    return path


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(ARCHIVE))
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; correct the path") from error
    except OSError as error:
        raise unreadable(path, error) from error
