"""Pixel-adaptive refinement (PAMR): scores propagate between neighbours of similar colour.

PAMR of Araslanov & Roth, "Single-Stage Semantic Segmentation from Image Labels", CVPR 2020,
section 3.3: a pixel's new score is the mean of its neighbours' scores, weighted by a softmax of
-|I_i - I_j| / (0.1 sigma_i), where sigma_i is the standard deviation of the colours around i (the
authors' code; their equation 5 writes sigma squared and no 0.1). Weights of a pixel sum to 1, so a
constant background score is unchanged and thresholds can be chosen after refinement.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

SHARPNESS = 0.1  # factor on sigma, from the authors' code
EPSILON = 1e-8  # keeps the quotient finite where all colours around a pixel are equal

Offset = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pamr:
    """The parameters of PAMR: distances of neighbours, in pixels, and iterations."""

    dilations: tuple[int, ...]
    iterations: int


def pamr(
    scores: Float[Tensor, "B n H W"],
    pixels: Float[Tensor, "B 3 H W"],
    *,
    dilations: tuple[int, ...],
    iterations: int,
) -> Float[Tensor, "B n H W"]:
    """Refine score maps, of any finite range, by the colours of their image.

    The neighbours of a pixel are the eight at each distance in ``dilations`` (pixels); the image is
    padded by its border pixels. The result stays within the range of ``scores``.
    """
    ring = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    offsets = [(d * dy, d * dx) for d in dilations for dy, dx in ring]
    margin = max(dilations)
    weights = _affinities(pixels, offsets, dilations=dilations, margin=margin)
    for _ in range(iterations):
        padded = _padded(scores, margin)
        refined = torch.zeros_like(scores)
        for weight, offset in zip(weights.unbind(1), offsets, strict=True):
            refined.addcmul_(weight[:, None], _shifted(padded, offset, margin))
        scores = refined
    return scores


def _affinities(
    pixels: Tensor, offsets: list[Offset], *, dilations: tuple[int, ...], margin: int
) -> Float[Tensor, "B offsets H W"]:
    padded = _padded(pixels, margin)
    neighbours = torch.stack([_shifted(padded, offset, margin) for offset in offsets], dim=1)
    centres = pixels[:, None].expand(-1, len(dilations), -1, -1, -1)  # one for each distance
    sigma = torch.cat([neighbours, centres], dim=1).std(dim=1, keepdim=True)
    likeness = -(neighbours - pixels[:, None]).abs() / (SHARPNESS * sigma + EPSILON)
    return likeness.mean(dim=2).softmax(dim=1)


def _padded(grid: Tensor, margin: int) -> Tensor:
    return functional.pad(grid, (margin,) * 4, mode="replicate")


def _shifted(padded: Tensor, offset: Offset, margin: int) -> Tensor:
    """The grid moved by ``offset``: a view without a copy."""
    dy, dx = offset
    height, width = (length - 2 * margin for length in padded.shape[2:])
    return padded[:, :, margin + dy : margin + dy + height, margin + dx : margin + dx + width]
