"""Masks from COCO's annotated regions, which are polygons or run-length encodings (RLE).

In a mask 0 is background, class index + 1 an object and 255 ignored. Regions are drawn one after
another, later ones over earlier ones. Two rules give their order:

``by_area``
    Crowd regions first, as 255; then all other objects by descending ``area``, then by ascending
    annotation id. Small objects are thus on top, and a crowd is ignored only where no object
    covers it.
``published``
    The order of the annotation file. A crowd is drawn as an object of its class, and no pixel is
    ignored (masks of the authors' code).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, mask_id
from recam.data.segmentations import covered
from recam.io.images import write_mask
from recam.runtime.progress import progress

CHUNK = 32  # images sent to a worker process at once

MaskRule = Literal["by_area", "published"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """An annotation: one object, or a crowd of objects."""

    annotation: int  # id
    class_index: int
    crowd: bool
    area: float  # in pixels, as annotated
    segmentation: object  # list of polygons, arrays x, y, x, y, ...; or RLE; not validated


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedImage:
    """An image and its annotated regions."""

    id: str
    height: int
    width: int
    regions: list[Region]  # in the order of the annotation file
    source: Path  # annotation file, for messages


def write_masks(
    images: Sequence[AnnotatedImage], folder: Path, *, workers: int, rule: MaskRule = "by_area"
) -> None:
    """Draw the masks missing from ``folder``, as ``<id>.png``, each written atomically.

    ``workers=1`` starts no process. Raises UserError as ``draw_mask`` does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = {file.name for file in folder.iterdir()}
    left = [image for image in images if f"{image.id}.png" not in there]
    drawn = _drawn(left, partial(_write_mask, folder=folder, rule=rule), workers=workers)
    for _ in progress(drawn, total=len(left), what="draw masks", unit="image"):
        pass


def draw_mask(image: AnnotatedImage, *, rule: MaskRule = "by_area") -> UInt8[np.ndarray, "H W"]:
    """Draw the mask of an image by one of the rules above, uint8 (H, W).

    Raises UserError for a malformed segmentation.
    """
    mask = np.full((image.height, image.width), BACKGROUND, dtype=np.uint8, order="F")
    for region in _ordered(image.regions, rule):
        try:
            inside = covered(region.segmentation, image.height, image.width)
        except ValueError as error:
            raise UserError(
                f"{image.source}: annotation {region.annotation} of {image.id}: {error}; "
                "download the annotations again"
            ) from error
        ignored = region.crowd and rule == "by_area"
        mask[inside] = IGNORE if ignored else mask_id(region.class_index)
    return mask


def _ordered(regions: list[Region], rule: MaskRule) -> list[Region]:
    if rule == "published":
        return regions
    return sorted(regions, key=lambda r: (not r.crowd, -r.area, r.annotation))


def _drawn(
    images: Sequence[AnnotatedImage], write: Callable[[AnnotatedImage], None], *, workers: int
) -> Iterator[None]:
    if workers == 1:
        yield from map(write, images)
        return
    # Not forked: locks held by other threads would never be released in the worker.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as pool:
        yield from pool.map(write, images, chunksize=CHUNK)


def _end_with_parent() -> None:
    """Exit when the parent process dies; the pool would otherwise wait for work forever."""

    def watch() -> None:
        if parent := parent_process():
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def _write_mask(image: AnnotatedImage, *, folder: Path, rule: MaskRule) -> None:
    write_mask(folder / f"{image.id}.png", draw_mask(image, rule=rule))
