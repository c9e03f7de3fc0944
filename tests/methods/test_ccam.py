"""CCAM: its losses against loops over pairs, and the rule of polarity by hand."""

import math

import pytest
import torch
from torch import nn

from recam.methods.ccam import Ccam, alike_loss, pooled, shows_background, unlike_loss


def cosine(a, b):
    value = sum(x * y for x, y in zip(a, b, strict=True))
    return value / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def limited(value):
    return min(max(value, 0.0005), 0.9995)


def naive_alike(vectors, decay):
    """Every pair on its own; the rank is counted among the other images."""
    total = 0.0
    for i, vector in enumerate(vectors):
        others = sorted(
            (j for j in range(len(vectors)) if j != i), key=lambda j: -cosine(vector, vectors[j])
        )
        for j, other in enumerate(vectors):
            rank = -1 if i == j else others.index(j)
            total -= math.exp(-decay * rank) * math.log(limited(cosine(vector, other)))
    return total / len(vectors) ** 2


@pytest.fixture
def vectors(generator):
    return torch.rand(5, 7, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("decay", [0.0, 0.25, 1.0])
def test_the_loss_within_a_region_is_that_of_a_loop_over_pairs(vectors, decay):
    found = alike_loss(vectors.float(), rank_decay=decay)
    assert found.item() == pytest.approx(naive_alike(vectors.tolist(), decay), rel=1e-5)


def test_the_loss_between_regions_is_that_of_a_loop_over_pairs(vectors, generator):
    others = torch.rand(5, 7, generator=generator, dtype=torch.float64)
    pairs = [cosine(a, b) for a in vectors.tolist() for b in others.tolist()]
    expected = sum(-math.log(1 - limited(value)) for value in pairs) / len(pairs)
    assert unlike_loss(vectors.float(), others.float()).item() == pytest.approx(expected, rel=1e-5)


def test_equal_regions_and_opposite_images_have_finite_losses():
    ones = torch.ones(2, 3)
    assert unlike_loss(ones, ones).item() == pytest.approx(-math.log(0.0005), rel=1e-3)
    apart = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert alike_loss(apart, rank_decay=0.0).item() == pytest.approx(
        -(2 * math.log(0.0005) + 2 * math.log(0.9995)) / 4, rel=1e-4
    )


def test_a_region_pools_its_own_positions():
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two channels, two positions
    left = torch.tensor([[[[1.0, 0.0]]]])
    torch.testing.assert_close(pooled(features, left), torch.tensor([[0.5, 1.5]]))
    torch.testing.assert_close(pooled(features, 1 - left), torch.tensor([[1.0, 2.0]]))


def test_the_region_of_the_border_is_the_background():
    centre = torch.zeros(4, 4)
    centre[1:3, 1:3] = 0.6
    assert not shows_background(centre)
    assert shows_background(1 - centre)
    assert not shows_background(torch.full((4, 4), 0.5))


def test_a_map_without_an_inside_is_kept():
    assert not shows_background(torch.ones(2, 5))


class TwoLevels(nn.Module):
    """A level of twice the final grid, and the final features, which are the pixels."""

    def with_levels(self, images):
        final = nn.functional.avg_pool2d(images, 2)
        return [images, final], final


@pytest.fixture
def ccam():
    torch.manual_seed(0)
    return Ccam(TwoLevels(), channels=6, rank_decay=0.25)


def test_maps_are_probabilities_on_the_grid_of_the_final_features(ccam, generator):
    maps = ccam.eval().maps(torch.rand(2, 3, 8, 6, generator=generator))
    assert maps.shape == (2, 1, 4, 3)
    assert ((maps > 0) & (maps < 1)).all()


def test_labels_change_nothing_and_all_parameters_learn(ccam, generator):
    images = torch.rand(4, 3, 8, 8, generator=generator)
    losses = [ccam.loss(images, torch.full((4, 2), value)) for value in (False, True)]
    assert losses[0].keys() == {"between", "within"}
    torch.testing.assert_close(losses[0], losses[1])
    sum(losses[0].values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in ccam.region_head[:1].parameters())


def test_swapped_regions_have_the_same_losses(vectors, generator):
    others = torch.rand(5, 7, generator=generator)
    first = vectors.float()
    torch.testing.assert_close(unlike_loss(first, others), unlike_loss(others, first))
