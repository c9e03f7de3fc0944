"""Gaussian filters: every point's sum over all points j of exp(-|f_i - f_j|^2 / 2) v_j.

Three ways to the same sums, all linear in the values and alike on CPU and GPU: every pair of points
(exact, few points), a grid's rows and columns (exact, features are the pixels' places), and the
permutohedral lattice (approximate, any number of points, few feature dimensions).

Points come in B clouds of n, the pixels of B images; a point sees those of its own cloud alone.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

REACH = 5  # standard deviations; farther away a weight is below exp(-12.5), 4e-6
TILE = 64  # pixels of a row in one matrix product


class AllPairs:
    """The exact sums. Holds B x n x n weights: 4 bytes each, 340 MB for 96 x 96 pixels."""

    def __init__(self, features: Float[Tensor, "B d n"]):
        points = features.transpose(1, 2).contiguous()
        # Explicit differences: the faster way by products loses digits for points that are close.
        distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        self.weights = distances.square_().mul_(-0.5).exp_()

    def __call__(self, values: Float[Tensor, "B n c"]) -> Float[Tensor, "B n c"]:
        """The sum at every point, of every column of values."""
        return self.weights @ values


class Grid:
    """The exact sums for features that are a pixel's column and row over ``sigma`` (pixels)."""

    def __init__(self, height: int, width: int, *, sigma: float, device: torch.device):
        self.shape = (height, width)
        reaches = (min(math.ceil(REACH * sigma), length - 1) for length in (width, height))
        self.bands = [_band(reach, sigma=sigma).to(device) for reach in reaches]

    def __call__(self, values: Float[Tensor, "B n c"]) -> Float[Tensor, "B n c"]:
        """The sum at every pixel, for every column of ``values``; pixels are ordered row by row."""
        clouds, pixels, columns = values.shape
        rows = values.transpose(1, 2).reshape(-1, *self.shape)
        for band in self.bands:
            rows = _filtered_rows(rows, band).transpose(1, 2)
        return rows.reshape(clouds, columns, pixels).transpose(1, 2)


class Lattice:
    """The sums by the permutohedral lattice of Adams, Baek & Davis, Eurographics 2010, section 3.

    A point's value is shared among the d + 1 vertices of the simplex around it, vertices exchange
    values with their neighbours along d + 1 directions, and the point collects the values of its
    vertices. The sums are exact up to a factor that all points share and an approximation error.

    Only vertices around a point are kept, as published. Values do not pass through the holes
    between them, which is the main approximation error.

    Time and memory are proportional to the number of points, d squared and the columns of values:
    about 220 MB for a photograph of 480 x 640 pixels, d = 5 and 3 columns.
    """

    def __init__(self, features: Float[Tensor, "B d n"]):
        clouds, dims, points = features.shape
        number = clouds * points
        codes, weights, steps = _simplices(features.transpose(0, 1).flatten(1), clouds=clouds)
        codes, order = codes.flatten().sort(stable=True)
        vertices, owners, counts = torch.unique_consecutive(
            codes, return_inverse=True, return_counts=True
        )
        self.members = (order % number).int()  # points of the first vertex, of the second, ...
        self.member_weights = weights.flatten()[order]
        # The first member of each vertex; the last vertex stands for a hole and has no member.
        self.starts = functional.pad(counts.cumsum(0), (1, 0)).int()
        simplices = torch.empty_like(order).scatter_(0, order, owners)
        self.simplices = simplices.view(dims + 1, number).T.int().contiguous()
        self.weights = weights.T.contiguous()
        self.neighbours = [_neighbours(vertices, step) for step in steps]

    def __call__(self, values: Float[Tensor, "B n c"]) -> Float[Tensor, "B n c"]:
        """The sum at every point, of every column of values."""
        held = functional.embedding_bag(
            self.members,
            values.flatten(0, 1).contiguous(),
            self.starts,
            mode="sum",
            per_sample_weights=self.member_weights,
        )
        for neighbours in self.neighbours:  # one direction after another
            received = functional.embedding_bag(neighbours, held, mode="sum")
            held = torch.add(held, received, alpha=0.5)  # weights 1/4, 1/2, 1/4, doubled
        sums = functional.embedding_bag(
            self.simplices, held, mode="sum", per_sample_weights=self.weights
        )
        return sums.view(values.shape)


def _band(reach: int, *, sigma: float) -> Float[Tensor, "reached tile"]:
    """Weights from a tile's pixels and ``reach`` more on either side to the tile's pixels."""
    away = torch.arange(TILE + 2 * reach)[:, None] - torch.arange(TILE) - reach
    return torch.exp(-0.5 * (away / sigma) ** 2) * (away.abs() <= reach)


