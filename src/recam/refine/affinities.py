"""Which pixels of a grid are neighbours, and how alike they are by the edges between them.

Section 4.4 of Ahn, Cho & Kwak, "Weakly Supervised Learning of Instance Segmentation with
Inter-pixel Relations" (IRN), CVPR 2019: two pixels belong together unless an edge lies between
them, so their affinity is 1 - max of the edges on the path from one to the other.
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
    """From a pixel to each neighbour nearer than ``radius``, one of every two opposite offsets.

    These are the neighbours to the right in its row and all those in the rows below.
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
    """The pixels between (0, 0) and ``offset``, both included: all less than 1 off the line."""
    dy, dx = offset
    return tuple(
        (y, x)
        for y in range(min(0, dy), max(0, dy) + 1)
        for x in range(min(0, dx), max(0, dx) + 1)
        if (dx * y - dy * x) ** 2 < dy * dy + dx * dx
    )


def pair_sources(grid: Num[Tensor, "B h w"], *, radius: int) -> Num[Tensor, "B y x"]:
    """The pixels that have all their neighbours in the grid, for which pairs are made."""
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

    The gradient goes to the strongest edge on each path, to the first of equal ones.
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
    for offset in pair_offsets(radius):  # one by one, as the indices of all take most memory
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
    """Affinities of every pixel of a grid with its neighbours; those beyond its border have 0."""
    margin = radius - 1
    walled = functional.pad(edges, (margin, margin, 0, margin), value=1.0)
    return pair_affinities(walled, radius=radius)
