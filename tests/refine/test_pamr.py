"""Pixel-adaptive refinement: its laws, and a loop over pixels as the reference."""

import math

import pytest
import torch

from recam.refine.pamr import EPSILON, SHARPNESS, pamr

RING = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@pytest.fixture
def pixels(generator):
    """Two random images of 5 x 6 pixels."""
    return torch.rand(2, 3, 5, 6, generator=generator)


@pytest.fixture
def scores(generator):
    """Two score maps for each of the images."""
    return torch.rand(2, 2, 5, 6, generator=generator)


def clamped(grid, y, x):
    """Look up a pixel; outside the image its nearest pixel is seen."""
    height, width = grid.shape[-2:]
    return grid[..., min(max(y, 0), height - 1), min(max(x, 0), width - 1)]


def naive_pamr(score, image, *, dilations, iterations):
    """One map (H, W) of one image (3, H, W), pixel by pixel."""
    for _ in range(iterations):
        refined = torch.empty_like(score)
        for y in range(score.shape[0]):
            for x in range(score.shape[1]):
                places = [(y + d * dy, x + d * dx) for d in dilations for dy, dx in RING]
                colours = [clamped(image, *place).tolist() for place in places]
                centre = image[:, y, x].tolist()
                all_colours = colours + [centre] * len(dilations)
                sigma = [sample_deviation([c[i] for c in all_colours]) for i in range(3)]
                likeness = [
                    -sum(
                        abs(colour[i] - centre[i]) / (SHARPNESS * sigma[i] + EPSILON)
                        for i in range(3)
                    )
                    / 3
                    for colour in colours
                ]
                weights = [math.exp(value) for value in likeness]
                values = [float(clamped(score, *place)) for place in places]
                mixed = sum(w * v for w, v in zip(weights, values, strict=True))
                refined[y, x] = mixed / sum(weights)
        score = refined
    return score


def sample_deviation(values):
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def test_equals_a_loop_over_pixels(scores, pixels):
    refined = pamr(scores, pixels, dilations=(1, 2), iterations=2)
    expected = naive_pamr(scores[1, 0], pixels[1], dilations=(1, 2), iterations=2)
    torch.testing.assert_close(refined[1, 0], expected, rtol=1e-4, atol=1e-5)


def test_constant_scores_stay_constant(pixels):
    constant = torch.full((2, 1, 5, 6), 0.375)
    refined = pamr(constant, pixels, dilations=(1, 3), iterations=5)
    torch.testing.assert_close(refined, constant)


def test_the_range_of_the_scores_is_kept(scores, pixels):
    refined = pamr(scores, pixels, dilations=(1, 2), iterations=3)
    assert refined.min() >= scores.min() - 1e-6
    assert refined.max() <= scores.max() + 1e-6


def test_refining_commutes_with_adding_a_constant(scores, pixels):
    refined = pamr(scores, pixels, dilations=(1,), iterations=2)
    raised = pamr(scores + 2, pixels, dilations=(1,), iterations=2)
    torch.testing.assert_close(raised, refined + 2)


def test_a_uniform_image_takes_the_mean_of_the_eight_neighbours():
    scores = torch.zeros(1, 1, 5, 5)
    scores[0, 0, 2, 2] = 8.0
    refined = pamr(scores, torch.full((1, 3, 5, 5), 0.5), dilations=(1,), iterations=1)
    assert refined[0, 0].tolist() == [
        pytest.approx(row)
        for row in (
            [0, 0, 0, 0, 0],
            [0, 1, 1, 1, 0],
            [0, 1, 0, 1, 0],  # a pixel is not its own neighbour
            [0, 1, 1, 1, 0],
            [0, 0, 0, 0, 0],
        )
    ]


def test_the_edge_of_the_image_is_repeated_outwards():
    scores = torch.zeros(1, 1, 3, 3)
    scores[0, 0, 0, 0] = 8.0
    refined = pamr(scores, torch.full((1, 3, 3, 3), 0.5), dilations=(1,), iterations=1)
    # The corner sees itself in three of its neighbours: above, to the left and between.
    # The pixels beside it see it directly and once more outside.
    assert refined[0, 0].tolist() == [
        pytest.approx(row) for row in ([3, 2, 0], [2, 1, 0], [0, 0, 0])
    ]


def test_dilations_reach_further():
    scores = torch.zeros(1, 1, 5, 5)
    scores[0, 0, 2, 2] = 16.0
    grey = torch.full((1, 3, 5, 5), 0.5)
    refined = pamr(scores, grey, dilations=(1, 2), iterations=1)
    assert refined[0, 0, 0].tolist() == pytest.approx([1, 0, 1, 0, 1])


def test_an_edge_in_the_image_stops_the_flow():
    image = torch.zeros(1, 3, 6, 6)
    image[..., 3:] = 1.0
    scores = torch.zeros(1, 1, 6, 6)
    scores[..., :3] = 1.0
    refined = pamr(scores, image, dilations=(1,), iterations=10)
    torch.testing.assert_close(refined, scores, rtol=0, atol=1e-4)


def test_without_the_edge_the_scores_flow():
    scores = torch.zeros(1, 1, 6, 6)
    scores[..., :3] = 1.0
    refined = pamr(scores, torch.zeros(1, 3, 6, 6), dilations=(1,), iterations=10)
    assert refined[0, 0, 3, 3] > 0.3


def test_no_iteration_returns_the_scores(scores, pixels):
    torch.testing.assert_close(pamr(scores, pixels, dilations=(1,), iterations=0), scores)


def test_the_scores_given_are_not_changed(scores, pixels):
    before = scores.clone()
    pamr(scores, pixels, dilations=(1,), iterations=2)
    assert torch.equal(scores, before)


def test_images_of_a_batch_do_not_mix(scores, pixels):
    together = pamr(scores, pixels, dilations=(1, 2), iterations=3)
    alone = [
        pamr(scores[i : i + 1], pixels[i : i + 1], dilations=(1, 2), iterations=3) for i in (0, 1)
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_classes_do_not_mix(scores, pixels):
    together = pamr(scores, pixels, dilations=(1,), iterations=2)
    torch.testing.assert_close(
        together[:, 1:], pamr(scores[:, 1:], pixels, dilations=(1,), iterations=2)
    )


def test_an_image_smaller_than_the_largest_dilation_is_refined():
    scores = torch.tensor([[[[0.0, 1.0]]]])
    refined = pamr(scores, torch.full((1, 3, 1, 2), 0.5), dilations=(4,), iterations=1)
    # Three neighbours to the left, two above and below, three to the right.
    assert refined[0, 0, 0].tolist() == pytest.approx([3 / 8, 5 / 8])
