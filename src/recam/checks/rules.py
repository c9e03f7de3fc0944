"""Validation of a data set folder before training.

Errors would stop training or make it learn nonsense. Warnings are unusual but may be intended.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from recam.checks.inventory import (
    ImageRecord,
    Inventory,
    file_of,
    side_of,
    take_inventory,
)
from recam.checks.labels import unlearnable_labels
from recam.checks.palettes import renumbered_palettes
from recam.checks.report import (
    Fault,
    Report,
    class_table,
    cooccurrence_table,
    split_table,
)
from recam.core.labels import BACKGROUND, IGNORE, mask_id
from recam.data.layout import CLASSES, IMAGES, LABELS
from recam.io.conversions import conversions
from recam.io.images import MASK_MODES
from recam.io.opening import has_image_suffix, is_hidden

SMALL = 32  # pixels; a shorter side leaves few cells after the network's strides
ELONGATED = 5  # aspect ratio, longer side over shorter side
GREY = {"1", "L", "LA", "La"}
PALETTE = {"P", "PA"}
NAMED = 10  # mask ids in a detail
NO_IDS = "the mask is no palette or grey image of class ids; export ids instead of colours"
BLACK_AND_WHITE = (
    f"masks hold only 0 and {IGNORE}, which is ignored; write objects as the number of their "
    "class, 1 for the first"
)


TURNED = "the image has an EXIF rotation and is turned upright; its mask must be upright, too"


def check_data(root: Path, *, more: Iterable[Fault] = ()) -> Report:
    """Check the tables and every image and mask of the splits of the data set folder ``root``.

    The report also lists the faults ``more``, found in the files from which it was made.

    Raises UserError only if no report is possible: classes.txt or labels.csv is missing or
    unreadable, or their classes differ.
    """
    data, faults = take_inventory(root)
    for rule in RULES:
        faults += rule(data)
    return _report(data, (*faults, *more))


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


def _missing(data: Inventory) -> Iterator[Fault]:
    """Ids of a split without an image, a row of labels or, in some cases, a mask."""
    for split, ids in data.splits.items():
        for image_id in ids:
            if image_id not in data.images:
                yield Fault.error(
                    file_of(split), "the split lists an image without a file", image_id
                )
            if image_id not in data.rows:
                yield Fault.error(
                    file_of(split),
                    "the split lists an image without a row in labels.csv",
                    image_id,
                )
        there = [image_id for image_id in ids if image_id in data.images]
        without = [image_id for image_id in there if image_id not in data.masks]
        if 0 < len(without) < len(there):
            detail = f"{len(without)} of {len(there)}, first: {without[0]}"
            yield Fault.warning(file_of(split), "some images of the split have no mask", detail)


def _unnamed(data: Inventory) -> Iterator[Fault]:
    """Images and rows in no split, and ids with two image files."""
    named = data.splits_of()
    files: dict[str, list[str]] = defaultdict(list)
    for name in data.files:
        if has_image_suffix(name) and not is_hidden(name):
            files[Path(name).stem].append(name)
    for image_id, names in files.items():
        if image_id not in named:
            yield from (
                Fault.warning(f"{IMAGES}/{name}", "the image is in no split") for name in names
            )
        elif len(names) > 1:
            yield Fault.error(f"{IMAGES}/{names[0]}", "another file has the same id", names[1])
    for image_id in sorted(data.rows.difference(named)):
        yield Fault.warning(LABELS, "the image of a row is in no split", image_id)


def _unlabelled(data: Inventory) -> Iterator[Fault]:
    """Images without labels, and classes without images."""
    for image_id, splits in data.splits_of().items():
        if image_id in data.images and not data.labels.get(image_id, np.ones(1)).any():
            file = data.images[image_id].file
            yield Fault.warning(file, "the image has no labels", f"in {', '.join(splits)}")
    anywhere = data.labels_of(data.splits_of()).any(axis=0)
    for name in np.array(data.classes)[~anywhere] if data.splits else ():
        yield Fault.warning(CLASSES, "no image of any split is labelled with the class", str(name))
    for split, ids in data.splits.items():
        missing = anywhere & ~data.labels_of(ids).any(axis=0)
        for name in np.array(data.classes)[missing] if ids else ():
            yield Fault.warning(
                file_of(split), "no image of the split is labelled with a class", str(name)
            )


def _images(data: Inventory) -> Iterator[Fault]:
    for image in data.images.values():
        if image.error:
            yield Fault.error(image.file, "the image cannot be read", image.error)
        else:
            yield from conversion_warnings(image)
            yield from _shape_warnings(image)


def conversion_warnings(image: ImageRecord) -> Iterator[Fault]:
    """Warnings about all that changes when an image becomes upright 8-bit RGB."""
    rgb = {
        "is grey": image.mode in GREY,
        "is CMYK": image.mode == "CMYK",
        "has a palette": image.mode in PALETTE,
    }
    for kind, found in rgb.items():
        if found:
            yield Fault.warning(image.file, f"the image {kind} and is converted to RGB")
    for kind in conversions(transparent=image.transparent, deep=image.deep, framed=image.framed):
        yield Fault.warning(image.file, kind)
    if image.turned:
        yield Fault.warning(image.file, TURNED)


def _shape_warnings(image: ImageRecord) -> Iterator[Fault]:
    shorter, longer = sorted(image.size)
    size = f"{image.size[0]} x {image.size[1]}"
    if shorter < SMALL:
        yield Fault.warning(image.file, f"the image has a side shorter than {SMALL} pixels", size)
    if longer > ELONGATED * shorter:
        yield Fault.warning(image.file, f"the image has an aspect ratio above {ELONGATED}", size)


def _black_and_white(data: Inventory) -> Iterator[Fault]:
    """Masks of editors that write objects as 255, although images are labelled."""
    masks = {i: mask for i, mask in data.masks.items() if mask.pixels}
    white = [mask.file for mask in masks.values() if set(mask.pixels) == {BACKGROUND, IGNORE}]
    is_labelled = any(i in data.labels and data.labels[i].any() for i in masks)
    if white and is_labelled and not any(set(m.pixels) - {0, IGNORE} for m in masks.values()):
        yield Fault.error(white[0], BLACK_AND_WHITE, f"{len(white)} of {len(masks)} masks")


def _masks(data: Inventory) -> Iterator[Fault]:
    for image_id, mask in data.masks.items():
        image = data.images.get(image_id)
        beyond = [i for i in mask.pixels if len(data.classes) < i < IGNORE]
        if mask.error:
            yield Fault.error(mask.file, "the mask cannot be read", mask.error)
        elif mask.mode not in MASK_MODES:
            yield Fault.error(mask.file, NO_IDS, f"mode {mask.mode}")
        elif image and not image.error and image.size != mask.size:
            (width, height), (w, h) = mask.size, image.size
            detail = f"mask {width} x {height}, image {w} x {h}"
            yield Fault.error(mask.file, "the mask and its image differ in size", detail)
        elif beyond:
            ids = ", ".join(map(str, beyond[:NAMED])) + ", ..." * (len(beyond) > NAMED)
            detail = f"{ids}; expected 0 to {len(data.classes)} or {IGNORE}"
            yield Fault.error(mask.file, "the mask has ids beyond the classes", detail)
        else:
            yield from _label_warnings(data, image_id, mask)


def _label_warnings(data: Inventory, image_id: str, mask: ImageRecord) -> Iterator[Fault]:
    """Differences between a mask and the labels of its image, if these are known."""
    shown = set(mask.pixels) - {BACKGROUND, IGNORE}
    if set(mask.pixels) == {IGNORE}:
        yield Fault.warning(mask.file, f"all pixels of the mask are ignored ({IGNORE})")
    elif image_id in data.labels:
        labelled = {mask_id(int(k)) for k in np.flatnonzero(data.labels[image_id])}
        if labelled and not shown:
            ids = " and ".join(map(str, mask.pixels))
            detail = f"only {ids}; expected 1 to {len(data.classes)} for the classes"
            yield Fault.warning(
                mask.file, "the mask shows no class although its image has labels", detail
            )
            return
        if labelled - shown:
            names = data.names(labelled - shown)
            yield Fault.warning(mask.file, "the mask does not show a labelled class", names)
        if shown - labelled:
            names = data.names(shown - labelled)
            yield Fault.warning(mask.file, "the mask shows a class without its label", names)


def _same(data: Inventory) -> Iterator[Fault]:
    """Identical files, and ids in both a training and a validation split."""
    named = data.splits_of()
    groups: dict[bytes, list[str]] = defaultdict(list)
    for image_id, image in data.images.items():
        sides = {side_of(split) for split in named[image_id]}
        if sides >= {"train", "val"}:
            words = "the image is in both a training and a validation split"
            yield Fault.warning(image.file, words, ", ".join(named[image_id]))
        if not image.error:
            groups[image.sha256].append(image_id)
    for ids in groups.values():
        if len(ids) > 1:
            yield from _twice(data, ids, named)
            yield from _leaks(data, ids, named)


def _twice(data: Inventory, ids: list[str], named: Mapping[str, list[str]]) -> Iterator[Fault]:
    """Ids of identical images that follow another one in the same split."""
    first: dict[str, str] = {}
    for image_id in ids:
        before = [split for split in named[image_id] if split in first]
        if before:
            detail = f"same as {first[before[0]]} in {', '.join(before)}"
            yield Fault.warning(
                data.images[image_id].file,
                "the image is a copy of another one in the same split",
                detail,
            )
        for split in named[image_id]:
            first.setdefault(split, image_id)


def _leaks(data: Inventory, ids: list[str], named: Mapping[str, list[str]]) -> Iterator[Fault]:
    """Ids of identical images in a validation split, if another one is in a training split."""
    trained = [i for i in ids if "train" in map(side_of, named[i])]
    for image_id in ids:
        other = next((i for i in trained if i != image_id), None)
        if other and "val" in map(side_of, named[image_id]):
            words = "the validation image is a copy of a training image"
            yield Fault.warning(data.images[image_id].file, words, f"same as {other}")


RULES = (
    _missing,
    _unnamed,
    _unlabelled,
    _images,
    _masks,
    _black_and_white,
    renumbered_palettes,
    _same,
    unlearnable_labels,
)
