"""A frozen backbone stays as it is, and features may take the place of images."""

from dataclasses import replace

import pytest
import torch
from tiny_networks import CONFIG

from recam.catalogue.methods import make_classifier
from recam.models.backbones import backbone_of
from recam.models.frozen import features_for_images
from recam.models.initialisation import seeded_initialisation


@pytest.fixture(params=["cam", "recam"])
def model(request):
    """A classifier on a frozen backbone with batch norms."""
    with seeded_initialisation(0, "test"):
        return make_classifier(
            replace(CONFIG, method=request.param, weight=1.0, frozen_backbone=True)
        )


@pytest.fixture
def images(generator):
    """Two images."""
    return torch.randn(2, 3, 32, 48, generator=generator)


def test_the_backbone_never_leaves_eval_mode_and_never_trains(model, images):
    before = {name: value.clone() for name, value in backbone_of(model).state_dict().items()}
    model.train()
    assert not any(module.training for module in backbone_of(model).modules())
    labels = torch.tensor([[True, False, False], [False, True, True]])
    sum(model.loss(images, labels).values()).backward()
    assert all(p.grad is None for p in backbone_of(model).parameters())
    assert model.weights.grad.abs().sum() > 0
    after = backbone_of(model).state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_features_give_the_losses_of_their_images(model, images):
    labels = torch.tensor([[True, False, False], [False, True, True]])
    expected = model.loss(images, labels)
    features = backbone_of(model)(images)
    with features_for_images(model):
        found, of_images = model.loss(features, labels), model.loss(images, labels)
    assert {k: v.item() for k, v in found.items()} == {k: v.item() for k, v in expected.items()}
    assert of_images == found  # a live log shows images


def test_the_backbone_is_out_of_the_tensors_only_inside(model):
    names = list(model.state_dict())
    with features_for_images(model) as backbone:
        assert len(model.state_dict()) == len(names) - len(backbone.state_dict())
        assert not any("backbone" in name for name in model.state_dict())
    assert list(model.state_dict()) == names
    assert backbone_of(model) is backbone


def test_the_backbone_is_back_after_an_error(model):
    backbone = backbone_of(model)
    with pytest.raises(KeyError), features_for_images(model):
        raise KeyError
    assert backbone_of(model) is backbone
