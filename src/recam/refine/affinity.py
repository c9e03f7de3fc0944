"""Affinities of cells by the features or the attention of a backbone; both need no training.

Axes: B images, n score maps, h w cells of a grid, N = h w, M landmarks, C channels.

Features: two cells are as affine as the cosine of their features exceeds the image's mean cosine.
Every cell takes the mean of all scores, weighted by affinity. The matrix has a low rank: scores and
features are averaged over landmarks, blocks of cells, so that it is N x M. The product of a cell
and a landmark is the mean of the cell's cosines in the block. Rows are computed in parts.

Attention: class-aware attention-based affinity (CAA) of Lin et al., "CLIP is Also an Efficient
Segmenter" (CLIP-ES), CVPR 2023.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from recam.core.localisation import component_boxes, covered_by
from recam.refine.interface import TINY
from recam.runtime.precision import to_float32

BLOCK = 2  # cells of a landmark's side, at least; finer ones were no better
MOST_LANDMARKS = 64  # on each side of the grid
MOST_WEIGHTS = 1 << 22  # of rows that are computed together: 16 MiB
EPSILON = 1e-6  # added to affinities: without any like cell a cell takes the mean of all
LEAST_RANGE = 1e-4  # of cosines above their mean; below it all cells are alike
ROUNDS = 3  # of Sinkhorn's normalisation; the authors' code


def joined(
    levels: list[Float[Tensor, "B _ _ _"]], *, size: tuple[int, int]
) -> Float[Tensor, "B C h w"]:
    """Levels on one grid; the product of two cells is the mean of the cosines of the levels."""
    unit = [functional.normalize(_resized(to_float32(level), size), dim=1) for level in levels]
    return torch.cat(unit, dim=1).div_(math.sqrt(len(levels)))


def feature_walk(
    scores: Float[Tensor, "B n h w"],
    features: Float[Tensor, "B C h w"],
    *,
    power: float,
    steps: int,
    block: int,
) -> Float[Tensor, "B n h w"]:
    """Scores after ``steps`` steps, at least 1, between cells of like features (of ``joined``).

    A step replaces a cell's score by the mean of all landmarks' scores, with weights proportional
    to max(0, cosine - mean cosine) to the power ``power``. All steps but the last are between
    landmarks of ``block`` x ``block`` cells; with blocks of one cell the matrix is dense. The
    result stays within the range of ``scores``.
    """
    walked = [
        _walk(own, seen, power=power, steps=steps, block=block)
        for own, seen in zip(scores, features, strict=True)
    ]
    return torch.stack(walked)


def block_for(height: int, width: int) -> int:
    """The side of landmarks on a grid of that size: at most 64 landmarks lie on a side."""
    return max(BLOCK, math.ceil(max(height, width) / MOST_LANDMARKS))


def _walk(
    scores: Float[Tensor, "n h w"],
    features: Float[Tensor, "C h w"],
    *,
    power: float,
    steps: int,
    block: int,
) -> Float[Tensor, "n h w"]:
    size = features.shape[1:]
    held, marks = (_landmarks(grid, block).flatten(1).T for grid in (scores, features))
    cells = features.flatten(1).T
    mean = cells.mean(dim=0).square().sum()  # of the cosines of all pairs
    for _ in range(steps - 1):
        held = _stepped(held, marks, marks, mean=mean, power=power)
    return _stepped(held, cells, marks, mean=mean, power=power).T.unflatten(1, size)


def _stepped(
    held: Float[Tensor, "M n"],
    cells: Float[Tensor, "N C"],
    marks: Float[Tensor, "M C"],
    *,
    mean: Tensor,
    power: float,
) -> Float[Tensor, "N n"]:
    """The scores of cells from those of landmarks, some rows of the matrix at a time."""
    rows = max(1, MOST_WEIGHTS // len(marks))
    found = [feature_weights(c, marks, mean=mean, power=power) @ held for c in cells.split(rows)]
    return torch.cat(found)


def feature_weights(
    cells: Float[Tensor, "N C"], marks: Float[Tensor, "M C"], *, mean: Tensor, power: float
) -> Float[Tensor, "N M"]:
    """Affinities of cells with landmarks; rows sum to 1. ``mean`` is the cosine of no affinity."""
    above = (cells @ marks.T).sub_(mean).div_((1 - mean).clamp(min=LEAST_RANGE))
    weights = above.clamp_(min=0).pow_(power).add_(EPSILON)
    return weights.div_(weights.sum(dim=1, keepdim=True))


def _landmarks(grid: Float[Tensor, "c h w"], block: int) -> Float[Tensor, "c y x"]:
    height, width = (math.ceil(length / block) for length in grid.shape[1:])
    return functional.adaptive_avg_pool2d(grid, (height, width))


def _resized(grid: Float[Tensor, "B c y x"], size: tuple[int, int]) -> Float[Tensor, "B c h w"]:
    """Averages of cells, or values between them where the grid is coarser."""
    if grid.shape[2] > size[0] or grid.shape[3] > size[1]:
        return functional.adaptive_avg_pool2d(grid, size)
    return functional.interpolate(grid, size=size, mode="bilinear")


def attention_weights(attention: Float[Tensor, "B N N"]) -> Float[Tensor, "B N N"]:
    """Affinities of patches from their attention D, normalised: (D + D^T) / 2."""
    balanced = sinkhorn(attention)
    return (balanced + balanced.mT).div_(2)


def sinkhorn(attention: Float[Tensor, "B N N"]) -> Float[Tensor, "B N N"]:
    """Columns, then rows, divided by their sums, in three rounds: rows sum to 1, columns nearly."""
    for _ in range(ROUNDS):
        attention = attention / attention.sum(dim=1, keepdim=True).clamp(min=TINY)
        attention.div_(attention.sum(dim=2, keepdim=True).clamp(min=TINY))
    return attention


def attended(
    scores: Float[Tensor, "B n h w"], weights: Float[Tensor, "B N N"], *, box: float
) -> Float[Tensor, "B n h w"]:
    """Scores of patches from those in the boxes of their map, each map over the range [0, 1].

    The authors square the matrix of ``weights``; here it is applied twice, which gives the same
    without a product of matrices. The boxes are those of the 8-connected parts of a map above
    ``box`` times its maximum (authors' code). A constant map becomes 0.
    """
    inside = (scores * _boxes(scores, box)).flatten(2)
    found = (inside @ weights.mT @ weights.mT).view_as(scores)
    found = found - found.amin(dim=(2, 3), keepdim=True)
    return found / found.amax(dim=(2, 3), keepdim=True).clamp(min=TINY)


def _boxes(scores: Float[Tensor, "B n h w"], box: float) -> Bool[Tensor, "B n h w"]:
    parts = scores > box * scores.amax(dim=(2, 3), keepdim=True)
    if parts.is_meta:  # only the sizes matter
        return parts
    size = (parts.shape[2], parts.shape[3])
    regions = parts.flatten(0, 1).cpu().numpy()
    covered = [torch.from_numpy(covered_by(component_boxes(part), size)) for part in regions]
    return torch.stack(covered).view_as(parts).to(scores.device)
