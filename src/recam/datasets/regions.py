"""Annotated regions of an image, polygons or runs of pixels, drawn as a mask: COCO's format.

The rule. Of a mask's pixels 0 is background, class index + 1 an object, 255 ignored:

1. Crowd regions first, as 255.
2. All other objects over them, from the largest ``area`` to the smallest, of equal ones the smaller
   annotation id first. So small objects lie on top, and a crowd counts only where none covers it.

A polygon of fewer than three points covers nothing.
"""

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, UInt8
from pycocotools import mask as rasteriser

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, mask_id
from recam.io.images import write_mask
from recam.runtime.progress import progress

PICTURES_AT_ONCE = 32  # that a process is sent

Pixels = Bool[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """An annotation: one object, or a crowd of them."""

    annotation: int
    class_index: int
    crowd: bool
    area: float  # as annotated
    segmentation: object  # polygons as a list of arrays x, y, x, y, ..., or RLE; maybe malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image, and all that is annotated in it."""

    id: str
    height: int
    width: int
    regions: list[Region]
    source: Path  # the file that lists it, for messages


def write_masks(pictures: Sequence[Picture], folder: Path, *, workers: int) -> None:
    """Draw the masks that ``folder`` has not yet, as ``<id>.png``, each written in one move.

    ``workers=1`` starts no process. Raises UserError as ``draw_mask`` does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = {file.name for file in folder.iterdir()}
    left = [picture for picture in pictures if f"{picture.id}.png" not in there]
    drawn = _drawn(left, folder, workers=workers)
    for _ in progress(drawn, total=len(left), what="draw masks", unit="image"):
        pass


def draw_mask(picture: Picture) -> UInt8[np.ndarray, "H W"]:
    """Give the mask of an image by the module's rule.

    Raises UserError, naming the annotation, for a segmentation that is malformed.
    """
    mask = np.full((picture.height, picture.width), BACKGROUND, dtype=np.uint8, order="F")
    for region in sorted(picture.regions, key=lambda r: (not r.crowd, -r.area, r.annotation)):
        try:
            covered = _covered(region.segmentation, picture.height, picture.width)
        except ValueError as error:
            raise UserError(
                f"{picture.source}: annotation {region.annotation} of {picture.id}: {error}; "
                "get the annotations anew"
            ) from error
        mask[covered] = IGNORE if region.crowd else mask_id(region.class_index)
    return mask


def _drawn(pictures: Sequence[Picture], folder: Path, *, workers: int) -> Iterator[None]:
    write = partial(_write_mask, folder=folder)
    if workers == 1:
        yield from map(write, pictures)
        return
    # Not forked: locks that other threads of this process hold would stay locked for ever.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as pool:
        yield from pool.map(write, pictures, chunksize=PICTURES_AT_ONCE)


def _end_with_parent() -> None:
    """Let this process not wait for work for ever where the one that started it was killed."""

    def watch() -> None:
        if parent := parent_process():
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def _write_mask(picture: Picture, *, folder: Path) -> None:
    write_mask(folder / f"{picture.id}.png", draw_mask(picture))


def _covered(segmentation: object, height: int, width: int) -> Pixels:
    if isinstance(segmentation, dict):
        return _covered_by_rle(segmentation, height, width)
    if isinstance(segmentation, list) and segmentation:
        return _covered_by_polygons(segmentation, height, width)
    raise ValueError(f"expected polygons or RLE, got {segmentation!r:.40}")


def _covered_by_polygons(polygons: list[Any], height: int, width: int) -> Pixels:
    """Their union. Raises ValueError for what would crash the rasteriser, and the like."""
    size = np.array([width, height])
    for polygon in polygons:
        if not isinstance(polygon, array) or len(polygon) % 2:
            raise ValueError(
                f"expected each polygon as numbers x, y, x, y, ..., got {polygon!r:.40}"
            )
        from_centre = np.abs(np.reshape(polygon, (-1, 2)) - size / 2)
        if not (from_centre <= 1.5 * size).all():  # which neither NaN nor infinity is
            raise ValueError(f"expected points within or close to {width}x{height} pixels")
    areas = [polygon for polygon in polygons if len(polygon) >= 6]
    if not areas:
        return np.zeros((height, width), dtype=bool)
    united = rasteriser.merge(rasteriser.frPyObjects(areas, height, width))
    counts = cast(bytes, united["counts"])  # its stubs say str
    return _inside(_decompressed(counts.decode("ascii")), height, width)


def _covered_by_rle(rle: Mapping[str, Any], height: int, width: int) -> Pixels:
    """Raise ValueError where its runs are not the image's pixels, all of them."""
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


def _inside(runs: list[int], height: int, width: int) -> Pixels:
    """Column by column: so many pixels outside, so many inside, so many outside, ..."""
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def _decompressed(text: str) -> list[int]:
    """RLE counts of a text that has five bits of a number in a character, the lowest first.

    From the fourth number on they are differences to the last but one. Raises ValueError.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 64:
            raise ValueError(f"expected compressed RLE counts, got {character!r} among them")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the number's last character, whose highest bit is the sign
            value -= bits >> 4 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("expected compressed RLE counts, but they break off")
    return runs
