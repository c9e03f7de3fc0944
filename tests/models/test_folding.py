"""Batch norms folded into convolutions: the same output, and layers that must not change."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from recam.catalogue.backbones import make_backbone
from recam.catalogue.methods import make_classifier, maps_of
from recam.catalogue.segmenters import make_segmenter
from recam.io.checkpoints import ModelConfig
from recam.models.depthwise import DilatedDepthwise
from recam.models.folding import folded
from recam.models.initialisation import seeded_initialisation

LITE = "tf_efficientnet_lite0"
MODEL_CONFIG = ModelConfig(
    method="cam",
    backbone="resnet18",
    output_stride=16,
    classes=("cat", "dog"),
    frozen_batch_norm=False,
    frozen_stem=False,
    rates=(1, 2),
)


def called(network, images):
    return network(images)


def num_norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def made(make, **changes):
    """A network in eval mode, channels last, whose batch norms do something, each another thing."""
    with seeded_initialisation(0, "test"):
        return drawn(make(replace(MODEL_CONFIG, **changes))).to(memory_format=torch.channels_last)


def drawn(network):
    draws = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            if module.running_mean is not None:
                module.running_mean.normal_(std=0.1, generator=draws)
                module.running_var.uniform_(0.5, 2, generator=draws)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=draws)
            nn.init.normal_(module.bias, std=0.1, generator=draws)
    return network.eval()


def pixelwise(norm, *, bias):
    """2 r + 4 g + b, perhaps plus 5, and a norm of mean 3, deviation 2, factor 6 and shift 1."""
    convolution = nn.Conv2d(3, 1, kernel_size=1, bias=bias)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([2.0, 4.0, 1.0]).view(1, 3, 1, 1))
        if bias:
            convolution.bias.fill_(5)
        norm.running_mean.fill_(3)
        norm.running_var.fill_(4)
        if norm.affine:
            norm.weight.fill_(6)
            norm.bias.fill_(1)
    return nn.Sequential(convolution, norm).eval()


@pytest.mark.parametrize(
    ("bias", "affine", "weights", "shift"),
    [
        (False, True, [6.0, 12.0, 3.0], -8.0),  # (x - 3) / 2 * 6 + 1
        (True, True, [6.0, 12.0, 3.0], 7.0),  # (x + 5 - 3) / 2 * 6 + 1
        (False, False, [1.0, 2.0, 0.5], -1.5),  # (x - 3) / 2
    ],
)
def test_factor_and_shift_of_the_norm_go_into_the_convolution(bias, affine, weights, shift):
    network = folded(pixelwise(nn.BatchNorm2d(1, eps=0, affine=affine), bias=bias), called)
    assert network[0].weight.flatten().tolist() == weights
    assert network[0].bias.tolist() == [shift]
    assert num_norms(network) == 0
    assert network(torch.ones(1, 3, 1, 1)).item() == sum(weights) + shift


def test_the_activation_in_a_norm_of_timm_is_kept():
    network = folded(pixelwise(BatchNormAct2d(1, eps=0), bias=False), called)
    assert num_norms(network) == 0
    for grey, expected in ((1.0, 13.0), (0.0, 0.0)):  # 21 - 8, and -8 before the ReLU
        assert network(torch.full((1, 3, 1, 1), grey)).item() == expected


NETWORKS = {  # and how many batch norms they have, before and after
    "resnet18": (make_backbone, {}, called, (20, 0)),
    "lite0": (make_backbone, {"backbone": LITE}, called, (49, 0)),
    # Before activation: the first norm of a block comes after a sum.
    "pre-activation": (
        make_backbone,
        {"backbone": "resnetv2_50", "output_stride": 32},
        called,
        (49, 17),
    ),
    "deeplab": (make_segmenter, {"method": "deeplab"}, lambda m, images: m.logits(images), (25, 0)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_networks_give_the_same_and_the_given_ones_stay(name, generator):
    make, changes, compute, (before, after) = NETWORKS[name]
    network = made(make, **changes)
    tensors = deepcopy(network.state_dict())
    lighter = folded(network, compute)

    assert (num_norms(network), num_norms(lighter)) == (before, after)
    images = torch.randn(2, 3, 64, 96, generator=generator)
    with torch.inference_mode():
        expected, found = compute(network, images), compute(lighter, images)
    assert not torch.equal(found, expected)  # rounding: something was folded
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()

    assert network.state_dict().keys() == tensors.keys()
    assert all(torch.equal(t, tensors[key]) for key, t in network.state_dict().items())
    assert all(p.requires_grad for p in network.parameters())
    assert not any(p.requires_grad for p in lighter.parameters())
    assert not {id(p) for p in network.parameters()} & {id(p) for p in lighter.parameters()}


def test_weights_stay_channels_last_and_convolutions_keep_their_type():
    lighter = folded(made(make_backbone, backbone=LITE), called)
    convolutions = [m for m in lighter.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in convolutions)
    assert all(m.bias is not None for m in convolutions)
    assert any(isinstance(m, DilatedDepthwise) for m in convolutions)


@pytest.mark.parametrize("method", ["cam", "recam"])
def test_maps_of_a_classifier_with_a_folded_backbone_are_the_same(method, generator):
    model = made(make_classifier, method=method, weight=1.0)
    lighter = folded(model, lambda m, images: m.backbone(images))
    assert num_norms(lighter) == 0
    images = torch.randn(2, 3, 64, 96, generator=generator)
    expected, found = (maps_of(m, combine="classifier")(images) for m in (model, lighter))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.max().item())


class Pair(nn.Module):
    """A convolution and a norm, registered one after the other."""

    def __init__(self, norm=None):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, kernel_size=3, padding=1)
        self.norm = norm or nn.BatchNorm2d(3)
        self.other = nn.BatchNorm2d(3)
        self.last = nn.Conv2d(3, 3, kernel_size=3, padding=1)

    def forward(self, images):
        return self.norm(self.convolution(images))


class AlsoElsewhere(Pair):
    def forward(self, images):
        features = self.convolution(images)
        return self.norm(features) + features


class OtherOrder(Pair):
    def forward(self, images):
        return self.convolution(self.norm(images))


class ActivatedBetween(Pair):
    def forward(self, images):
        return self.norm(self.convolution(images).relu_())


class CalledTwice(Pair):
    def forward(self, images):
        return self.norm(self.convolution(self.norm(self.convolution(images))))


class TwoNorms(Pair):
    def forward(self, images):
        features = self.convolution(images)
        return self.norm(features) - self.other(features)


class NormAndConvolution(Pair):
    def forward(self, images):
        features = self.convolution(images)
        return self.norm(features) - self.last(features)


class WeightElsewhere(Pair):
    def forward(self, images):
        return super().forward(images) + self.convolution.weight.sum()


class OtherNorm(nn.BatchNorm2d):
    def forward(self, input):
        return 2 * super().forward(input)


class LargeImagesOnly(Pair):
    def forward(self, images):
        if images.shape[2] < 200:
            raise ValueError("too small")
        return super().forward(images)


def hooked():
    network = Pair()
    network.norm.register_forward_hook(lambda *call: call[-1] + 1)  # the result
    return network


def parametrised():
    network = Pair()
    weight_norm(network.convolution)
    return network


# What is seen while an image passes through keeps one pair as it is, what is not the whole network.
SEEN = {
    "other order": OtherOrder,
    "called twice": CalledTwice,
    "two norms": TwoNorms,
    "norm and convolution": NormAndConvolution,
    "other norm": lambda: Pair(OtherNorm(3)),
    "without statistics": lambda: Pair(nn.BatchNorm2d(3, track_running_stats=False)),
    "hooked": hooked,
    "parametrised": parametrised,
}
UNSEEN = {
    "also elsewhere": AlsoElsewhere,
    "activated between": ActivatedBetween,
    "weight elsewhere": WeightElsewhere,
    "large images only": LargeImagesOnly,
}


def kept(name):
    with seeded_initialisation(0, "test"):
        return drawn((SEEN | UNSEEN)[name]())


@pytest.mark.parametrize("name", SEEN | UNSEEN)
def test_a_network_that_cannot_be_folded_safely_is_unchanged(name, generator):
    network = kept(name)
    images = torch.randn(2, 3, 200, 200, generator=generator)
    expected = network(images)
    same = folded(network, called)
    assert same is network
    assert torch.equal(same(images), expected)


@pytest.mark.parametrize("name", SEEN)
def test_one_layer_is_folded_beside_another_that_cannot_be(name, generator):
    network = nn.Sequential(drawn(Pair()), kept(name))
    lighter = folded(network, called)
    assert type(lighter[0].norm) is nn.Sequential
    assert type(lighter[1].norm) is type(network[1].norm)
    images = torch.randn(2, 3, 8, 8, generator=generator)
    torch.testing.assert_close(lighter(images), network(images))


def test_a_norm_in_training_mode_is_not_folded():
    network = nn.Sequential(drawn(Pair()), drawn(Pair()))
    network[1].norm.train()
    mean = network[1].norm.running_mean.clone()
    lighter = folded(network, called)
    assert [type(pair.norm) for pair in lighter] == [nn.Sequential, nn.BatchNorm2d]
    assert torch.equal(network[1].norm.running_mean, mean)
