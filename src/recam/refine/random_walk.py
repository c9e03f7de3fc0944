"""The random walk of IRN: scores propagate over the image and stop at edges.

Ahn, Cho & Kwak, CVPR 2019, section 5.2: with affinities A between neighbours (a pixel's own is 1)
one step takes the mean of the neighbours' scores weighted by A to the power beta, and the walk
takes 2^8 steps. The authors square the dense matrix of all pairs of pixels eight times: for an
image of 480 x 640 pixels it has 1.4 GiB. Here each step is sparse, over neighbours only, and fewer
steps suffice: a walk of t steps is a mixture of Chebyshev polynomials of one step. The weight of
T_k is the probability that the numbers of heads and tails in t coin flips differ by k, which is
negligible for large k (Sachdeva & Vishnoi, "Faster Algorithms via Approximation Theory", 2014,
theorem 3.3).
"""

from dataclasses import dataclass
from math import comb

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from recam.refine.affinities import STRIDE, grid_affinities, pair_offsets
from recam.refine.interface import TINY

NEGLIGIBLE = 1e-6  # total weight of the omitted polynomials
BYTES = 4  # of a float32
EDGE_COPIES = 8  # grids of edges, paths and sums held at once, besides the weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The parameters of IRN's random walk."""

    radius: int  # cells of 4 pixels
    power: float  # beta, of affinities
    steps: int
    cams_power: float = 1.0  # of scores, before the first step


def random_walk(
    scores: Float[Tensor, "B n h w"],
    edges: Float[Tensor, "B h w"],
    *,
    radius: int,
    power: float,
    steps: int,
) -> Float[Tensor, "B n h w"]:
    """Scores, multiplied by 1 - edge, after ``steps`` steps of the walk.

    Neighbours are nearer than ``radius`` cells; ``power`` is beta. Up to rounding, non-negative
    scores stay non-negative and none exceeds the largest input.
    """
    weights = transition_weights(edges, radius=radius, power=power)
    offsets = _all_offsets(radius)
    before, current = scores * (1 - edges[:, None]), scores
    walked = torch.zeros_like(scores)
    for order, share in enumerate(chebyshev_shares(steps)):
        if order == 0:
            current = before
        elif order == 1:
            current = _step(before, weights, offsets, radius=radius)
        else:
            following = 2 * _step(current, weights, offsets, radius=radius) - before
            before, current = current, following
        if share:
            walked.add_(current, alpha=share)
    return walked


def walked(
    scores: Float[Tensor, "B n H W"],
    edges: Float[Tensor, "B h w"],
    *,
    radius: int,
    power: float,
    steps: int,
    cams_power: float = 1.0,
) -> Float[Tensor, "B n H W"]:
    """Scores of pixels after the random walk on the coarser grid of ``edges``, in [0, 1].

    A cell's score is the mean over its pixels, to the power ``cams_power``; afterwards pixels are
    interpolated between cells. The largest score of each image becomes 1 (authors' code); an image
    of zeros stays zero.
    """
    size = scores.shape[2:]
    cells = functional.adaptive_avg_pool2d(scores, (edges.shape[1], edges.shape[2]))
    cells = random_walk(cells**cams_power, edges, radius=radius, power=power, steps=steps).clamp(
        min=0
    )
    # By the stride, not to the size: the last cells may extend beyond the image.
    fine = functional.interpolate(cells, scale_factor=float(STRIDE), mode="bilinear")
    fine = fine[:, :, : size[0], : size[1]]
    return fine / fine.amax(dim=(1, 2, 3), keepdim=True).clamp(min=TINY)


def transition_weights(
    edges: Float[Tensor, "B h w"], *, radius: int, power: float
) -> Float[Tensor, "B offsets h w"]:
    """The weights of a pixel and of its neighbours within ``radius`` in one step of the walk.

    Every pixel's weights sum to 1. The order: the pixel, ``pair_offsets``, their opposites.
    """
    affinities = grid_affinities(edges, radius=radius).pow_(power)
    weights = torch.cat(
        [torch.ones_like(edges)[:, None], affinities, torch.zeros_like(affinities)], dim=1
    )
    count = affinities.shape[1]
    height, width = edges.shape[1:]
    for index, (dy, dx) in enumerate(pair_offsets(radius)):
        # Affinity is symmetric: the neighbour's weight for the pixel is the same.
        there = slice(dy, height), slice(max(0, dx), min(width, width + dx))
        here = slice(0, height - dy), slice(max(0, -dx), min(width, width - dx))
        weights[:, 1 + count + index, *there] = affinities[:, index, *here]
    # In double precision: an error in the sum would enter each of 256 steps. One by one, since
    # torch would first copy all weights in double precision.
    total = torch.zeros_like(edges, dtype=torch.float64)
    for weight in weights.unbind(1):
        total += weight
    return weights.div_(total.to(weights.dtype)[:, None])


def chebyshev_shares(steps: int) -> list[float]:
    """The weights of the Chebyshev polynomials T_0, T_1, ... in x^steps.

    The weight of T_k is the probability that the numbers of heads and tails in ``steps`` coin flips
    differ by k. The list ends as soon as the omitted weights sum to at most 1e-6.
    """
    shares = [0.0] * (steps + 1)
    for heads in range(steps + 1):
        shares[abs(2 * heads - steps)] += comb(steps, heads) / 2**steps
    left = 1.0
    for order, share in enumerate(shares):
        left -= share
        if left <= NEGLIGIBLE:
            return shares[: order + 1]
    return shares


def walk_bytes(height: int, width: int, *, num_scores: int, radius: int) -> int:
    """The most bytes that the walk takes for one grid of height x width cells."""
    return BYTES * height * width * (2 * len(_all_offsets(radius)) + EDGE_COPIES + 5 * num_scores)


def _all_offsets(radius: int) -> list[tuple[int, int]]:
    half = pair_offsets(radius)
    return [(0, 0), *half, *((-dy, -dx) for dy, dx in half)]


def _step(
    scores: Tensor, weights: Tensor, offsets: list[tuple[int, int]], *, radius: int
) -> Float[Tensor, "B n h w"]:
    margin = radius - 1
    height, width = scores.shape[2:]
    padded = functional.pad(scores, (margin,) * 4)
    stepped = torch.zeros_like(scores)
    for (dy, dx), weight in zip(offsets, weights.unbind(1), strict=True):
        top, left = margin + dy, margin + dx
        neighbours = padded[:, :, top : top + height, left : left + width]
        stepped.addcmul_(weight[:, None], neighbours)
    return stepped
