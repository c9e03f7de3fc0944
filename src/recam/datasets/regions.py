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

A polygon of fewer than three points covers nothing.
"""

import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Bool, UInt8
from pycocotools import mask as rasteriser

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, mask_id
from recam.io.images import write_mask
from recam.runtime.progress import progress

CHUNK = 32  # images sent to a worker process at once

BinaryMask = Bool[np.ndarray, "H W"]
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


def covered(segmentation: object, height: int, width: int) -> BinaryMask:
    """The pixels of a segmentation. Raises ValueError for a malformed one."""
    if isinstance(segmentation, dict):
        return _covered_by_rle(segmentation, height, width)
    if isinstance(segmentation, list) and segmentation:
        return _covered_by_polygons(segmentation, height, width)
    raise ValueError(f"expected polygons or RLE, got {segmentation!r:.40}")


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


def _covered_by_polygons(polygons: list[Any], height: int, width: int) -> BinaryMask:
    """Union of the polygons. Raises ValueError for values that would crash the rasteriser."""
    size = np.array([width, height])
    for polygon in polygons:
        if not isinstance(polygon, array) or len(polygon) % 2:
            raise ValueError(
                f"expected each polygon as numbers x, y, x, y, ..., got {polygon!r:.40}"
            )
        from_centre = np.abs(np.reshape(polygon, (-1, 2)) - size / 2)
        if not (from_centre <= 1.5 * size).all():  # false for NaN and infinity, too
            raise ValueError(f"expected points within or near {width}x{height} pixels, got others")
    areas = [polygon for polygon in polygons if len(polygon) >= 6]
    if not areas:
        return np.zeros((height, width), dtype=bool)
    united = rasteriser.merge(rasteriser.frPyObjects(areas, height, width))
    counts = cast(bytes, united["counts"])  # pycocotools' stubs say str
    return _inside(_decompressed(counts.decode("ascii")), height, width)


def _covered_by_rle(rle: Mapping[str, Any], height: int, width: int) -> BinaryMask:
    """Pixels inside the runs. Raises ValueError unless the runs cover exactly the image."""
    runs, size = rle.get("counts"), rle.get("size")
    if size != [height, width]:
        raise ValueError(f"expected RLE of its image's size {[height, width]}, got {size!r:.40}")
    if isinstance(runs, str):
        runs = _decompressed(runs)
    if not isinstance(runs, list) or not all(isinstance(run, int) and run >= 0 for run in runs):
        raise ValueError(f"expected RLE counts of 0 or more, got {runs!r:.40}")
    if sum(runs) != height * width:
        raise ValueError(f"expected RLE counts of {height * width} pixels, got {sum(runs)}")
    return _inside(runs, height, width)


def _inside(runs: list[int], height: int, width: int) -> BinaryMask:
    """Decode alternating runs outside and inside the region, column by column."""
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def _decompressed(text: str) -> list[int]:
    """RLE counts of COCO's compressed text: five bits per character, lowest first.

    From the fourth number on, a number is the difference to the last but one count. Raises
    ValueError for invalid text.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 64:
            raise ValueError(f"expected compressed RLE counts, got {character!r} among them")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last character of a number; its highest bit is the sign
            value -= bits >> 4 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("expected complete compressed RLE counts, got truncated ones")
    return runs
