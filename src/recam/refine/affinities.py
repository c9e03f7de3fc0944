"""Pairs of neighbouring pixels on a grid, and their affinities by the edges between them.

Section 4.4 of Ahn, Cho & Kwak, "Weakly Supervised Learning of Instance Segmentation with
Inter-pixel Relations" (IRN), CVPR 2019: the affinity of two pixels is 1 - max of the edges
on the path between them.
"""

from functools import cache

import torch
from jaxtyping import Float, Num
from torch import Tensor
from torch.nn import functional

STRIDE = 4  # of the grid of edges and displacements: pixels of a cell's side

Offset = tuple[int, int]  # rows down, columns to the right


@cache
def pair_offsets(radius: int) -> tuple[Offset, ...]:
    """The offsets from a pixel to its neighbours nearer than ``radius`` cells, half of them.

    Of two opposite offsets one is kept: to the right in the same row, and all in the rows below.
    """
    reach = range(1 - radius, radius)
    return tuple(
        (dy, dx)
        for dy in range(radius)
        for dx in reach
        if dy * dy + dx * dx < radius * radius and (dy > 0 or dx > 0)
    )


@cache
def path(offset: Offset) -> tuple[Offset, ...]:
    """The pixels from (0, 0) to ``offset``, both included: those less than 1 from the line."""
    dy, dx = offset
    return tuple(
        (y, x)
        for y in range(min(0, dy), max(0, dy) + 1)
        for x in range(min(0, dx), max(0, dx) + 1)
        if (dx * y - dy * x) ** 2 < dy * dy + dx * dx
    )


def pair_sources(grid: Num[Tensor, "B h w"], *, radius: int) -> Num[Tensor, "B y x"]:
    """The pixels with all neighbours inside the grid: the first pixel of every pair."""
    margin = radius - 1
    height, width = grid.shape[1:]
    return grid[:, : max(0, height - margin), margin : max(margin, width - margin)]


def pair_targets(grid: Num[Tensor, "B h w"], *, radius: int) -> Num[Tensor, "B offsets y x"]:
    """The neighbours of each pixel of ``pair_sources``, in the order of ``pair_offsets``."""
    margin = radius - 1
    height, width = pair_sources(grid, radius=radius).shape[1:]
    neighbours = [
        grid[:, dy : dy + height, margin + dx : margin + dx + width]
        for dy, dx in pair_offsets(radius)
    ]
    return torch.stack(neighbours, dim=1)


def pair_affinities(
    edges: Float[Tensor, "B h w"], *, radius: int
) -> Float[Tensor, "B offsets y x"]:
    """Affinities in [0, 1] of each pixel of ``pair_sources`` with its neighbours.

    The gradient goes to the strongest edge on each path, and among equal edges to the first.
    """
    margin = radius - 1
    sources = pair_sources(edges, radius=radius)
    if not sources.numel():  # the grid is smaller than a window
        return 1 - pair_targets(edges, radius=radius)
    width = edges.shape[2]
    with torch.no_grad():
        # (B, y, x, window): the pixels below and on both sides of each source
        windows = edges.unfold(1, radius, 1).unfold(2, 2 * margin + 1, 1).flatten(3)
        numbers = torch.arange(edges[0].numel(), device=edges.device).view(edges.shape[1:])
        starts = pair_sources(numbers[None], radius=radius)
    affinities = []
    for offset in pair_offsets(radius):  # one by one: indices of all take most of the memory
        pixels = path(offset)
        in_window = [y * (2 * margin + 1) + margin + x for y, x in pixels]
        steps = torch.tensor([y * width + x for y, x in pixels], device=edges.device)
        with torch.no_grad():
            strongest = starts + steps[windows[..., in_window].argmax(dim=3)]
        affinities.append(1 - edges.flatten(1).gather(1, strongest.flatten(1)))
    return torch.stack(affinities, dim=1).unflatten(2, sources.shape[1:])


def grid_affinities(
    edges: Float[Tensor, "B h w"], *, radius: int
) -> Float[Tensor, "B offsets h w"]:
    """Affinities in [0, 1] of every pixel with its neighbours; 0 for those beyond the border."""
    margin = radius - 1
    walled = functional.pad(edges, (margin, margin, 0, margin), value=1.0)
    return pair_affinities(walled, radius=radius)
