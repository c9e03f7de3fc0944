"""`stamps`: scenes composed of photographed objects whose outlines are known exactly.

The photographs are those of Debian's package ``tuxpaint-stamps-default``: animals, plants and
things, each cut out with an alpha channel. Scenes put one to three of them, scaled, turned,
mirrored, occluding each other and cut by the border, on textured backgrounds with unlabelled
clutter. Classes co-occur in pairs. Training and validation scenes show different photographs.
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
FEWEST_PHOTOGRAPHS = 2  # of a class on each side, else its scenes all show the same thing
VISIBLE = 0.35  # least share of an object that must be seen, else the scene is arranged anew
OBJECT_WIDTH = (0.34, 0.52)  # of a square with the object's area, as a fraction of the scene
CLUTTER_WIDTH = (0.08, 0.20)
MOST_CLUTTER = 3  # unlabelled objects in a scene


@dataclass(frozen=True, slots=True)
class _Source:
    """Folders of photographs (``/**``: with all below), and names of those to leave out."""

    folders: str
    without: str = ""


# Partners (0 and 1, 2 and 3, ...) are seen together: gulls and fish, horse and cart, ...
# Left out: drawings, pictures of several things, what is no member of its class, and the tiny.
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
    """The cut-out photographs of one side."""

    classes: tuple[tuple[Image.Image, ...], ...]
    clutter: tuple[Image.Image, ...]


def find_stamps(path: str, *, cache: Path) -> Path:
    """Find the folder of stamps: installed, given, or unpacked from the Debian package.

    ``path`` is a folder (of stamps, or one in which ``tuxpaint/stamps`` lies), a ``.deb`` file, or
    ``auto``: the installed package, else the package that ``apt-get download`` brings, which needs
    no root. Packages are unpacked below ``cache``, once. Raises UserError where that fails.
    """
    given = Path(path)
    if path == AUTO:
        return INSTALLED if INSTALLED.is_dir() else _downloaded(cache / PACKAGE)
    if given.is_dir():
        return _stamps_below(given)
    if given.is_file() and given.suffix == ".deb":
        return _unpacked(given, cache / f"{given.stem}-{sha256(given)[:12]}")
    raise UserError(
        f"{path}: no folder and no .deb file; give the folder of tuxpaint's stamps, the file of "
        f"Debian's package {PACKAGE}, or {AUTO}"
    )


def compose_scenes(
    count: int, *, stamps: Path, size: int, cooccurrence: float, random_seed: int, split: str
) -> Iterator[Scene]:
    """``count`` scenes of ``size`` x ``size`` pixels; each depends on seed, split and number only.

    ``cooccurrence`` is the probability in [0, 1] that a class brings its partner (bird and fish,
    mammal and vehicle, ...). The split ``train`` shows about 60 % of each class's photographs and
    every other split the rest; which ones depends on their names only. Raises UserError, on the
    first scene, for a photograph that cannot be read and for a class with too few of them.
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
        f"{folder}: no tuxpaint/stamps with a folder 'animals' in it; give the folder of "
        f"tuxpaint's stamps or the file of Debian's package {PACKAGE}"
    )


def _downloaded(target: Path) -> Path:
    if not target.is_dir():
        try:
            download_and_unpack(PACKAGE, target)
        except UserError as error:
            raise UserError(
                f"expected stamps in {INSTALLED} or a download of {PACKAGE}, but {error}; "
                f"run apt-get update, or give a folder of stamps or the package's .deb file"
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
                f"{stamps}: class {name} has {len(files)} photographs for {side} in "
                f"{_SOURCES[name].folders}, expected at least {FEWEST_PHOTOGRAPHS}; "
                f"give the whole folder of tuxpaint's stamps"
            )
    clutter = _side(stamps, _CLUTTER, side=side)
    return _Photographs(
        classes=tuple(_read_all(files, size=size) for files in classes.values()),
        clutter=_read_all(clutter, size=size),
    )


def _read_all(files: list[Path], *, size: int) -> tuple[Image.Image, ...]:
    return tuple(read_cutout(file, longest_side=2 * size) for file in files)


def _side(stamps: Path, source: _Source, *, side: str) -> list[Path]:
    """Of the subjects in alphabetical order, the 2nd and 5th of every five are for validation."""
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
    # Photographs of one subject, maybe of one animal, share the first word: gnu-baby, gnu-stand.
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
    """Which object shows at each pixel: its number, or -1 for the background."""
    owner = np.full(objects[0].alpha.shape, -1)
    for number, layer in enumerate(objects):
        owner[layer.region] = number
    return owner


def _mask(owner: Int[np.ndarray, "H W"], classes: list[int]) -> UInt8[np.ndarray, "H W"]:
    ids = np.array([*(mask_id(c) for c in classes), BACKGROUND], dtype=np.uint8)
    return ids[owner]  # owner -1 is the last entry
