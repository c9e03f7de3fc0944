"""Notes on images outside a data set: files that are not read, and images that are converted."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from recam.checks.inventory import header_record
from recam.checks.rules import conversions
from recam.core.errors import UserError
from recam.io.opening import IMAGE_SUFFIXES, has_image_suffix, is_hidden, opened

HIDDEN = "hidden files are not read"
OTHERS = f"sub-folders, and files that do not end in {', '.join(IMAGE_SUFFIXES)}, are not read"


def notes_on(given: Sequence[Path], images: Sequence[Path]) -> list[str]:
    """A line for each kind: other files in the folders of ``given``, conversions of ``images``."""
    kinds: dict[str, list[Path]] = defaultdict(list)
    for folder in [place for place in given if place.is_dir()]:
        for path in sorted(folder.iterdir()):
            if is_hidden(path.name):
                kinds[HIDDEN].append(path)
            elif path.is_dir() or not has_image_suffix(path.name):
                kinds[OTHERS].append(path)
    for path in images:
        with suppress(UserError), opened(path) as image:
            for kind in conversions(header_record(str(path), image)):
                kinds[kind].append(path)
    return [
        f"{kind}: {found[0]}" + (f", and {len(found) - 1:,} more" if len(found) > 1 else "")
        for kind, found in kinds.items()
    ]
