"""COCO's segmentations, polygons or run-length encodings (RLE), as pixels.

A polygon of fewer than three points covers nothing.
"""

from array import array
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as rasteriser

BinaryMask = Bool[np.ndarray, "H W"]


def covered(segmentation: object, height: int, width: int) -> BinaryMask:
    """The pixels of a segmentation. Raises ValueError for a malformed one."""
    if isinstance(segmentation, dict):
        return _covered_by_rle(segmentation, height, width)
    if isinstance(segmentation, list) and segmentation:
        return _covered_by_polygons(segmentation, height, width)
    raise ValueError(f"expected polygons or RLE, got {segmentation!r:.40}")


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
