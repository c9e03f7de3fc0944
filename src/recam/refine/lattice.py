"""Gaussian filters: every point's sum over all points j of exp(-|f_i - f_j|^2 / 2) v_j.

Three ways to the same sums, all linear in the values and alike on CPU and GPU: every pair of points
(exact, few points), a grid's rows and columns (exact, features are the pixels' places), and the
permutohedral lattice (approximate, any number of points, few feature dimensions).

Points come in B clouds of n, the pixels of B images; a point sees those of its own cloud alone. All
three take values as (B, c, n): c independent maps over the points of each cloud.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor
from torch.nn import functional

REACH = 5  # standard deviations; farther away a weight is below exp(-12.5), 4e-6
TILE = 64  # pixels of a row in one matrix product
CHUNK = 1 << 15  # points located together, so that they stay in the cache
LEAST_SORTED = 1 << 16  # codes: PyTorch sorts so many by radix, which is faster


class AllPairs:
    """The exact sums. Holds B x n x n weights: 4 bytes each, 340 MB for 96 x 96 pixels."""

    def __init__(self, features: Float[Tensor, "B d n"]):
        points = features.transpose(1, 2).contiguous()
        # Explicit differences: the faster way by products loses digits for points that are close.
        distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        self.weights = distances.square_().mul_(-0.5).exp_()

    def __call__(self, values: Float[Tensor, "B c n"]) -> Float[Tensor, "B c n"]:
        """The sum at every point, of every map of values."""
        return values @ self.weights


class Grid:
    """The exact sums for features that are a pixel's column and row over ``sigma`` (pixels)."""

    def __init__(self, height: int, width: int, *, sigma: float, device: torch.device):
        self.shape = (height, width)
        reaches = (min(math.ceil(REACH * sigma), length - 1) for length in (width, height))
        self.bands = [_band(reach, sigma=sigma).to(device) for reach in reaches]

    def __call__(self, values: Float[Tensor, "B c n"]) -> Float[Tensor, "B c n"]:
        """The sum at every pixel, of every map of values; pixels are ordered row by row."""
        rows = values.reshape(-1, *self.shape)
        for band in self.bands:
            rows = _filtered_rows(rows, band).transpose(1, 2)
        return rows.reshape(values.shape)


