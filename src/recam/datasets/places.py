"""Places of a data set in a folder that is given one or two levels off."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

DEPTH = 2  # levels above and below: VOCdevkit beside SBD, a double folder of an archive
MOST_ENTRIES = 1_000  # of a folder that is searched; folders of images have more


def nearest(given: Path | None, places: Iterable[str], *, holding: Iterable[str]) -> Path | None:
    """The first of ``places`` that holds all the names, in the nearest folder that has one.

    The order is: the folder ``given``, those below it, then those above it. None without any.
    """
    if given is None:
        return None
    given, places, names = given.resolve(), tuple(places), tuple(holding)
    above = list(given.parents)[:DEPTH]
    for folder in (given, *_below(given, DEPTH), *above):
        for place in places:
            if all((folder / place / name).exists() for name in names):
                return folder / place
    return None


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """The folders below by level, in the order of their names."""
    entries = sorted(islice(folder.iterdir(), MOST_ENTRIES))
    inside = [path for path in entries if path.is_dir() and not path.name.startswith(".")]
    yield from inside
    if depth > 1:
        for path in inside:
            yield from _below(path, depth - 1)
