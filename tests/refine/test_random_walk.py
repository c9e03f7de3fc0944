"""The random walk: its laws, and powers of the dense matrix as the reference."""

import math
from itertools import accumulate

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from recam.refine.affinities import pair_offsets
from recam.refine.random_walk import (
    chebyshev_shares,
    random_walk,
    transition_weights,
    walk_bytes,
    walked,
)


@pytest.fixture
def edges(generator):
    """Edges of two grids of 6 x 7 cells, strong in some places and absent in others."""
    return (1.5 * torch.rand(2, 6, 7, generator=generator) - 0.4).clamp(0, 1)


@pytest.fixture
def scores(generator):
    """Three score maps for each of the grids."""
    return torch.rand(2, 3, 6, 7, generator=generator)


def dense_matrix(edges, *, radius, power):
    """How one step weighs all cells of a grid (h, w), pair by pair, in double precision."""
    grid = edges.double().numpy()
    height, width = grid.shape
    cells = [(y, x) for y in range(height) for x in range(width)]
    matrix = np.zeros((len(cells), len(cells)))
    for i, first in enumerate(cells):
        for j, second in enumerate(cells):
            if math.dist(first, second) < radius:
                matrix[i, j] = affinity(grid, first, second) ** power
    return matrix / matrix.sum(axis=1, keepdims=True)


def affinity(grid, first, second):
    """1 - the strongest edge less than one cell off the line between two cells."""
    if first == second:
        return 1.0
    (y0, x0), (y1, x1) = first, second
    rows, columns = np.indices(grid.shape)
    off = np.abs((y1 - y0) * (columns - x0) - (x1 - x0) * (rows - y0))
    between = (
        (min(y0, y1) <= rows)
        & (rows <= max(y0, y1))
        & (min(x0, x1) <= columns)
        & (columns <= max(x0, x1))
        & (off < math.dist(first, second) - 1e-9)
    )
    return 1 - grid[between].max()


def dense_walk(scores, edges, *, radius, power, steps):
    """The walk of every map of every image by powers of the dense matrix."""
    walked = []
    for maps, grid in zip(scores, edges, strict=True):
        matrix = dense_matrix(grid, radius=radius, power=power)
        start = (maps * (1 - grid)).double().flatten(1).numpy()
        after = np.linalg.matrix_power(matrix, steps) @ start.T
        walked.append(torch.from_numpy(after.T.reshape(maps.shape)).float())
    return torch.stack(walked)


# Agreement


