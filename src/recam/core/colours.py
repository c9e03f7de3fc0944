"""Distinct bright colours, by their distances in CIELAB."""

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8

STEP = 17  # of a channel: candidates have 16 levels a channel
DARKEST = 50.0  # lightness L*, 0 to 100; images below masks are darkened to at most 58
GREYS = np.arange(0, 256, 8, dtype=np.uint8).repeat(3).reshape(-1, 3)  # of images, and ignored
# IEC 61966-2-1: linear sRGB to XYZ under D65.
TO_XYZ = np.array(
    [
        (0.4124564, 0.3575761, 0.1804375),
        (0.2126729, 0.7151522, 0.0721750),
        (0.0193339, 0.1191920, 0.9503041),
    ]
)

Colours = UInt8[np.ndarray, "n 3"]


def lab_of(colours: Colours) -> Float[np.ndarray, "n 3"]:
    """CIELAB (L*, a*, b*) of sRGB colours, under D65 (CIE 15:2004, section 8.2.1)."""
    values = colours / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    relative = linear @ TO_XYZ.T / TO_XYZ.sum(axis=1)
    roots = np.where(
        relative > (6 / 29) ** 3, np.cbrt(relative), relative * (29 / 6) ** 2 / 3 + 4 / 29
    )
    x, y, z = roots.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def distinct_colours(
    first: Colours, *, avoided: UInt8[np.ndarray, "m 3"], count: int
) -> UInt8[np.ndarray, "count 3"]:
    """``count`` colours: ``first``, then the candidate farthest from all before it, and so on.

    Candidates have a lightness of at least ``DARKEST``. They also keep away from ``avoided`` and
    from greys. Fewer colours are the beginning of more.
    """
    candidates = _candidates()
    places = lab_of(candidates)
    taken = lab_of(np.concatenate([first, avoided, GREYS]))
    nearest = np.linalg.norm(places[:, None] - taken[None], axis=2).min(axis=1)
    chosen = list(first[:count])
    while len(chosen) < count:
        # Rounded, so that the last bits of a machine's roots decide nothing; ties: the darkest.
        best = int(nearest.round(3).argmax())
        chosen.append(candidates[best])
        nearest = np.minimum(nearest, np.linalg.norm(places - places[best], axis=1))
    return np.array(chosen, np.uint8).reshape(count, 3)


@cache
def _candidates() -> Colours:
    """All colours of sixteen levels a channel that are light enough."""
    levels = np.arange(0, 256, STEP, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    return colours[lab_of(colours)[:, 0] >= DARKEST]
