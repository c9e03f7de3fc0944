"""Data sets by name: made ones are drawn, real ones linked, all into a folder in VOC layout."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from recam.checks.saliency import saliency_errors, saliency_folder
from recam.core.errors import UserError
from recam.data.layout import SALIENCY, SPLITS, Scene, read_split, write_scenes
from recam.datasets import coco14, folder, shapes, stamps, street, voc12
from recam.datasets.collection import Collection, link_collection
from recam.datasets.regions import MaskRule
from recam.datasets.saliency import link_saliency
from recam.runtime.progress import progress
from recam.runtime.threads import usable_cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The place of the originals."""

    source: str  # path of the originals, or auto
    originals: Path  # folder for downloaded, unpacked and converted files
    longest_side: int | None = None  # pixels, of folder and street; larger images are downscaled
    coco_masks: MaskRule | None = None  # of coco14; None is by_area
    saliency: str | None = None  # path of a folder of saliency maps


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The numbers of a made data set."""

    random_seed: int
    train_images: int
    val_images: int
    image_size: int  # pixels
    cooccurrence: float  # in [0, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Class names, and a function from split name and count to scenes."""

    classes: tuple[str, ...]
    scenes: Callable[[str, int], Iterator[Scene]]


def fill(root: Path, name: str, sources: Sources, numbers: Made | None) -> None:
    """Write the data set ``name`` into the new folder ``root``. Raises UserError if it cannot."""
    folder = saliency_folder(sources.saliency)
    if name in REAL:
        link_collection(root, REAL[name](sources))
    else:
        _make(root, name, sources, numbers)
    if folder:
        _add_saliency(root, folder, sources)


def _make(root: Path, name: str, sources: Sources, numbers: Made | None) -> None:
    if numbers is None:
        raise UserError(
            f"{name} is made and needs all of train_images, val_images, image_size, random_seed "
            "and cooccurrence; set them in section download"
        )
    maker = MADE[name](sources, numbers)
    counts = {"train": numbers.train_images, "val": numbers.val_images}
    scenes = {split: maker.scenes(split, count) for split, count in counts.items()}
    written = write_scenes(root, scenes, maker.classes)
    for _ in progress(written, total=sum(counts.values()), what=name, unit="image"):
        pass


def _add_saliency(root: Path, folder: Path, sources: Sources) -> None:
    names = sorted(path.stem for path in (root / SPLITS).glob("[!.]*.txt"))
    for error in saliency_errors(folder, {name: read_split(root, name) for name in names}):
        raise UserError(error)
    copies = sources.originals / SALIENCY
    link_saliency(root, folder, copies=copies, longest_side=sources.longest_side)


@runtime_checkable  # the tests check types at run time
class DrawScenes(Protocol):
    """A generator of made scenes, each from a random generator of its own."""

    def __call__(
        self, count: int, *, size: int, cooccurrence: float, random_seed: int, split: str
    ) -> Iterator[Scene]:
        """``count`` scenes of ``size`` x ``size`` pixels."""
        ...


def drawn(classes: tuple[str, ...], draw_scenes: DrawScenes, numbers: Made) -> Maker:
    """The maker of a data set that is drawn from nothing."""

    def scenes(split: str, count: int) -> Iterator[Scene]:
        return draw_scenes(
            count,
            size=numbers.image_size,
            cooccurrence=numbers.cooccurrence,
            random_seed=numbers.random_seed,
            split=split,
        )

    return Maker(classes=classes, scenes=scenes)


def _stamps(sources: Sources, numbers: Made) -> Maker:
    photographs = stamps.find_stamps(sources.source, cache=sources.originals)
    compose = partial(stamps.compose_scenes, stamps=photographs)
    return drawn(stamps.CLASSES, compose, numbers)


def _voc12(sources: Sources) -> Collection:
    return voc12.collect(sources.source, originals=sources.originals)


def _coco14(sources: Sources) -> Collection:
    return coco14.collect(
        sources.source,
        originals=sources.originals,
        workers=usable_cores(),
        masks=sources.coco_masks or "by_area",
    )


def _folder(sources: Sources) -> Collection:
    return folder.collect(
        sources.source, originals=sources.originals, longest_side=sources.longest_side
    )


def _street(sources: Sources) -> Collection:
    return street.collect(
        sources.source, originals=sources.originals, longest_side=sources.longest_side
    )


MADE: dict[str, Callable[[Sources, Made], Maker]] = {
    "shapes": lambda sources, numbers: drawn(shapes.CLASSES, shapes.draw_scenes, numbers),  # noqa: ARG005
    "stamps": _stamps,
}
REAL: dict[str, Callable[[Sources], Collection]] = {
    "voc12": _voc12,
    "coco14": _coco14,
    "street": _street,
    "folder": _folder,
}
