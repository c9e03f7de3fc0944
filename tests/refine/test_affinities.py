"""Pairs of pixels and the paths between them, by hand and against loops over single pixels."""

import math

import pytest
import torch

from recam.refine.affinities import (
    grid_affinities,
    pair_affinities,
    pair_offsets,
    pair_sources,
    pair_targets,
    path,
)


@pytest.fixture
def edges(generator):
    """Random edges of two grids of 5 x 9 cells."""
    return torch.rand(2, 5, 9, generator=generator)


def cells_between(first, last):
    """All cells of the box around two cells whose centres are less than 1 off the line."""
    (y0, x0), (y1, x1) = first, last
    length = math.hypot(y1 - y0, x1 - x0)
    return [
        (y, x)
        for y in range(min(y0, y1), max(y0, y1) + 1)
        for x in range(min(x0, x1), max(x0, x1) + 1)
        if abs((y1 - y0) * (x - x0) - (x1 - x0) * (y - y0)) / length < 1 - 1e-9
    ]


def naive_affinity(grid, first, last):
    """Of two cells of a grid, given as lists; a cell outside has none."""
    inside = 0 <= last[0] < len(grid) and 0 <= last[1] < len(grid[0])
    return 1 - max(grid[y][x] for y, x in cells_between(first, last)) if inside else 0.0


# Offsets


def test_the_neighbours_nearer_than_two_by_hand():
    assert pair_offsets(2) == ((0, 1), (1, -1), (1, 0), (1, 1))


def test_the_neighbours_nearer_than_three_by_hand():
    # (2, 2) is the square root of 8 away; (3, 0) and (0, 3) are not nearer than 3.
    assert pair_offsets(3) == (
        *((0, 1), (0, 2)),
        *((1, -2), (1, -1), (1, 0), (1, 1), (1, 2)),
        *((2, -2), (2, -1), (2, 0), (2, 1), (2, 2)),
    )


@pytest.mark.parametrize(("radius", "count"), [(5, 34), (10, 152)])
def test_the_published_radii_have_as_many_neighbours_as_the_authors_count(radius, count):
    assert len(pair_offsets(radius)) == count


@pytest.mark.parametrize("radius", [2, 3, 5, 10])
def test_an_offset_and_its_opposite_together_are_all_neighbours_once(radius):
    half = pair_offsets(radius)
    both = [*half, *((-dy, -dx) for dy, dx in half)]
    reach = range(-radius, radius + 1)
    near = [(y, x) for y in reach for x in reach if 0 < math.hypot(y, x) < radius]
    assert sorted(both) == near


# Paths


@pytest.mark.parametrize(
    ("offset", "cells"),
    [
        ((0, 1), [(0, 0), (0, 1)]),
        ((0, 3), [(0, 0), (0, 1), (0, 2), (0, 3)]),
        ((2, 0), [(0, 0), (1, 0), (2, 0)]),
        # The corners beside a diagonal step are 0.7 off the line.
        ((1, 1), [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ((1, -1), [(0, -1), (0, 0), (1, -1), (1, 0)]),
        # (3, 0) and (0, 1) are 3 / sqrt(10) = 0.95 off.
        ((3, 1), [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]),
        # (0, 2) and (2, 0) are 1.4 off.
        ((2, 2), [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)]),
        # (0, 1) is 3 / sqrt(13) = 0.83 off; (2, 0), 4 / sqrt(13) = 1.1.
        ((3, 2), [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2), (3, 1), (3, 2)]),
        ((3, -2), [(0, -1), (0, 0), (1, -1), (1, 0), (2, -2), (2, -1), (3, -2), (3, -1)]),
    ],
)
def test_paths_by_hand(offset, cells):
    assert sorted(path(offset)) == sorted(cells)


def test_a_cell_exactly_one_off_the_line_is_not_on_the_path():
    # (4, 3) has length 5, so whole distances to the line occur: (1, 2) and (3, 1) are 1 off.
    assert not {(1, 2), (3, 1)} & set(path((4, 3)))


@pytest.mark.parametrize("offset", pair_offsets(5))
def test_a_path_is_the_same_from_its_other_end(offset):
    dy, dx = offset
    assert sorted((dy - y, dx - x) for y, x in path(offset)) == sorted(path(offset))


# Pairs


def test_sources_are_the_cells_with_all_their_neighbours_in_the_grid():
    grid = torch.arange(15).view(1, 3, 5)
    assert pair_sources(grid, radius=2).tolist() == [[[1, 2, 3], [6, 7, 8]]]


def test_targets_by_hand():
    grid = torch.arange(6).view(1, 2, 3)
    # The only source is 1; to the right, below to the left, below, below to the right.
    assert pair_targets(grid, radius=2).flatten().tolist() == [2, 3, 4, 5]


