"""Affinities of features and of attention: naive loops as the reference, laws, boxes by hand."""

import pytest
import torch
from torch.nn import functional

from recam.refine import affinity
from recam.refine.affinity import (
    EPSILON,
    attended,
    attention_weights,
    block_for,
    feature_walk,
    joined,
    sinkhorn,
)

GRID = (4, 6)


@pytest.fixture
def features(generator):
    """Unit features of two images."""
    return functional.normalize(torch.randn(2, 5, *GRID, generator=generator), dim=1)


@pytest.fixture
def scores(generator):
    """Three score maps for each of the images."""
    return torch.rand(2, 3, *GRID, generator=generator)


@pytest.fixture
def attention(generator):
    """Rows of attention between the 12 patches of two images."""
    return torch.rand(2, 12, 12, generator=generator).softmax(dim=2)


def naive_weights(features, power):
    """The dense matrix of one image (C, h, w), pair by pair."""
    cells = features.flatten(1).T
    cosines = [[float(a @ b) for b in cells] for a in cells]
    mean = sum(map(sum, cosines)) / len(cells) ** 2
    above = [[max(0.0, (c - mean) / (1 - mean)) ** power + EPSILON for c in row] for row in cosines]
    return torch.tensor([[a / sum(row) for a in row] for row in above])


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_walk_equals_a_power_of_the_dense_matrix(scores, features, steps):
    walked = feature_walk(scores, features, power=3.0, steps=steps, block=1)
    for own, seen, found in zip(scores, features, walked, strict=True):
        dense = torch.linalg.matrix_power(naive_weights(seen, 3.0), steps)
        torch.testing.assert_close(found.flatten(1).T, dense @ own.flatten(1).T)


def test_a_landmark_has_the_mean_cosine_and_the_mean_score_of_its_block(scores, features):
    walked = feature_walk(scores, features, power=1.0, steps=1, block=2)
    cells = features[0].flatten(1).T
    mean = (cells @ cells.T).mean()
    blocks = cells.view(2, 2, 3, 2, 5).transpose(1, 2).reshape(6, 4, 5)
    held = scores[0].view(3, 2, 2, 3, 2).mean(dim=(2, 4)).flatten(1)
    cosines = torch.stack([cells @ block.T for block in blocks], dim=1).mean(dim=2)
    weights = ((cosines - mean) / (1 - mean)).clamp(min=0) + EPSILON
    expected = held @ (weights / weights.sum(dim=1, keepdim=True)).T
    torch.testing.assert_close(walked[0].flatten(1), expected)


def test_parts_of_the_matrix_give_the_same_as_all_of_it(scores, features, monkeypatch):
    whole = feature_walk(scores, features, power=2.0, steps=2, block=2)
    monkeypatch.setattr(affinity, "MOST_WEIGHTS", 20)  # 3 rows of 6 landmarks
    torch.testing.assert_close(feature_walk(scores, features, power=2.0, steps=2, block=2), whole)


def test_a_constant_map_stays_and_all_scores_stay_in_their_range(scores, features):
    scores[:, 0] = 0.7
    walked = feature_walk(scores, features, power=2.0, steps=3, block=2)
    torch.testing.assert_close(walked[:, 0], scores[:, 0])
    assert walked.min() >= scores.min()
    assert walked.max() <= scores.max() + 1e-6


def test_where_all_cells_are_alike_every_cell_gets_the_mean(scores):
    alike = torch.full((2, 4, *GRID), 0.5)
    walked = feature_walk(scores, alike, power=4.0, steps=1, block=1)
    mean = scores.mean(dim=(2, 3), keepdim=True).expand_as(scores)
    torch.testing.assert_close(walked, mean)


def test_the_walk_follows_permutations_of_maps_and_mirror_images(scores, features):
    walked = feature_walk(scores, features, power=2.0, steps=2, block=2)
    order = [2, 0, 1]
    other = feature_walk(scores[:, order], features, power=2.0, steps=2, block=2)
    torch.testing.assert_close(other, walked[:, order])
    flipped = feature_walk(scores.flip(3), features.flip(3), power=2.0, steps=2, block=2)
    torch.testing.assert_close(flipped, walked.flip(3))


