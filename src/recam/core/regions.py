"""Places of class names in the regions of a mask."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Integer, UInt8

MOST_OUTSIDE = 3  # widths of the region, at most, in that of its name

Box = tuple[float, float, float, float]  # left, top, right, bottom


def inner_distances(region: Bool[np.ndarray, "H W"]) -> Integer[np.ndarray, "H W"]:
    """City-block distances, in pixels, to the nearest pixel outside a region; 0 outside it.

    Pixels beyond the image are outside.
    """
    far = sum(region.shape) + 2
    distances = np.pad(np.where(region, np.int32(far), np.int32(0)), 1)
    for axis in (0, 1):  # the distance along an axis, after that along the other
        steps = np.arange(distances.shape[axis], dtype=np.int32)
        steps = steps[:, None] if axis == 0 else steps[None]
        forward = np.minimum.accumulate(distances - steps, axis=axis) + steps
        backward = np.flip(distances + steps, axis)
        backward = np.flip(np.minimum.accumulate(backward, axis=axis), axis) - steps
        distances = np.minimum(forward, backward)
    return distances[1:-1, 1:-1]


def inner_point(region: Bool[np.ndarray, "H W"]) -> tuple[int, int, int]:
    """Row and column of the pixel farthest from the outside of a region, and its distance.

    Of several such pixels, the one nearest to their mean. The region has at least one pixel.
    """
    distances = inner_distances(region)
    farthest = np.argwhere(distances == distances.max())
    nearest = ((farthest - farthest.mean(axis=0)) ** 2).sum(axis=1).argmin()
    row, column = farthest[nearest]
    return int(row), int(column), int(distances[row, column])


def placed_names(
    mask: UInt8[np.ndarray, "H W"], widths: Mapping[int, float], *, height: float
) -> dict[int, tuple[float, float]]:
    """The centres (x, y) of names in a mask, in pixels, by id: at the ``inner_point`` of the class.

    ``widths`` are those of the names. A name lies within the image and over no other name; the
    roomier region is named first. A region has no name if its width at that point is less than the
    ``height`` of the name or a third of the name's width.
    """
    points = {value: inner_point(mask == value) for value in widths if (mask == value).any()}
    taken: list[Box] = []
    places: dict[int, tuple[float, float]] = {}
    for value, (row, column, distance) in sorted(points.items(), key=lambda item: -item[1][2]):
        width = widths[value]
        if 2 * distance < max(height, width / MOST_OUTSIDE) or width > mask.shape[1]:
            continue
        x = min(max(column + 0.5, width / 2), mask.shape[1] - width / 2)
        y = min(max(row + 0.5, height / 2), mask.shape[0] - height / 2)
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        if not any(_overlap(box, other) for other in taken):
            taken.append(box)
            places[value] = (x, y)
    return places


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
