"""COCO's run-length encoding (RLE) of a region: column by column, runs outside and inside."""

import numpy as np
from jaxtyping import Bool

Region = Bool[np.ndarray, "H W"]


def run_lengths(region: Region) -> list[int]:
    """Lengths of alternating runs outside and inside; the first may be 0."""
    pixels = region.T.ravel()
    changes = np.flatnonzero(np.diff(pixels)) + 1
    lengths = np.diff(np.concatenate([[0], changes, [len(pixels)]])).tolist()
    return [0, *lengths] if len(pixels) and pixels[0] else lengths


def compressed(lengths: list[int]) -> str:
    """The lengths as COCO's text: five bits per character, lowest first.

    From the fourth length on, a number is the difference to the last but one length.
    """
    text: list[str] = []
    for place, length in enumerate(lengths):
        number = length - lengths[place - 2] if place > 2 else length
        while True:
            bits, number = number & 31, number >> 5
            is_last = number == (-1 if bits & 16 else 0)
            text.append(chr(ord("0") + (bits if is_last else bits | 32)))
            if is_last:
                break
    return "".join(text)
