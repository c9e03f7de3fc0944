"""Folders of maps and masks that a step fills, in the form that the parameter ``storage`` names.

``storage`` changes no value, so it is no argument of a step: a change of it must rerun nothing.
"""

from pathlib import Path

from recam.io.resumable import ResumableFolder
from recam.runtime.parts import WHOLE, Part
from recam.steps.command import STORAGE
from recam.steps.without_effect import chosen

ARCHIVES = "archives"


def resumable(path: Path, *, key: str, part: Part = WHOLE) -> ResumableFolder:
    """A folder to fill with a part of a step's files, or to resume under its key and storage."""
    in_archives = chosen("storage", variable=STORAGE) == ARCHIVES
    return ResumableFolder(path, key=key, part=part, in_archives=in_archives)
