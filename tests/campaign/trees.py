"""Files of a run: which there are, what they hold, and how far a run has come."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

UNFINISHED = (".partial", ".packed", ".tmp", ".last.pt", ".new")


def files_of(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """The files of some folders and files below ``folder``, hidden ones too."""
    for part in parts:
        place = folder / part
        if place.is_file():
            yield place
        for root, _, names in os.walk(place):
            yield from (Path(root, name) for name in names)


def contents(folder: Path, parts: tuple[str, ...]) -> dict[str, str]:
    """The SHA-256 of every visible file, by its path."""
    found: dict[str, str] = {}
    for file in files_of(folder, parts):
        name = str(file.relative_to(folder))
        if not any(part.startswith(".") for part in Path(name).parts) and ".last." not in name:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def changed(found: dict[str, str], meant: dict[str, str]) -> str:
    """The first files that differ, are missing or are too many; empty if none."""
    names = sorted(
        name for name in found.keys() | meant.keys() if found.get(name) != meant.get(name)
    )
    if not names:
        return ""
    kinds = {True: "differs", False: "is missing or surplus"}
    first = names[0]
    return f"{first} {kinds[first in found and first in meant]}, {len(names)} such files"


def unfinished(folder: Path, parts: tuple[str, ...]) -> str:
    """A file of unfinished work that no run needs any more; empty if none."""
    names = [str(f.relative_to(folder)) for f in files_of(folder, parts)]
    left = [n for n in names if any(word in n for word in UNFINISHED)]
    return f"{left[0]} is left" if left else ""


class Progress:
    """Counts what a run writes: each new file and each new time of a file is one event."""

    def __init__(self, folder: Path, parts: tuple[str, ...]):
        self.folder, self.parts = folder, parts
        self.seen = self._now()
        self.events = 0

    def update(self) -> int:
        """The number of events since the beginning."""
        now = self._now()
        self.events += len(now - self.seen)
        self.seen |= now
        return self.events

    def _now(self) -> set[tuple[str, int]]:
        found: set[tuple[str, int]] = set()
        for file in files_of(self.folder, self.parts):
            try:
                found.add((str(file), file.stat().st_mtime_ns))
            except FileNotFoundError:  # renamed meanwhile
                continue
        return found
