"""`stamps`: scenes composed of photographed objects whose outlines are known exactly.

The photographs come from Debian's package ``tuxpaint-stamps-default``: animals, plants and things,
cut out with an alpha channel. A scene shows one to three of them on a textured background with
unlabelled clutter; they are scaled, rotated and mirrored, occlude each other and are cut by the
border. Classes co-occur in pairs. Training and validation scenes show different photographs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, mask_id
from recam.core.randomness import numpy_generator
from recam.data.layout import Scene
from recam.datasets.collage import Layer, paint, place, read_cutout
from recam.datasets.debian import download_and_unpack, unpack
from recam.datasets.scenery import choose_classes, landscape
from recam.io.atomic import sha256

PACKAGE = "tuxpaint-stamps-default"
INSTALLED = Path("/usr/share/tuxpaint/stamps")
AUTO = "auto"

DRAWN_FOLDERS = {"cartoon", "toys", "plastic"}
FEWEST_PHOTOGRAPHS = 2  # of each class in train and in val, else all its objects look the same
VISIBLE = 0.35  # minimum visible fraction of an object, else the scene is rearranged
OBJECT_WIDTH = (0.34, 0.52)  # side of a square of the object's area, as a fraction of the scene
CLUTTER_WIDTH = (0.08, 0.20)
MOST_CLUTTER = 3  # unlabelled objects in a scene


@dataclass(frozen=True, slots=True)
class _Source:
    """Folders of photographs (``/**``: recursive), and the names of excluded photographs."""

    folders: str
    without: str = ""


# Partners (0 and 1, 2 and 3, ...) co-occur: gulls and fish, horse and cart, ...
# Excluded: drawings, groups of objects, objects of another class, and tiny photographs.
_SOURCES = {
    "bird": _Source("animals/birds", without="albino_peahen"),
    "fish": _Source("animals/fish", without="lobster seahorse shrimp"),
    "mammal": _Source(
        "animals/mammals/** animals/marsupials", without="echidna hedgehog orca whale wildboar"
    ),
    "vehicle": _Source(
        "vehicles/** military/vehicles",
        without="7spoke256 wheel_tractor sedan_police chineseJunk walnutBoat",
    ),
    "insect": _Source("animals/insects", without="bee Brown_slug Woodlouse"),
    "flower": _Source("plants/flowers", without="appooppanthady"),
    "fruit": _Source("food/fruit", without="strawberry"),
    "vegetable": _Source("food/vegetables", without="garlic"),
    "tool": _Source("household/tools", without="cementmixer toolbox"),
    "instrument": _Source("hobbies/music/**"),
}
_CLUTTER = _Source(
    "animals/shellfish household household/dishes medical sports town",
    without="glass key rubberduck rugby_goal_posts tennis_racket tooth",
)
CLASSES = tuple(_SOURCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Photographs:
    """The cut-out photographs of the train or of the val scenes."""

    classes: tuple[tuple[Image.Image, ...], ...]
    clutter: tuple[Image.Image, ...]


def find_stamps(path: str, *, cache: Path) -> Path:
    """Find the folder of stamps: given, installed, or unpacked from the Debian package.

    ``path`` is a folder of stamps or one that contains ``tuxpaint/stamps``, a ``.deb`` file, or
    "auto" for the installed package, else the package from ``apt-get download``, which needs no
    root. Packages are unpacked once, below ``cache``. Raises UserError if no stamps are found.
    """
    given = Path(path)
    if path == AUTO:
        return INSTALLED if INSTALLED.is_dir() else _downloaded(cache / PACKAGE)
    if given.is_dir():
        return _stamps_below(given)
    if given.is_file() and given.suffix == ".deb":
        return _unpacked(given, cache / f"{given.stem}-{sha256(given)[:12]}")
    raise UserError(
        f"{path}: expected a folder or a .deb file, found neither; set download.source to the "
        f"folder of tuxpaint's stamps, the file of Debian's package {PACKAGE}, or {AUTO}"
    )


def compose_scenes(
    count: int, *, stamps: Path, size: int, cooccurrence: float, random_seed: int, split: str
) -> Iterator[Scene]:
    """``count`` scenes of ``size`` x ``size`` pixels; each depends on seed, split and number only.

    ``cooccurrence`` is the probability in [0, 1] that a class appears with its partner (bird and
    fish, mammal and vehicle, ...). The split ``train`` shows about 60 % of each class's photographs
    and every other split the rest, selected by name. Raises UserError on the first scene for an
    unreadable photograph and for a class with too few photographs.
    """
    photographs = _read_photographs(stamps, size=size, split=split)
    for number in range(count):
        generator = numpy_generator(random_seed, "stamps", split, number)
        yield _compose_scene(generator, photographs, size=size, cooccurrence=cooccurrence)


def _stamps_below(folder: Path) -> Path:
    for below in ("", "stamps", "tuxpaint/stamps", "share/tuxpaint/stamps", INSTALLED.as_posix()):
        candidate = folder / below.lstrip("/")
        if (candidate / "animals").is_dir():
            return candidate
    raise UserError(
        f"{folder}: expected tuxpaint/stamps with a folder 'animals', found none; set "
        "download.source to the folder of tuxpaint's stamps or the file of Debian's package "
        f"{PACKAGE}"
    )


def _downloaded(target: Path) -> Path:
    if not target.is_dir():
        try:
            download_and_unpack(PACKAGE, target)
        except UserError as error:
            raise UserError(
                f"{INSTALLED}: expected stamps here or a download of {PACKAGE} ({error}); run "
                "apt-get update, or set download.source to a folder of stamps or a .deb file"
            ) from error
    return _stamps_below(target)


def _unpacked(package: Path, target: Path) -> Path:
    if not target.is_dir():
        unpack(package, target)
    return _stamps_below(target)


def _read_photographs(stamps: Path, *, size: int, split: str) -> _Photographs:
    side = "train" if split == "train" else "val"
    classes = {name: _side(stamps, source, side=side) for name, source in _SOURCES.items()}
    for name, files in classes.items():
        if len(files) < FEWEST_PHOTOGRAPHS:
            raise UserError(
                f"{stamps}: expected at least {FEWEST_PHOTOGRAPHS} photographs of class {name} for "
                f"{side} in {_SOURCES[name].folders}, got {len(files)}; use the complete folder of "
                "tuxpaint's stamps"
            )
    clutter = _side(stamps, _CLUTTER, side=side)
    return _Photographs(
        classes=tuple(_read_all(files, size=size) for files in classes.values()),
        clutter=_read_all(clutter, size=size),
    )


def _read_all(files: list[Path], *, size: int) -> tuple[Image.Image, ...]:
    return tuple(read_cutout(file, longest_side=2 * size) for file in files)


def _side(stamps: Path, source: _Source, *, side: str) -> list[Path]:
    """Photographs of one side: the 2nd and 5th of every five subjects by name are for val."""
    files = sorted(_photographs(stamps, source), key=lambda file: (_subject(file), file))
    subjects = groupby(files, key=_subject)
    return [
        file
        for number, (_, same) in enumerate(subjects)
        for file in same
        if (number % 5 in (1, 4)) == (side == "val")
    ]


def _photographs(stamps: Path, source: _Source) -> Iterator[Path]:
    left_out = set(source.without.split())
    for folder in source.folders.split():
        for file in stamps.glob(f"{folder}/*.png"):
            is_drawn = not DRAWN_FOLDERS.isdisjoint(file.relative_to(stamps).parts)
            if not is_drawn and file.stem not in left_out and not file.stem.endswith("_mirror"):
                yield file


def _subject(file: Path) -> str:
    # Photographs of one subject, perhaps of one animal, share the first word: gnu-baby, gnu-stand.
    return re.split("[-_]", file.stem.lower())[0]


def _compose_scene(
    generator: np.random.Generator, photographs: _Photographs, *, size: int, cooccurrence: float
) -> Scene:
    def layer(cutouts: tuple[Image.Image, ...], widths: tuple[float, float]) -> Layer:
        cutout = cutouts[generator.integers(len(cutouts))]
        return place(generator, cutout, size=size, width=size * generator.uniform(*widths))

    classes = choose_classes(generator, num_classes=len(CLASSES), cooccurrence=cooccurrence)
    while True:
        objects = [layer(photographs.classes[c], OBJECT_WIDTH) for c in classes]
        owner = _stack(objects)
        if all((owner == i).sum() > VISIBLE * o.area for i, o in enumerate(objects)):
            break
    num_clutter = generator.integers(1, MOST_CLUTTER + 1) if photographs.clutter else 0
    clutter = [layer(photographs.clutter, CLUTTER_WIDTH) for _ in range(num_clutter)]
    image = landscape(generator, size)
    for part in clutter + objects:
        paint(image, part)
    image += generator.normal(0, 0.015, image.shape)
    pixels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return Scene(image=pixels, mask=_mask(owner, classes))


def _stack(objects: list[Layer]) -> Int[np.ndarray, "H W"]:
    """The number of the topmost object at each pixel, or -1 for background."""
    owner = np.full(objects[0].alpha.shape, -1)
    for number, layer in enumerate(objects):
        owner[layer.region] = number
    return owner


def _mask(owner: Int[np.ndarray, "H W"], classes: list[int]) -> UInt8[np.ndarray, "H W"]:
    ids = np.array([*(mask_id(c) for c in classes), BACKGROUND], dtype=np.uint8)
    return ids[owner]  # owner -1 selects the last entry
