"""Annotated images of another tool, before they are written as a folder of the project."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, MAX_CLASSES, mask_id
from recam.core.names import (
    clean_id,
    clean_name,
    is_background,
    quoted,
    reason_no_class,
    reason_no_id,
    reason_unfit,
)

Mask = UInt8[np.ndarray, "H W"]
Box = tuple[str, float, float, float, float]  # class, x_min, y_min, x_max, y_max
RESERVED = {"id", "labels"}  # columns of labels.csv with another meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An image with its labels, and its mask and boxes if the tool has them."""

    id: str
    image: Path | bytes  # the file, or the content of one
    labels: frozenset[str]
    # Draws the mask, with the ids of Found.classes, for an image of the given (height, width).
    mask: Callable[[tuple[int, int]], Mask] | None = None
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything that is read from a source. Splits are empty if the source has none."""

    format: str  # its name, for messages
    classes: tuple[str, ...]
    items: Sequence[Item]
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    notes: Sequence[str] = ()  # a line for each kind of content that is not used


def noted(kind: str, places: Sequence[object]) -> str:
    """A note on one kind of content, with its number and the first place."""
    return f"{kind}: {len(places):,}, first: {places[0]}"


def class_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Cleaned names without those of background and of ignored pixels; each once, in order.

    Raises UserError for no class, for too many, and for names that ``labels.csv`` cannot hold.
    """
    cleaned = list(dict.fromkeys(map(clean_name, names)))
    for name in cleaned:
        if reason := reason_unfit(name) or ("is empty" if not name else ""):
            raise UserError(f"{where}: the class name {quoted(name)} {reason}; rename the class")
    classes = tuple(name for name in cleaned if not is_no_class(name))
    if reserved := [name for name in classes if name.casefold() in RESERVED]:
        raise UserError(
            f"{where}: class {quoted(reserved[0])} is a column of labels.csv; rename it"
        )
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise UserError(
            f"{where}: expected 1 to {MAX_CLASSES} classes, got {len(classes)}; annotate objects, "
            "or merge classes"
        )
    return classes


def is_no_class(name: str) -> bool:
    """Whether a name stands for the background or for ignored pixels."""
    return bool(reason_no_class(clean_name(name)))


def id_in_mask(name: str, classes: Sequence[str]) -> int:
    """The mask id of a name: 0 background, 255 words for ignored pixels, else that of its class."""
    cleaned = clean_name(name)
    if is_background(cleaned):
        return BACKGROUND
    return IGNORE if is_no_class(cleaned) else mask_id(list(classes).index(cleaned))


def id_of_path(path: str, where: str) -> str:
    """An image id from a path without ending; the names of its folders are joined by ``_``."""
    image_id = clean_id("_".join(part for part in path.split("/") if part not in ("", ".")))
    if reason := reason_no_id(image_id) or ("is empty" if not image_id else ""):
        raise UserError(f"{where}: the image id {quoted(image_id)} {reason}; rename the file")
    return image_id


def unique_ids(images: Sequence[tuple[Path, Sequence[str]]]) -> list[str]:
    """The first of its names that is unique for each image, or the last one.

    All images have the same number of names. Raises UserError for an id that two images would get.
    """
    counts = [Counter(names) for names in zip(*(names for _, names in images), strict=True)]
    ids: dict[str, Path] = {}
    for path, names in images:
        free = (name for name, count in zip(names, counts, strict=True) if count[name] == 1)
        image_id = id_of_path(next(free, names[-1]), str(path))
        if image_id in ids:
            raise UserError(
                f"{path}: would get the id {quoted(image_id)} of {ids[image_id]}; rename one"
            )
        ids[image_id] = path
    return list(ids)


def require_size(where: str, *, annotated: tuple[int, int], image: tuple[int, int]) -> None:
    """Raise UserError unless annotations are made for the (height, width) of their image."""
    if annotated != image:
        turned = annotated == image[::-1]
        hint = ", as before the EXIF rotation; save it upright" if turned else "; make them agree"
        raise UserError(
            f"{where}: annotations are for {annotated[1]}x{annotated[0]} pixels, the upright image "
            f"has {image[1]}x{image[0]}{hint}"
        )


def clipped(name: str, corners: Sequence[float], size: tuple[int, int]) -> Box | None:
    """A box cut to an image of ``size`` (H, W); None if nothing is left."""
    height, width = size
    x_min, y_min, x_max, y_max = corners
    x_min, x_max = (min(max(float(x), 0.0), float(width)) for x in (x_min, x_max))
    y_min, y_max = (min(max(float(y), 0.0), float(height)) for y in (y_min, y_max))
    return (name, x_min, y_min, x_max, y_max) if x_min < x_max and y_min < y_max else None