def test_targets_equal_a_loop_over_cells(edges):
    targets = pair_targets(edges, radius=3)
    for index, (dy, dx) in enumerate(pair_offsets(3)):
        for y in range(3):
            for x in range(5):
                expected = edges[:, y + dy, x + 2 + dx]
                assert torch.equal(targets[:, index, y, x], expected)


def test_affinities_by_hand():
    edges = torch.tensor([[[0.9, 0.1, 0.2], [0.3, 0.0, 0.8]]])
    # From the cell above in the middle; every diagonal passes the other two cells of its square.
    affinities = pair_affinities(edges, radius=2).flatten().tolist()
    assert affinities == pytest.approx([1 - 0.2, 1 - 0.9, 1 - 0.1, 1 - 0.8])


@pytest.mark.parametrize("radius", [2, 3, 4])
def test_affinities_equal_a_loop_over_cells(edges, radius):
    affinities = pair_affinities(edges, radius=radius)
    grids, margin = edges.tolist(), radius - 1
    assert affinities.shape == (2, len(pair_offsets(radius)), 5 - margin, 9 - 2 * margin)
    for (b, offset, y, x), value in cells_of(affinities):
        dy, dx = pair_offsets(radius)[offset]
        source = (y, x + margin)
        expected = naive_affinity(grids[b], source, (y + dy, x + margin + dx))
        assert value == pytest.approx(expected)


@pytest.mark.parametrize("radius", [2, 3, 5])
def test_affinities_of_all_cells_equal_a_loop_over_cells(edges, radius):
    affinities = grid_affinities(edges, radius=radius)
    grids = edges.tolist()
    assert affinities.shape == (2, len(pair_offsets(radius)), 5, 9)
    for (b, offset, y, x), value in cells_of(affinities):
        dy, dx = pair_offsets(radius)[offset]
        assert value == pytest.approx(naive_affinity(grids[b], (y, x), (y + dy, x + dx)))


def cells_of(values):
    """Every index and its value."""
    indices = torch.cartesian_prod(*(torch.arange(length) for length in values.shape)).tolist()
    return zip(indices, values.flatten().tolist(), strict=True)


def test_a_neighbour_beyond_the_border_has_no_affinity():
    affinities = grid_affinities(torch.zeros(1, 2, 2), radius=2)
    # To the right, below to the left, below, below to the right.
    assert affinities[0].tolist() == [
        [[1, 0], [1, 0]],
        [[0, 1], [0, 0]],
        [[1, 1], [0, 0]],
        [[1, 0], [0, 0]],
    ]


@pytest.mark.parametrize(("height", "width"), [(1, 9), (9, 4), (2, 2), (1, 1)])
def test_a_grid_smaller_than_the_window_has_no_pairs(height, width):
    grid = torch.zeros(1, height, width)
    assert pair_sources(grid, radius=3).numel() == 0
    assert pair_targets(grid, radius=3).numel() == 0
    assert pair_affinities(grid, radius=3).numel() == 0


@pytest.mark.parametrize(("height", "width"), [(1, 9), (9, 1), (2, 2), (1, 1)])
def test_all_cells_of_a_grid_smaller_than_the_window_have_affinities(height, width):
    affinities = grid_affinities(torch.full((1, height, width), 0.25), radius=5)
    count = sum(
        max(0, height - dy) * max(0, width - abs(dx)) for dy, dx in pair_offsets(5)
    )  # pairs that lie in the grid
    assert affinities.sum() == 0.75 * count


# Gradients


def test_the_gradient_goes_to_the_strongest_edge_of_every_path():
    edges = torch.tensor([[[0.9, 0.1, 0.2], [0.3, 0.0, 0.8]]], requires_grad=True)
    pair_affinities(edges, radius=2).sum().backward()
    # The same four pairs as by hand above: 0.2, 0.9, 0.1 and 0.8 are the strongest.
    assert edges.grad.tolist() == [[[-1, -1, -1], [0, 0, -1]]]


def test_an_edge_on_many_paths_gets_the_gradients_of_all():
    edges = torch.zeros(1, 2, 3)
    edges[0, 0, 1] = 0.5
    pair_affinities(edges.requires_grad_(), radius=2).sum().backward()
    assert edges.grad.tolist() == [[[0, -4, 0], [0, 0, 0]]]


def test_of_equal_edges_only_one_gets_the_gradient():
    edges = torch.full((1, 2, 3), 0.5, requires_grad=True)
    pair_affinities(edges, radius=2).sum().backward()
    # The first by rows: the source itself, but on the path to below on the left the corner.
    assert edges.grad.tolist() == [[[-1, -3, 0], [0, 0, 0]]]


def test_images_of_a_batch_get_their_own_gradients(edges):
    pair_affinities(edges.requires_grad_(), radius=3)[1].sum().backward()
    assert edges.grad[0].abs().sum() == 0
    assert edges.grad[1].sum() == -len(pair_offsets(3)) * 3 * 5
