"""Before an hour of training: what a data set folder holds, and what is wrong or odd about it.

Wrong is what training would stop at or learn nonsense from; odd is what somebody should know.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from recam.checks.inventory import MASK_MODES, Inventory, Picture, take_inventory
from recam.checks.report import (
    Fault,
    Report,
    class_table,
    cooccurrence_table,
    odd,
    split_table,
    wrong,
)
from recam.core.labels import BACKGROUND, IGNORE, mask_id
from recam.data.layout import CLASSES, IMAGES, LABELS, SPLITS
from recam.io.images import IMAGE_SUFFIXES

SMALL = 32  # pixels of a side; below, little is left after the network's strides
ELONGATED = 5  # longer side over shorter side
GREY = {"1", "L", "LA", "La"}
PALETTE = {"P", "PA"}
BECOME_RGB = {"RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", *GREY, *PALETTE}


def check_data(root: Path) -> Report:
    """Look at every file that a split names, and at the tables, and say what was found.

    Raises UserError only where nothing can be told: the list of classes or the table of labels is
    missing, cannot be read or does not fit the other.
    """
    data, faults = take_inventory(root)
    for rule in RULES:
        faults += rule(data)
    return _report(data, tuple(faults))


def _report(data: Inventory, faults: tuple[Fault, ...]) -> Report:
    labels = {split: data.labels_of(ids) for split, ids in data.splits.items()}
    pixels = {split: data.pixels_of(ids) for split, ids in data.splits.items()}
    images = [image for image in data.images.values() if not image.error]
    sizes = sorted((image.size for image in images), key=lambda size: (size[0] * size[1], size))
    places = {"smallest": 0, "median": (len(sizes) - 1) // 2, "largest": -1}
    return Report(
        faults=faults,
        splits=split_table(
            {split: len(ids) for split, ids in data.splits.items()},
            {split: sum(i in data.masks for i in ids) for split, ids in data.splits.items()},
            labels,
            pixels,
        ),
        classes=class_table(data.classes, labels, pixels),
        cooccurrence=cooccurrence_table(data.classes, data.labels_of(data.splits_of())),
        sizes={name: sizes[place] for name, place in places.items()} if sizes else {},
        modes=dict(Counter(image.mode for image in images).most_common()),
    )


def _file_of(split: str) -> str:
    return f"{SPLITS}/{split}.txt"


def _missing(data: Inventory) -> Iterator[Fault]:
    """Ids of a split without what belongs to them."""
    for split, ids in data.splits.items():
        for image_id in ids:
            if image_id not in data.images:
                yield wrong(_file_of(split), "the split names an image that has no file", image_id)
            if image_id not in data.rows:
                yield wrong(
                    _file_of(split),
                    "the split names an image that has no row in labels.csv",
                    image_id,
                )
        there = [image_id for image_id in ids if image_id in data.images]
        without = [image_id for image_id in there if image_id not in data.masks]
        if 0 < len(without) < len(there):
            detail = f"{len(without)} of {len(there)}, such as {without[0]}"
            yield odd(_file_of(split), "some images of the split have no mask", detail)


def _unnamed(data: Inventory) -> Iterator[Fault]:
    """Images and rows that no split names, and images that have two files."""
    named = data.splits_of()
    files: dict[str, list[str]] = defaultdict(list)
    for name in data.files:
        if Path(name).suffix in IMAGE_SUFFIXES and not name.startswith("."):
            files[Path(name).stem].append(name)
    for image_id, names in files.items():
        if image_id not in named:
            yield from (odd(f"{IMAGES}/{name}", "no split names the image") for name in names)
        elif len(names) > 1:
            yield wrong(f"{IMAGES}/{names[0]}", "another file has the same id", names[1])
    for image_id in sorted(data.rows.difference(named)):
        yield odd(LABELS, "no split names the image of a row", image_id)


def _unlabelled(data: Inventory) -> Iterator[Fault]:
    """Images without labels, and classes without images."""
    for image_id, splits in data.splits_of().items():
        if image_id in data.images and not data.labels.get(image_id, np.ones(1)).any():
            file = data.images[image_id].file
            yield odd(file, "the image has no label", f"in {', '.join(splits)}")
    anywhere = data.labels_of(data.splits_of()).any(axis=0)
    for name in np.array(data.classes)[~anywhere] if data.splits else ():
        yield odd(CLASSES, "no image of any split has the class", str(name))
    for split, ids in data.splits.items():
        missing = anywhere & ~data.labels_of(ids).any(axis=0)
        for name in np.array(data.classes)[missing] if ids else ():
            yield odd(_file_of(split), "no image of the split has a class", str(name))


def _images(data: Inventory) -> Iterator[Fault]:
    for image in data.images.values():
        if image.error:
            yield wrong(image.file, "the image cannot be read", image.error)
        elif image.mode not in BECOME_RGB:
            words = "the image has more than 8 bits a channel, or colours that are not RGB's"
            yield wrong(image.file, words, f"mode {image.mode}")
        else:
            yield from _odd_colours(image)
            yield from _odd_shape(image)


def _odd_colours(image: Picture) -> Iterator[Fault]:
    kinds = {
        "is grey": image.mode in GREY,
        "is CMYK": image.mode == "CMYK",
        "has a palette": image.mode in PALETTE,
        "is transparent": image.transparent,
    }
    for kind, found in kinds.items():
        if found:
            yield odd(image.file, f"the image {kind}; it is turned to RGB")


def _odd_shape(image: Picture) -> Iterator[Fault]:
    shorter, longer = sorted(image.size)
    size = f"{image.size[0]} x {image.size[1]}"
    if image.turned:
        yield odd(image.file, "EXIF says to turn the image; it is read as it is stored")
    if shorter < SMALL:
        yield odd(image.file, f"the image has a side below {SMALL} pixels", size)
    if longer > ELONGATED * shorter:
        yield odd(image.file, f"the image is more than {ELONGATED} times as long as wide", size)


def _masks(data: Inventory) -> Iterator[Fault]:
    for image_id, mask in data.masks.items():
        image = data.images.get(image_id)
        beyond = [i for i in mask.pixels if len(data.classes) < i < IGNORE]
        if mask.error:
            yield wrong(mask.file, "the mask cannot be read", mask.error)
        elif mask.mode not in MASK_MODES:
            yield wrong(mask.file, "the mask is no palette or grey image", f"mode {mask.mode}")
        elif image and not image.error and image.size != mask.size:
            (width, height), (w, h) = mask.size, image.size
            detail = f"{width} x {height}, the image {w} x {h}"
            yield wrong(mask.file, "the mask has another size than its image", detail)
        elif beyond:
            detail = f"{', '.join(map(str, beyond))}; expected 0 to {len(data.classes)} or {IGNORE}"
            yield wrong(mask.file, "the mask has ids beyond the classes", detail)
        else:
            yield from _odd_mask(data, image_id, mask)


def _odd_mask(data: Inventory, image_id: str, mask: Picture) -> Iterator[Fault]:
    """Where a mask and the labels differ, for images whose labels are known."""
    shown = set(mask.pixels) - {BACKGROUND, IGNORE}
    if set(mask.pixels) == {IGNORE}:
        yield odd(mask.file, f"the mask is ignored ({IGNORE}) everywhere")
    elif image_id in data.labels:
        labelled = {mask_id(int(k)) for k in np.flatnonzero(data.labels[image_id])}
        if labelled and not shown:
            yield odd(mask.file, "the mask shows no class, but its image has labels")
            return
        if labelled - shown:
            names = data.names(labelled - shown)
            yield odd(mask.file, "the mask does not show a class of the labels", names)
        if shown - labelled:
            names = data.names(shown - labelled)
            yield odd(mask.file, "the mask shows a class that is not in the labels", names)


def _same(data: Inventory) -> Iterator[Fault]:
    """Pictures that are there twice, and ids both to train and to validate with."""
    named = data.splits_of()
    groups: dict[bytes, list[str]] = defaultdict(list)
    for image_id, image in data.images.items():
        sides = {_side(split) for split in named[image_id]}
        if sides >= {"train", "val"}:
            words = "the image is in a split to train and in one to validate with"
            yield odd(image.file, words, ", ".join(named[image_id]))
        if not image.error:
            groups[image.sha256].append(image_id)
    for ids in groups.values():
        if len(ids) > 1:
            yield from _twice(data, ids, named)
            yield from _leaks(data, ids, named)


def _twice(data: Inventory, ids: list[str], named: Mapping[str, list[str]]) -> Iterator[Fault]:
    """Of ids with the same picture, those that come after another one of their split."""
    first: dict[str, str] = {}
    for image_id in ids:
        before = [split for split in named[image_id] if split in first]
        if before:
            detail = f"as {first[before[0]]} in {', '.join(before)}"
            yield odd(data.images[image_id].file, "the picture is twice in a split", detail)
        for split in named[image_id]:
            first.setdefault(split, image_id)


def _leaks(data: Inventory, ids: list[str], named: Mapping[str, list[str]]) -> Iterator[Fault]:
    """Of ids with the same picture, those to validate with that others train on."""
    trained = [i for i in ids if "train" in map(_side, named[i])]
    for image_id in ids:
        other = next((i for i in trained if i != image_id), None)
        if other and "val" in map(_side, named[image_id]):
            words = "the picture to validate with is also trained on"
            yield odd(data.images[image_id].file, words, f"as {other}")


def _side(split: str) -> str:
    """What a split is for; one such as trainval is for neither, as it is both."""
    if split.startswith("val"):
        return "val"
    return "train" if split.startswith("train") and "val" not in split else ""


RULES = (_missing, _unnamed, _unlabelled, _images, _masks, _same)