class Lattice:
    """The sums by the permutohedral lattice of Adams, Baek & Davis, Eurographics 2010, section 3.

    A point's value is shared among the d + 1 vertices of the simplex around it, vertices exchange
    values with their neighbours along d + 1 directions, and the point collects the values of its
    vertices. The sums are exact up to a factor that all points share and an approximation error.

    Only vertices around a point are kept, as published. Values do not pass through the holes
    between them, which is the main approximation error.

    Time and memory are proportional to the number of points, d squared and the maps of values:
    about 60 MB for a photograph of 480 x 640 pixels, d = 5 and 2 maps.
    """

    def __init__(self, features: Float[Tensor, "B d n"]):
        codes, weights, code = _simplices(features)
        size, number = codes.shape
        self.member_weights = torch.empty_like(weights).flatten()
        self.members = torch.empty_like(self.member_weights, dtype=torch.int32)
        owners = torch.empty_like(self.members)
        known, counts = self._collect(codes.flatten(), weights.flatten(), owners, number=number)
        del codes
        # The first member of each vertex; the last vertex stands for a hole and has no member.
        self.starts = functional.pad(counts.cumsum(0), (1, 0)).int()
        self.simplices = owners.view(size, number).T.contiguous()
        del owners
        self.weights = weights.T.contiguous()
        self.neighbours = [_neighbours(known, ahead) for ahead in code.ahead(known)]

    def __call__(self, values: Float[Tensor, "B c n"]) -> Float[Tensor, "B c n"]:
        """The sum at every point, of every map of values."""
        clouds, maps, points = values.shape
        # A copy even of a single map: in PyTorch, a view's last stride picks a slower way.
        columns = values.new_empty(clouds, points, maps).copy_(values.transpose(1, 2))
        held = functional.embedding_bag(
            self.members,
            columns.flatten(0, 1),
            self.starts,
            mode="sum",
            per_sample_weights=self.member_weights,
        )
        for neighbours in self.neighbours:  # one direction after another
            received = functional.embedding_bag(neighbours, held, mode="sum")
            held.add_(received, alpha=0.5)  # weights 1/4, 1/2, 1/4, doubled
        sums = functional.embedding_bag(
            self.simplices, held, mode="sum", per_sample_weights=self.weights
        )
        return sums.view(clouds, points, maps).transpose(1, 2)

    def _collect(
        self, codes: Tensor, weights: Tensor, owners: Tensor, *, number: int
    ) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
        """Number the vertices in ``owners``, list their members; return codes and members' counts.

        The first digit of a code is the vertex's remainder: whole remainders are sorted one after
        another, as many together as PyTorch needs to sort by radix.
        """
        vertices: list[Tensor] = []
        counts: list[Tensor] = []
        step = number * -(-LEAST_SORTED // number)
        for first in range(0, len(codes), step):
            part = slice(first, first + step)
            own, order = codes[part].sort(stable=True)
            distinct, inverse, members = torch.unique_consecutive(
                own, return_inverse=True, return_counts=True
            )
            inverse += sum(map(len, vertices))
            owners[part].scatter_(0, order, inverse.int())
            self.members[part] = order % number  # points of the first vertex, of the second, ...
            self.member_weights[part] = weights[part].index_select(0, order)
            vertices.append(distinct)
            counts.append(members)
        return torch.cat(vertices), torch.cat(counts)


def _band(reach: int, *, sigma: float) -> Float[Tensor, "reached tile"]:
    """Weights from a tile's pixels and ``reach`` more on either side to the tile's pixels."""
    away = torch.arange(TILE + 2 * reach)[:, None] - torch.arange(TILE) - reach
    return torch.exp(-0.5 * (away / sigma) ** 2) * (away.abs() <= reach)


def _filtered_rows(rows: Float[Tensor, "maps h w"], band: Tensor) -> Float[Tensor, "maps h w"]:
    """Filter along the last dimension, tile by tile: a matrix product of views, without copies."""
    length = rows.shape[-1]
    reach = (len(band) - TILE) // 2
    filtered = torch.empty_like(rows)
    for start in range(0, length, TILE):
        stop = min(start + TILE, length)
        first, last = max(start - reach, 0), min(stop + reach, length)
        weights = band[first - start + reach : last - start + reach, : stop - start]
        filtered[..., start:stop] = rows[..., first:last] @ weights
    return filtered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    """Vertices as integers: remainder, cloud and the quotients of the first d coordinates by d + 1.

    A vertex's coordinates have one remainder by d + 1, and the last one follows from the others.
    """

    radices: list[int]  # of the quotients; that of the last coordinate is 0
    lowest: list[float]  # quotients
    cloud: int  # from one cloud to the next
    remainder: int  # from one remainder to the next
    dtype: torch.dtype

    def ahead(self, vertices: Int[Tensor, " m"]) -> Iterator[Int[Tensor, " m"]]:
        """Yield the vertices one step ahead, for one direction after another.

        A step adds 1 to all coordinates and takes d + 1 from its own; remainder d becomes 0.
        """
        size = len(self.radices)
        onward = vertices + self.remainder
        onward[vertices >= (size - 1) * self.remainder] += sum(self.radices) - size * self.remainder
        return (onward - radix for radix in self.radices)


def _simplices(
    features: Float[Tensor, "B d n"],
) -> tuple[Int[Tensor, "vertices points"], Float[Tensor, "vertices points"], _Code]:
    """The codes of every point's vertices, by remainder, and their weights; cloud by cloud."""
    clouds = len(features)
    points = features.transpose(0, 1).flatten(1)
    weights = points.new_empty(len(points) + 1, points.shape[1])
    base, rank = torch.empty_like(weights), torch.empty_like(weights, dtype=torch.int8)
    for chunk in zip(*(t.split(CHUNK, dim=1) for t in (points, base, rank, weights)), strict=True):
        _enclose(*chunk)
    code = _code_of(base, clouds=clouds)
    return _codes(base, rank, code=code, clouds=clouds), weights, code


def _enclose(
    points: Float[Tensor, "d n"],
    base: Float[Tensor, "vertices n"],
    rank: Int8[Tensor, "vertices n"],
    weights: Float[Tensor, "vertices n"],
) -> None:
    """Write the vertex of remainder 0 over d + 1, the ranks of the rest, and the weights.

    The steps of Adams et al., section 3.1: lift points to the plane in d + 1 dimensions whose
    coordinates sum to 0, round to the nearest vertex of remainder 0, sort the rest.
    """
    size = len(base)
    rest = _lifted(points).div_(size)
    torch.round(rest, out=base)
    rest -= base
    rank.copy_(_ranks(rest)).add_(base.sum(0).to(rank.dtype))
    turns = (rank < 0).to(rank.dtype) - (rank >= size).to(rank.dtype)  # rounding left the plane
    rank += size * turns
    base += turns
    rest -= turns
    rest = torch.empty_like(rest).scatter_(0, rank.long(), rest).flip(0)  # ascending
    torch.sub(rest[1:], rest[:-1], out=weights[1:])
    torch.sub(rest[0], rest[-1], out=weights[0]).add_(1)


def _lifted(features: Float[Tensor, "d n"]) -> Float[Tensor, "vertices n"]:
    """The points in d + 1 dimensions; their scale makes the filter's variance 1 (Adams et al.)."""
    dims, points = features.shape
    lifted = features.new_empty(dims + 1, points)
    tail = features.new_zeros(points)
    for axis in range(dims, 0, -1):
        scaled = features[axis - 1] * (math.sqrt(2 / 3 / (axis * (axis + 1))) * (dims + 1))
        torch.sub(tail, scaled, alpha=axis, out=lifted[axis])
        tail += scaled
    lifted[0] = tail
    return lifted


def _ranks(values: Float[Tensor, "vertices n"]) -> Int8[Tensor, "vertices n"]:
    """The number of larger values in the column; of equal ones the first counts as larger.

    Comparing all pairs takes a twentieth of the time of sorting columns so short.
    """
    ranks = torch.zeros_like(values, dtype=torch.int8)
    for one, other in combinations(range(len(values)), 2):
        is_larger = (values[other] > values[one]).view(torch.int8)
        ranks[one] += is_larger
        ranks[other] += 1 - is_larger
    return ranks


def _code_of(base: Float[Tensor, "vertices n"], *, clouds: int) -> _Code:
    """The code in which no two vertices of the simplices or of their neighbours are equal.

    Raises ValueError if it has more than 62 bits.
    """
    size = len(base)
    # A simplex reaches from the base to one less, a step changes quotients by one more.
    lowest = [value - 2 for value in base.amin(1).tolist()]
    highest = [value + 1 for value in base.amax(1).tolist()]
    radices = [1]
    for low, high in zip(lowest[:-1], highest[:-1], strict=True):
        radices.append(radices[-1] * int(high - low + 1))
    cloud = radices.pop()
    remainder = clouds * cloud
    if (size + 1) * remainder >= 1 << 62:
        raise ValueError("kernels are too narrow for the range of the features; widen them")
    return _Code(
        radices=[*radices, 0],
        lowest=lowest,
        cloud=cloud,
        remainder=remainder,
        dtype=torch.int32 if (size + 1) * remainder < 1 << 31 else torch.int64,
    )


def _codes(
    base: Float[Tensor, "vertices n"],
    rank: Int8[Tensor, "vertices n"],
    *,
    code: _Code,
    clouds: int,
) -> Int[Tensor, "vertices n"]:
    """The code of every point's vertex of each remainder."""
    size, points = base.shape
    codes = torch.zeros(size, points, dtype=code.dtype, device=base.device)
    codes[0].view(clouds, -1).add_(torch.arange(clouds, device=base.device)[:, None] * code.cloud)
    radices = torch.tensor(code.radices, dtype=code.dtype, device=base.device)[:, None]
    chunks = zip(*(values.split(CHUNK, dim=1) for values in (codes, base, rank)), strict=True)
    for own, quotients, order in chunks:
        for values, low, radix in zip(quotients, code.lowest, code.radices, strict=True):
            own[0].add_((values - low).to(code.dtype), alpha=radix)
        # To the next vertex all coordinates grow by 1, and the next in rank falls by d + 1.
        falls = torch.empty_like(own).scatter_(0, order.long(), radices.expand_as(own))
        for remainder in range(1, size):
            torch.sub(own[remainder - 1], falls[size - remainder], out=own[remainder])
            own[remainder] += code.remainder
    return codes


def _neighbours(
    vertices: Int[Tensor, " m"], wanted: Int[Tensor, " m"]
) -> Int[Tensor, "m_and_hole 2"]:
    """The vertices one step ahead, ``wanted``, and behind; m, the hole, for a missing one."""
    hole = len(vertices)
    ahead = torch.searchsorted(vertices, wanted, out_int32=True).clamp_(max=hole - 1)
    ahead.masked_fill_(vertices.index_select(0, ahead) != wanted, hole)
    both = ahead.new_full((hole + 1, 2), hole)
    both[:hole, 0] = ahead
    both[:, 1].scatter_(0, ahead.long(), torch.arange(hole, dtype=torch.int32, device=ahead.device))
    both[hole] = hole
    return both