def test_the_published_walk_equals_eight_squarings_of_the_dense_matrix(scores, edges):
    walked = random_walk(scores, edges, radius=5, power=10.0, steps=2**8)
    for b in range(2):
        matrix = dense_matrix(edges[b], radius=5, power=10.0)
        for _ in range(8):
            matrix = matrix @ matrix
        start = (scores[b] * (1 - edges[b])).double().flatten(1)
        expected = (torch.from_numpy(matrix) @ start.T).T.view(3, 6, 7).float()
        assert (walked[b] - expected).abs().max() < 1e-4 * expected.max()
        torch.testing.assert_close(walked[b], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("radius", [2, 3, 7])
@pytest.mark.parametrize("power", [1.0, 2.5, 8.0])
def test_radius_and_power_are_those_of_the_dense_matrix(scores, edges, radius, power):
    walked = random_walk(scores, edges, radius=radius, power=power, steps=64)
    expected = dense_walk(scores, edges, radius=radius, power=power, steps=64)
    torch.testing.assert_close(walked, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_few_steps_are_exactly_powers_of_the_dense_matrix(scores, edges, steps):
    walked = random_walk(scores, edges, radius=3, power=2.0, steps=steps)
    expected = dense_walk(scores, edges, radius=3, power=2.0, steps=steps)
    torch.testing.assert_close(walked, expected, rtol=1e-5, atol=1e-6)


def test_one_step_by_hand():
    scores, edges = torch.tensor([[[[4.0, 16.0, 0.0]]]]), torch.tensor([[[0.0, 0.5, 0.0]]])
    walked = random_walk(scores, edges, radius=2, power=2.0, steps=1)
    # Half of 16 leaves the edge. Neighbours weigh (1 - 0.5)^2 = 1/4 to a cell's own 1.
    expected = [(4 + 8 / 4) / (1 + 1 / 4), (4 / 4 + 8 + 0) / (1 + 2 / 4), (8 / 4) / (1 + 1 / 4)]
    assert walked.flatten().tolist() == pytest.approx(expected)


def test_no_step_leaves_the_scores_on_the_edges_behind(scores, edges):
    walked = random_walk(scores, edges, radius=3, power=2.0, steps=0)
    torch.testing.assert_close(walked, scores * (1 - edges[:, None]))


# Laws


def test_constant_scores_stay_constant_where_there_is_no_edge():
    constant = torch.full((1, 2, 6, 9), 0.375)
    walked = random_walk(constant, torch.zeros(1, 6, 9), radius=5, power=10.0, steps=256)
    torch.testing.assert_close(walked, constant, rtol=1e-4, atol=0)


def test_without_edges_scores_even_out():
    scores = torch.zeros(1, 1, 5, 5)
    scores[..., 0] = 1.0
    walked = random_walk(scores, torch.zeros(1, 5, 5), radius=3, power=10.0, steps=256)
    torch.testing.assert_close(walked, walked.mean().expand(1, 1, 5, 5), rtol=1e-4, atol=0)


@pytest.mark.parametrize("steps", [1, 6, 256])
def test_no_score_exceeds_the_largest_or_falls_below_zero(scores, edges, steps):
    walked = random_walk(scores, edges, radius=5, power=10.0, steps=steps)
    assert walked.max() <= (scores * (1 - edges[:, None])).max() * (1 + 1e-4)
    assert walked.min() >= -1e-5


def test_a_closed_wall_keeps_scores_inside():
    edges, scores = torch.zeros(1, 7, 8), torch.zeros(1, 1, 7, 8)
    edges[:, 1:6, 1:6] = 1.0
    edges[:, 2:5, 2:5] = 0.0
    scores[..., 2:5, 2:5] = 1.0
    walked = random_walk(scores, edges, radius=5, power=10.0, steps=256)
    torch.testing.assert_close(walked, scores, rtol=1e-4, atol=1e-6)


def test_a_closed_wall_keeps_scores_outside():
    edges, scores = torch.zeros(1, 7, 8), torch.ones(1, 1, 7, 8)
    edges[:, 1:6, 1:6] = 1.0
    edges[:, 2:5, 2:5] = 0.0
    scores[..., 1:6, 1:6] = 0.0
    walked = random_walk(scores, edges, radius=5, power=10.0, steps=256)
    torch.testing.assert_close(walked, scores, rtol=1e-4, atol=1e-6)


def test_the_sum_of_scores_weighted_by_affinities_is_kept(scores, edges):
    # By detailed balance; a cell's own weight is 1 over the sum of its affinities.
    own = transition_weights(edges, radius=4, power=3.0)[:, :1]
    before = (scores * (1 - edges[:, None]) / own).sum(dim=(2, 3))
    walked = random_walk(scores, edges, radius=4, power=3.0, steps=100)
    torch.testing.assert_close((walked / own).sum(dim=(2, 3)), before, rtol=1e-4, atol=0)


def test_the_walk_is_linear_in_the_scores(scores, edges):
    walked = random_walk(scores, edges, radius=3, power=4.0, steps=20)
    of_sum = random_walk(scores.sum(dim=1, keepdim=True), edges, radius=3, power=4.0, steps=20)
    torch.testing.assert_close(of_sum, walked.sum(dim=1, keepdim=True))


@pytest.mark.parametrize("axes", [(2,), (3,), (2, 3)])
def test_a_mirrored_grid_gives_mirrored_scores(scores, edges, axes):
    walked = random_walk(scores, edges, radius=4, power=4.0, steps=30)
    of_edges = edges.flip([axis - 1 for axis in axes])
    mirrored = random_walk(scores.flip(axes), of_edges, radius=4, power=4.0, steps=30)
    torch.testing.assert_close(mirrored.flip(axes), walked, rtol=1e-4, atol=1e-6)


def test_images_and_maps_do_not_mix(scores, edges):
    together = random_walk(scores, edges, radius=5, power=10.0, steps=256)
    for b in range(2):
        for n in range(3):
            alone = random_walk(
                scores[b : b + 1, n : n + 1], edges[b : b + 1], radius=5, power=10.0, steps=256
            )
            torch.testing.assert_close(together[b, n], alone[0, 0], rtol=1e-6, atol=1e-7)


def test_a_single_cell_keeps_its_score_times_one_minus_edge():
    walked = random_walk(
        torch.tensor([[[[3.0]]]]), torch.tensor([[[0.25]]]), radius=5, power=10.0, steps=256
    )
    assert walked.item() == pytest.approx(3 * 0.75, rel=1e-5)


def test_inputs_are_not_changed(scores, edges):
    before = scores.clone(), edges.clone()
    random_walk(scores, edges, radius=3, power=10.0, steps=5)
    assert torch.equal(scores, before[0])
    assert torch.equal(edges, before[1])


# Pixels


def of_pixels(scores, edges):
    return walked(scores, edges, radius=2, power=10.0, steps=256)


def test_scores_of_pixels_by_hand():
    scores = torch.zeros(1, 1, 4, 12)
    scores[..., :2, :4] = 8.0  # half of the first cell: 4 on average
    scores[..., 8:] = 2.0
    wall = torch.tensor([[[0.0, 1.0, 0.0]]])
    # Cells of 4, 0 and 2 by the largest, 4; between their centres, pixels 1.5, 5.5 and 9.5.
    row = [1, 1, 7 / 8, 5 / 8, 3 / 8, 1 / 8, 1 / 16, 3 / 16, 5 / 16, 7 / 16, 1 / 2, 1 / 2]
    assert of_pixels(scores, wall)[0, 0].tolist() == [pytest.approx(row, abs=1e-4)] * 4


def test_cells_enter_the_walk_to_a_power():
    scores = torch.zeros(1, 1, 4, 12)
    scores[..., :2, :4] = 0.5  # a quarter on average
    scores[..., 8:] = 0.5
    wall = torch.tensor([[[0.0, 1.0, 0.0]]])
    pixels = walked(scores, wall, radius=2, power=10.0, steps=256, cams_power=1.5)
    # A quarter and a half to the power 1.5, by the largest: 1/8 / (1/2)^1.5 = 2^-1.5.
    assert pixels[0, 0, 0, [0, 11]].tolist() == pytest.approx([2**-1.5, 1], abs=1e-4)


def test_constant_scores_become_one_on_images_that_end_within_a_cell():
    scores = of_pixels(torch.full((1, 2, 5, 7), 0.25), torch.zeros(1, 2, 2))
    torch.testing.assert_close(scores, torch.ones(1, 2, 5, 7), rtol=0, atol=1e-4)


def test_the_largest_score_of_each_image_becomes_one(scores, edges):
    pixels = of_pixels(scores.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3), edges)
    assert pixels.amax(dim=(1, 2, 3)).tolist() == [1, 1]
    assert pixels.amax(dim=(2, 3)).min() < 1
    assert pixels.min() >= 0


def test_an_image_without_any_score_keeps_its_zeros():
    assert of_pixels(torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 2)).abs().max() == 0


