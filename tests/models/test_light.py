"""Light segmenters: by hand, any grid, permuted classes, checkpoints."""

from dataclasses import replace

import pytest
import torch
from tiny_networks import CONFIG
from torch import nn
from torch.nn import functional

from recam.catalogue.segmenters import load_segmenter, make_segmenter
from recam.io.checkpoints import save_checkpoint
from recam.models.initialisation import seeded_initialisation
from recam.models.light import Linear, TokenDecoder, _Layer

KINDS = {"linear": Linear, "tokens": TokenDecoder}
CHANNELS, IDS = 6, 4


@pytest.fixture(params=KINDS)
def segmenter(request):
    """A decoder on features that pass."""
    with seeded_initialisation(0, "test"):
        return KINDS[request.param](nn.Identity(), channels=CHANNELS, num_ids=IDS).eval()


@pytest.fixture
def features(generator):
    """Two grids of features."""
    return torch.randn(2, CHANNELS, 3, 5, generator=generator)


def test_linear_is_a_product_with_a_matrix_at_each_cell(features):
    with seeded_initialisation(0, "test"):
        model = Linear(nn.Identity(), channels=CHANNELS, num_ids=IDS)
    weights, bias = model.classifier.weight[:, :, 0, 0], model.classifier.bias
    expected = torch.stack(
        [weights @ features[0, :, row, column] + bias for row in range(3) for column in range(5)]
    )
    torch.testing.assert_close(model.logits(features)[0].flatten(1).T, expected)


@pytest.mark.parametrize("grid", [(1, 1), (2, 7), (9, 4)])
def test_grids_of_any_size_keep_their_size(segmenter, grid, generator):
    features = torch.randn(1, CHANNELS, *grid, generator=generator)
    logits = segmenter.logits(features)
    assert logits.shape == (1, IDS, *grid)
    assert logits.isfinite().all()


def test_permuted_rows_of_the_classifier_permute_the_classes(segmenter, features):
    before = segmenter.logits(features)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        for parameter in segmenter.classifier.parameters():
            parameter.copy_(parameter[order].clone())
    torch.testing.assert_close(segmenter.logits(features), before[:, order])


def test_images_of_a_batch_do_not_see_each_other(segmenter, features):
    alone = segmenter.logits(features[1:])
    torch.testing.assert_close(segmenter.logits(features)[1:], alone)


def test_the_decoder_knows_positions_and_sees_all_cells(features):
    with seeded_initialisation(0, "test"):
        model = TokenDecoder(nn.Identity(), channels=CHANNELS, num_ids=IDS).eval()
    same = features[:1, :, :1, :1].expand(1, CHANNELS, 5, 5)
    logits = model.logits(same)[0]
    assert not torch.allclose(logits[:, 0, 0], logits[:, 2, 2], atol=1e-6)  # border and middle
    changed = features[:1].clone()
    changed[:, 0, 0, 0] += 1
    far = (model.logits(changed) - model.logits(features[:1]))[0, :, -1, -1]
    assert far.abs().max() > 1e-5


def test_a_layer_is_attention_and_a_perceptron_by_hand(generator):
    with seeded_initialisation(0, "test"):
        layer = _Layer().double()
    tokens = torch.randn(1, 4, 256, generator=generator, dtype=torch.float64)
    asked = layer.ask(functional.layer_norm(tokens, (256,)))[0]
    heads = []
    for head in range(8):
        query, key, value = (
            asked[:, start + 32 * head : start + 32 * (head + 1)] for start in (0, 256, 512)
        )
        heads.append((query @ key.T / 32**0.5).softmax(dim=1) @ value)
    middle = tokens[0] + layer.mix(torch.cat(heads, dim=1))
    torch.testing.assert_close(layer(tokens)[0], middle + layer.perceptron(middle))


@pytest.mark.parametrize("method", KINDS)
def test_a_checkpoint_gives_the_same_masks(method, tmp_path, generator):
    config = replace(CONFIG, method=method, frozen_backbone=True)
    with seeded_initialisation(0, "test"):
        model = make_segmenter(config)
    save_checkpoint(tmp_path / "segmenter.pt", model.state_dict(), config)
    loaded, found = load_segmenter(tmp_path / "segmenter.pt")
    assert found == config
    images = torch.randn(1, 3, 48, 64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(loaded.maps(images), model.eval().maps(images))