def test_products_of_joined_levels_are_mean_cosines(generator):
    fine, coarse = (torch.randn(1, c, 2, 2, generator=generator) for c in (3, 7))
    cells = joined([fine, coarse], size=(2, 2))[0].flatten(1).T
    cosine = sum(
        functional.cosine_similarity(f[0, :, 0, 1], f[0, :, 1, 0], dim=0) for f in (fine, coarse)
    )
    torch.testing.assert_close(cells[1] @ cells[2], cosine / 2)
    assert joined([fine], size=(1, 3)).shape == (1, 3, 1, 3)


@pytest.mark.parametrize(
    ("size", "block"), [((32, 20), 2), ((128, 100), 2), ((129, 10), 3), ((300, 400), 7)]
)
def test_at_most_64_landmarks_lie_on_a_side(size, block):
    assert block_for(*size) == block


def test_sinkhorn_makes_rows_sum_to_1_and_columns_nearly(attention):
    balanced = sinkhorn(attention)
    torch.testing.assert_close(balanced.sum(dim=2), torch.ones(2, 12))
    torch.testing.assert_close(balanced.sum(dim=1), torch.ones(2, 12), atol=1e-3, rtol=0)
    even = torch.full((1, 4, 4), 0.25)
    torch.testing.assert_close(sinkhorn(even), even)


def test_attention_is_balanced_and_made_symmetric(attention):
    expected = attention[0].double()
    for _ in range(3):
        expected = expected / expected.sum(0)
        expected = (expected.T / expected.sum(1)).T
    expected = (expected + expected.T) / 2
    torch.testing.assert_close(attention_weights(attention)[0].double(), expected)


def test_attended_scores_are_those_of_the_squared_matrix(attention, scores):
    maps, weights = scores[:, :, :3, :4].double(), attention_weights(attention.double())
    found = attended(maps, weights, box=0.0)  # every positive score is in a box
    squared = maps.flatten(2) @ (weights @ weights).mT
    low, high = squared.amin(dim=2, keepdim=True), squared.amax(dim=2, keepdim=True)
    torch.testing.assert_close(found.flatten(2), (squared - low) / (high - low))


def test_scores_count_in_the_boxes_of_the_parts_of_their_map():
    scores = torch.tensor(
        [
            [0.1, 0.9, 0.3, 0.2, 0.0],
            [1.0, 0.2, 0.1, 0.2, 0.0],
            [0.1, 0.1, 0.1, 0.1, 0.5],
        ]
    )
    # Two parts above 0.4: diagonal cells, whose box has the four upper left cells, and one cell.
    boxes = torch.zeros(3, 5)
    boxes[:2, :2] = boxes[2, 4] = 1
    mixed = 0.5 * torch.eye(15) + 0.5 / 15
    seen = (scores * boxes).flatten()
    expected = (seen - seen.min()) / (seen.max() - seen.min())  # the same range, stretched
    found = attended(scores[None, None], mixed[None], box=0.4)
    torch.testing.assert_close(found.flatten(), expected)


def test_attended_maps_have_the_range_0_to_1_and_constant_ones_are_0(scores, attention):
    weights = attention_weights(attention)
    maps = scores[..., :3].contiguous()  # 12 cells
    maps[:, 2] = 0.3
    found = attended(maps, weights, box=0.4)
    assert found[:, :2].amin(dim=(2, 3)).eq(0).all()
    assert found[:, :2].amax(dim=(2, 3)).eq(1).all()
    flat = attended(maps[:, 2:], torch.full((2, 12, 12), 1 / 12), box=0.4)
    assert flat.abs().max() < 1e-6
    order = [1, 2, 0]
    torch.testing.assert_close(attended(maps[:, order], weights, box=0.4), found[:, order])