# Weights


@pytest.fixture
def weights(edges):
    """Weights of the cell itself, of its neighbours within 3 and of the opposite ones."""
    return transition_weights(edges, radius=3, power=2.0)


def test_weights_by_hand():
    weights = transition_weights(torch.tensor([[[0.0, 0.5, 0.0]]]), radius=2, power=2.0)
    # The cell itself, right, and below to the left, below, below to the right; their opposites.
    own, right, left = weights[0, 0, 0], weights[0, 1, 0], weights[0, 5, 0]
    assert own.tolist() == pytest.approx([4 / 5, 4 / 6, 4 / 5])
    assert right.tolist() == pytest.approx([1 / 5, 1 / 6, 0])
    assert left.tolist() == pytest.approx([0, 1 / 6, 1 / 5])
    assert weights[:, [2, 3, 4, 6, 7, 8]].abs().max() == 0


def test_the_weights_of_every_cell_sum_to_one(weights):
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 6, 7), rtol=0, atol=1e-6)


def test_before_they_are_normalised_weights_are_symmetric(weights):
    affinities = weights / weights[:, :1]  # a cell's own is 1
    count = len(pair_offsets(3))
    for index, (dy, dx) in enumerate(pair_offsets(3)):
        for y in range(6 - dy):
            for x in range(max(0, -dx), min(7, 7 - dx)):
                there = affinities[:, 1 + index, y, x]
                back = affinities[:, 1 + count + index, y + dy, x + dx]
                torch.testing.assert_close(there, back)


