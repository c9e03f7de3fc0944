"""EfficientNet-Lite0 without timm: names, initial weights, features and gradients to the bit."""

import pytest
import timm
import torch

from recam.models.backbones import TimmBackbone
from recam.models.initialisation import seeded_initialisation
from recam.models.lite import LITE, EfficientNetLite0
from recam.models.weights import initial_tensors

SIZES = [(45, 61), (64, 32)]  # of images: both kinds of padding


@pytest.fixture(scope="module", params=[8, 16])
def both(request):
    """Timm's network and ours from one random seed, and the next draw after each."""
    create = (
        lambda: timm.create_model(LITE, num_classes=0, global_pool="", output_stride=request.param),
        lambda: EfficientNetLite0(output_stride=request.param),
    )
    networks, draws = [], []
    for make in create:
        with seeded_initialisation(0, "test"):
            networks.append(make())
            draws.append(torch.rand(3))
    return *networks, *draws


def test_tensors_have_the_names_and_initial_values_of_timm(both):
    theirs, ours = (network.state_dict() for network in both[:2])
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_later_draws_are_those_after_a_network_of_timm(both):
    assert torch.equal(both[2], both[3])


def test_levels_are_those_of_timm(both):
    theirs, ours = both[:2]
    assert ours.feature_info == [
        {"reduction": level["reduction"], "num_chs": level["num_chs"]}
        for level in theirs.feature_info
    ]
    assert ours.num_features == theirs.num_features
    assert all(ours.pretrained_cfg[key] == theirs.pretrained_cfg[key] for key in ("mean", "std"))


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_features_gradients_and_statistics_are_those_of_timm(both, is_training, size, generator):
    images = torch.randn(2, 3, *size, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    found = []
    for network in both[:2]:
        network.train(is_training).zero_grad()
        final, levels = network.forward_intermediates(images, indices=[0, 1, 2, 3, 4], norm=False)
        sum(grid.square().mean() for grid in (final, *levels)).backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        found.append([final, *levels, *gradients, *network.buffers()])
        assert is_training or torch.equal(network.forward_features(images), final)
    assert len(found[0]) == len(found[1])
    assert all(map(torch.equal, *found))


def test_levels_come_in_the_order_of_the_network_however_they_are_asked_for():
    with seeded_initialisation(0, "test"):
        network = EfficientNetLite0(output_stride=32).eval()
    images = torch.zeros(1, 3, 64, 64)
    _, levels = network.forward_intermediates(images, indices=[3, 1], norm=False)
    assert [tuple(level.shape[1:]) for level in levels] == [(24, 16, 16), (112, 4, 4)]


def test_the_installed_weights_are_those_of_timm_by_name():
    tensors, _ = initial_tensors(name=LITE, weights="imagenet")
    with torch.device("meta"):
        wanted = timm.create_model(LITE).state_dict()
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        name: tensor.shape for name, tensor in wanted.items()
    }


def test_a_tag_names_the_network_of_timm():
    with torch.device("meta"):
        assert type(TimmBackbone(LITE, output_stride=32).network) is EfficientNetLite0
    named = TimmBackbone(f"{LITE}.in1k", output_stride=32).network
    assert type(named).__module__.startswith("timm.")