def _filtered_rows(rows: Tensor, band: Tensor) -> Tensor:
    length = rows.shape[-1]
    reach = (len(band) - TILE) // 2
    padded = functional.pad(rows, (reach, reach + -length % TILE))
    tiles = padded.unfold(-1, len(band), TILE)  # overlapping
    filtered = tiles.reshape(-1, len(band)) @ band  # one matrix product instead of one for each row
    return filtered.view(*tiles.shape[:-1], TILE).flatten(-2)[..., :length]


def _simplices(
    features: Float[Tensor, "d n"], *, clouds: int
) -> tuple[Int[Tensor, "vertices n"], Float[Tensor, "vertices n"], list[int]]:
    """Every point's vertices as codes, their weights, and a code's step in each direction.

    The steps of Adams et al., section 3.1: lift points to the plane in d + 1 dimensions whose
    coordinates sum to 0, round to the nearest vertex of remainder 0, sort what remains. Points come
    cloud by cloud; no two clouds share a code.
    """
    size = len(features) + 1
    lifted = _lifted(features) / size
    base = lifted.round()
    rank = (lifted - base).argsort(dim=0, descending=True, stable=True).argsort(dim=0)
    rank += base.sum(0).long()
    turns = (rank < 0).long() - (rank >= size).long()  # rounding left the plane: come back
    rank, base = rank + turns * size, base + turns
    rest = torch.empty_like(lifted).scatter_(0, rank, lifted - base).flip(0)  # ascending
    weights = torch.cat([1 + rest[:1] - rest[-1:], rest[1:] - rest[:-1]])
    base = base.long() * size
    lowest, radices, steps, span = _radices(base, clouds=clouds)
    first = (radices[:, None] * (base - lowest)).sum(0, keepdim=True)
    first.view(clouds, -1).add_(span * torch.arange(clouds, device=features.device)[:, None])
    # From one vertex to the next all coordinates grow by 1, and the next in rank falls by d + 1.
    falls = torch.empty_like(rank).scatter_(0, rank, radices[:, None].expand_as(rank))
    climbs = radices.sum() - size * falls[1:].flip(0)
    return torch.cat([first, climbs]).cumsum(0), weights, steps


def _lifted(features: Float[Tensor, "d n"]) -> Float[Tensor, "vertices n"]:
    """The points in d + 1 dimensions; their scale makes the filter's variance 1 (Adams et al.)."""
    dims = len(features)
    axes = torch.arange(1, dims + 1, device=features.device)[:, None]
    scaled = features * (math.sqrt(2 / 3) * (dims + 1) / (axes * (axes + 1)).sqrt())
    tails = scaled.flip(0).cumsum(0).flip(0)
    return functional.pad(tails, (0, 0, 0, 1)) - functional.pad(axes * scaled, (0, 0, 1, 0))


def _radices(
    base: Int[Tensor, "vertices n"], *, clouds: int
) -> tuple[Int[Tensor, "vertices 1"], Int[Tensor, " vertices"], list[int], int]:
    """The radices that encode a vertex's coordinates as one integer, and the range of the codes.

    The last coordinate follows from the others. Coordinates range d around the base, and those of
    neighbours d more.
    """
    size = len(base)
    margin = 2 * size
    lowest, highest = base.amin(1, keepdim=True) - margin, base.amax(1, keepdim=True) + margin
    radices = [1]
    for span in (highest - lowest + 1).flatten().tolist()[:-1]:
        radices.append(radices[-1] * span)
    numbers = radices.pop()
    if clouds * numbers >= 1 << 62:
        raise ValueError("kernels are too narrow for the range of the features; widen them")
    steps = [size * radix - sum(radices) for radix in (*radices, 0)]
    return lowest, torch.tensor([*radices, 0], device=base.device), steps, numbers


def _neighbours(vertices: Int[Tensor, " m"], step: int) -> Int[Tensor, "m_and_hole 2"]:
    """The vertices one step ahead and behind; number m, the hole, for a missing one."""
    hole = len(vertices)
    wanted = vertices + step
    ahead = torch.searchsorted(vertices, wanted).clamp_(max=hole - 1)
    ahead[vertices[ahead] != wanted] = hole
    both = ahead.new_full((hole + 1, 2), hole)
    both[:hole, 0] = ahead
    both[:, 1].scatter_(0, ahead, torch.arange(hole, device=ahead.device))
    both[hole] = hole
    return both.int()