def test_neighbours_beyond_the_border_weigh_nothing(weights):
    offsets = [*pair_offsets(3), *((-dy, -dx) for dy, dx in pair_offsets(3))]
    for index, (dy, dx) in enumerate(offsets):
        for y in range(6):
            for x in range(7):
                if not (0 <= y + dy < 6 and 0 <= x + dx < 7):
                    assert weights[:, 1 + index, y, x].tolist() == [0, 0]


# Shares


@pytest.mark.parametrize(
    ("steps", "shares"),
    [(0, [1]), (1, [0, 1]), (2, [1 / 2, 0, 1 / 2]), (3, [0, 3 / 4, 0, 1 / 4])],
)
def test_shares_by_hand(steps, shares):
    # x^2 = (1 + T_2(x)) / 2 and x^3 = (3 T_1(x) + T_3(x)) / 4
    assert chebyshev_shares(steps) == shares


@pytest.mark.parametrize("steps", [0, 1, 5, 64, 256])
def test_shares_sum_to_one(steps):
    assert sum(chebyshev_shares(steps)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("steps", [5, 64, 256])
def test_polynomials_by_their_shares_are_the_power(steps):
    x = np.linspace(-1, 1, 201)
    mixture = np.polynomial.chebyshev.chebval(x, chebyshev_shares(steps))
    np.testing.assert_allclose(mixture, x**steps, rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [20, 64, 100, 256, 1000])
def test_far_ends_are_left_out_and_nothing_else_is(steps):
    shares = chebyshev_shares(steps)
    assert 1 - sum(shares) <= 1e-6 < 1 - sum(shares[:-1])


def test_the_published_walk_takes_a_third_of_its_steps():
    assert len(chebyshev_shares(256)) < 85  # about 5 deviations, which are 16


# Memory


@pytest.mark.parametrize(
    ("height", "width", "num_scores", "radius"),
    [(47, 63, 1, 5), (47, 63, 3, 5), (30, 20, 2, 10), (60, 80, 20, 3)],
)
def test_the_walk_takes_no_more_memory_than_it_declares(height, width, num_scores, radius):
    scores, edges = torch.ones(1, num_scores, height, width), torch.zeros(1, height, width)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        random_walk(scores, edges, radius=radius, power=10.0, steps=6)
    changes = [
        event.nbytes()
        for event in sorted(
            profiled.profiler.kineto_results.events(), key=lambda event: event.start_ns()
        )
        if event.name() == "[memory]"
    ]
    most = max(accumulate(changes))
    limit = walk_bytes(height, width, num_scores=num_scores, radius=radius)
    assert limit / 2 < most <= limit
