"""Data sets by name: each is written to a folder in VOC layout."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from recam.data import shapes, stamps
from recam.data.layout import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSet:
    """The numbers of a made data set."""

    source: str  # where the originals lie, or auto
    cache: Path  # folder for originals that have to be fetched
    random_seed: int
    image_size: int  # pixels
    cooccurrence: float  # in [0, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Class names, and a function from split name and count to scenes."""

    classes: tuple[str, ...]
    scenes: Callable[[str, int], Iterator[Scene]]


def _shapes(numbers: MadeSet) -> Maker:
    def scenes(split: str, count: int) -> Iterator[Scene]:
        return shapes.draw_scenes(
            count,
            size=numbers.image_size,
            cooccurrence=numbers.cooccurrence,
            random_seed=numbers.random_seed,
            split=split,
        )

    return Maker(classes=shapes.CLASSES, scenes=scenes)


def _stamps(numbers: MadeSet) -> Maker:
    folder = stamps.find_stamps(numbers.source, cache=numbers.cache)

    def scenes(split: str, count: int) -> Iterator[Scene]:
        return stamps.compose_scenes(
            count,
            stamps=folder,
            size=numbers.image_size,
            cooccurrence=numbers.cooccurrence,
            random_seed=numbers.random_seed,
            split=split,
        )

    return Maker(classes=stamps.CLASSES, scenes=scenes)


DATASETS: dict[str, Callable[[MadeSet], Maker]] = {"shapes": _shapes, "stamps": _stamps}
