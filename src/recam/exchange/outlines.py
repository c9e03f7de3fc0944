"""Outlines of masks: polygons along the cracks between pixels.

A corner (x, y) is the upper left corner of the pixel in column x and row y, so a pixel covers
[x, x + 1] x [y, y + 1], and ``filled`` gives back the region of an outline to the pixel. An object
is a 4-connected component: pixels that share only a corner belong to two objects.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64

RIGHT, DOWN, LEFT, UP = range(4)
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # (x, y) of an edge by its direction

Region = Bool[np.ndarray, "H W"]
Ring = list[tuple[int, int]]  # corners x, y; the last one is joined to the first
Polygon = Float[np.ndarray, "n 2"]  # x, y in pixels


def objects_of(region: Region) -> list[Ring]:
    """One ring around each object, from the top; clockwise on the screen.

    Holes are joined to the outer ring by a slit, walked back and forth along cracks, since the
    polygons of COCO and labelme have no holes. ``filled`` is not changed by slits.
    """
    rings = list(_rings(region))
    outer = [ring for ring in rings if doubled_area(ring) > 0]
    owners = _innermost(outer, region.shape)
    holes: list[list[Ring]] = [[] for _ in outer]
    for ring in rings:
        if doubled_area(ring) < 0:
            holes[owners[_pixel_beside(ring)]].append(ring)
    return [_with_slits(ring, inner) for ring, inner in zip(outer, holes, strict=True)]


def doubled_area(ring: Ring) -> int:
    """Twice the signed area of a ring in pixels: positive clockwise, as around an object."""
    after = [*ring[1:], ring[0]]
    return sum(x * v - u * y for (x, y), (u, v) in zip(ring, after, strict=True))


def box_of(ring: Ring) -> tuple[int, int, int, int]:
    """The bounding box x_min, y_min, x_max, y_max of a ring."""
    x, y = zip(*ring, strict=True)
    return min(x), min(y), max(x), max(y)


def filled(polygons: Iterable[Polygon], size: tuple[int, int]) -> Region:
    """The pixels of an image of ``size`` (H, W) whose centres lie inside, by the even-odd rule.

    A centre on an edge counts to the region at its right. Parts outside the image are cut off.
    """
    height, width = size
    flips = np.zeros((height, width + 1), dtype=bool)
    for polygon in polygons:
        for (x, y), (u, v) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            low, high = sorted((float(y), float(v)))
            rows = np.arange(*(int(np.clip(np.ceil(end - 0.5), 0, height)) for end in (low, high)))
            if len(rows):
                crossed = x + (rows + 0.5 - y) * (u - x) / (v - y)
                first = np.clip(np.ceil(crossed - 0.5), 0, width).astype(int)
                flips[rows, first] ^= True
    return np.logical_xor.accumulate(flips, axis=1)[:, :width]


def _rings(region: Region) -> Iterator[Ring]:
    """All cracks between inside and outside as rings of corners, with the inside at their right."""
    height, width = region.shape
    inside = np.pad(region, 1)
    core, above = inside[1:-1, 1:-1], inside[:-2, 1:-1]
    below, before, after = inside[2:, 1:-1], inside[1:-1, :-2], inside[1:-1, 2:]
    leaves = np.zeros((4, height + 1, width + 1), dtype=bool)  # whether an edge leaves a corner
    leaves[RIGHT, :-1, :-1] = core & ~above
    leaves[DOWN, :-1, 1:] = core & ~after
    leaves[LEFT, 1:, 1:] = core & ~below
    leaves[UP, 1:, :-1] = core & ~before
    left = dict.fromkeys(
        (int(y), int(x), int(d)) for y, x, d in np.argwhere(leaves.transpose(1, 2, 0))
    )
    while left:
        yield _ring(next(iter(left)), left)


def _ring(start: tuple[int, int, int], left: dict[tuple[int, int, int], None]) -> Ring:
    """Follow the cracks from an edge back to it, and take them out of ``left``.

    At a corner of two diagonal pixels the walk turns right, so it stays at the same pixel.
    """
    ring: Ring = []
    y, x, direction = start
    while (y, x, direction) in left:
        del left[y, x, direction]
        step_x, step_y = STEPS[direction]
        x, y = x + step_x, y + step_y
        turns = ((direction + turn) % 4 for turn in (1, 0, 3))
        after = next((d for d in turns if (y, x, d) in left), None)
        after = start[2] if after is None else after
        if after != direction:
            ring.append((x, y))
        direction = after
    return ring


def _innermost(outer: Sequence[Ring], size: tuple[int, ...]) -> Int64[np.ndarray, "H W"]:
    """The index of the smallest of the outer rings around each pixel."""
    owners = np.zeros(size, np.int64)
    for index in sorted(range(len(outer)), key=lambda i: -doubled_area(outer[i])):
        x_min, y_min, x_max, y_max = box_of(outer[index])
        inside = filled(
            [np.array(outer[index], float) - (x_min, y_min)], (y_max - y_min, x_max - x_min)
        )
        owners[y_min:y_max, x_min:x_max][inside] = index
    return owners


def _pixel_beside(hole: Ring) -> tuple[int, int]:
    """The row and column of a pixel of the object around a hole."""
    (x, y), (u, v) = hole[0], hole[1]
    if y == v:  # to the right, the pixel below belongs to the object; to the left, that above
        return (y, x) if u > x else (y - 1, x - 1)
    return (y, x - 1) if v > y else (y - 1, x)


def _with_slits(ring: Ring, holes: list[Ring]) -> Ring:
    """Join every hole to the ring, from its leftmost corner to the next edge at its left."""
    for hole in sorted(holes, key=min):
        start = hole.index(min(hole))
        x, y = hole[start]
        position, gate = _edge_at_left(ring, x, y)
        turned = [*hole[start:], *hole[:start], (x, y)]
        ring = [*ring[: position + 1], gate, *turned, gate, *ring[position + 1 :]]
    return ring


def _edge_at_left(ring: Ring, x: int, y: int) -> tuple[int, tuple[int, int]]:
    """The position of the next edge of a ring at the left of (x, y), and its point in row y."""
    after = [*ring[1:], ring[0]]
    edges = [
        (a, position)
        for position, ((a, b), (c, d)) in enumerate(zip(ring, after, strict=True))
        if a == c and a <= x and min(b, d) <= y <= max(b, d)
    ]
    nearest, position = max(edges)
    return position, (nearest, y)
