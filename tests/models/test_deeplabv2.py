"""DeepLabV2: dilated ResNets, frozen norms, the sum of branches, three scales and their maximum."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from recam.catalogue.segmenters import make_segmenter
from recam.core.labels import IGNORE
from recam.io.checkpoints import ModelConfig
from recam.models.backbones import TorchvisionResNet, freeze_batch_norm
from recam.models.deeplabv2 import DeepLabV2, _resized_masks
from recam.models.initialisation import seeded_initialisation

MODEL_CONFIG = ModelConfig(
    method="deeplabv2",
    backbone="resnet18",
    output_stride=8,
    classes=("cat", "dog"),
    frozen_batch_norm=True,
    frozen_stem=False,
    rates=(6, 12, 18, 24),
)
LOSSES = ["ce_1", "ce_0.75", "ce_0.5", "ce_max"]


class TinyBackbone(nn.Module):
    """Features at stride 8; smaller images give one cell."""

    channels = 4

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, self.channels, kernel_size=3, stride=8, padding=1)

    def forward(self, images):
        return self.convolution(images).relu()


@pytest.fixture
def images(generator):
    """Two images of 41 x 57 pixels: grids of 6 x 8, 4 x 6 and 3 x 4 cells at the three scales."""
    return torch.randn(2, 3, 41, 57, generator=generator)


@pytest.fixture
def masks(generator):
    """Ids 0 to 2 with a quarter of the pixels ignored."""
    ids = torch.randint(0, 4, (2, 41, 57), generator=generator)
    return torch.where(ids == 3, IGNORE, ids).to(torch.uint8)


@pytest.fixture
def segmenter():
    """A segmenter for background and two classes, whose logits differ by more than a little."""
    with seeded_initialisation(0, "test"):
        model = DeepLabV2(TinyBackbone(), channels=4, num_ids=3, rates=(1, 2))
        for branch in model.branches:
            nn.init.normal_(branch.weight)
            nn.init.normal_(branch.bias)
    return model


def bilinear(grid, size):
    return functional.interpolate(grid, size=size, mode="bilinear", align_corners=False)


def three_logits(segmenter, images):
    """The logits of the images of 41 x 57 pixels and at 3/4 and half of that, rounded down."""
    smaller = [bilinear(images, size) for size in ((30, 42), (20, 28))]
    return [segmenter.logits(scaled) for scaled in (images, *smaller)]


def maximum(logits):
    """The maximum of the three scales, on the grid of the first."""
    one, three_quarters, half = logits
    size = one.shape[2:]
    return torch.maximum(one, torch.maximum(bilinear(three_quarters, size), bilinear(half, size)))


def pillow_masks(masks, size):
    """Each mask resized by Pillow."""
    resized = [
        Image.fromarray(mask.numpy()).resize((size[1], size[0]), Image.Resampling.NEAREST)
        for mask in masks
    ]
    return torch.from_numpy(np.stack([np.asarray(mask) for mask in resized]))


# Dilated ResNets


def kernels(stage):
    """Dilation and padding of the 3x3 convolutions of a stage."""
    found = [m for m in stage.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    return [(convolution.dilation, convolution.padding) for convolution in found]


def same(rate, count):
    return [((rate, rate), (rate, rate))] * count


@pytest.mark.parametrize(
    ("stride", "rates"), [(8, (1, 1, 2, 4)), (16, (1, 1, 1, 2)), (32, (1, 1, 1, 1))]
)
def test_each_stage_is_dilated_by_the_strides_it_lost(stride, rates):
    backbone = TorchvisionResNet("resnet18", output_stride=stride, dilated=True)
    stages = (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)
    for stage, rate in zip(stages, rates, strict=True):
        assert kernels(stage) == same(rate, 4)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_nothing_is_dilated_unless_asked(stride):
    backbone = TorchvisionResNet("resnet18", output_stride=stride)
    assert kernels(backbone) == same(1, 16)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "carrier", "size"), [("resnet18", "conv1", (64, 96)), ("resnet50", "conv2", (49, 65))]
)
def test_dilation_fills_in_between_the_features_of_the_strided_network(
    name, carrier, size, generator
):
    """Every fourth feature at stride 8 is one of those at stride 32, also at borders.

    That holds where the convolutions that carried the strides have the dilation before.
    """
    with seeded_initialisation(0, "test"):
        strided = TorchvisionResNet(name, output_stride=32).eval().double()
    dense = TorchvisionResNet(name, output_stride=8, dilated=True).eval().double()
    dense.load_state_dict(strided.state_dict())
    for stage, before in ((dense.layer3, 1), (dense.layer4, 2)):
        convolution = stage[0].get_submodule(carrier)
        convolution.dilation = convolution.padding = (before, before)
    images = torch.randn(1, 3, *size, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(dense(images)[:, :, ::4, ::4], strided(images))


@pytest.mark.parametrize(("size", "cells"), [(321, 41), (240, 31), (160, 21), (513, 65)])
def test_grids_have_the_published_sizes(size, cells):
    backbone = make_segmenter(MODEL_CONFIG).backbone.eval()
    with torch.no_grad():
        assert backbone(torch.zeros(1, 3, size, 64)).shape[2] == cells


# Frozen norms


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_norm_frozen_with_its_affine_weights_keeps_all_it_has():
    network = nn.Sequential(nn.Conv2d(3, 4, kernel_size=1), nn.BatchNorm2d(4))
    freeze_batch_norm(network, affine=True)
    network.train()
    assert trainable(network) == {"0.weight", "0.bias"}
    assert (network[0].training, network[1].training) == (True, False)


def test_only_convolutions_train_where_norms_are_frozen(images, masks):
    model = make_segmenter(MODEL_CONFIG).train()
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    before = {n: t.clone() for n, t in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    torch.stack(list(model.loss(images, masks).values())).sum().backward()
    optimizer.step()
    kept = {n for n, t in model.state_dict().items() if torch.equal(t, before[n])}
    assert kept == {name for name in before if name.rpartition(".")[0] in norms}


def test_norms_train_where_they_are_not_frozen():
    model = make_segmenter(replace(MODEL_CONFIG, frozen_batch_norm=False)).train()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


# The head


def test_a_segmenter_is_built_with_a_dilated_backbone_and_the_rates_asked_for(images):
    model = make_segmenter(MODEL_CONFIG)
    assert isinstance(model, DeepLabV2)
    assert kernels(model.backbone.layer4) == same(4, 4)
    rates = [branch.dilation[0] for branch in model.branches]
    assert rates == [branch.padding[0] for branch in model.branches] == [6, 12, 18, 24]
    assert model.logits(images).shape == (2, 3, 6, 8)


def test_logits_are_the_sum_of_the_branches(segmenter, images):
    features = segmenter.backbone(images)
    expected = sum(
        functional.conv2d(features, branch.weight, branch.bias, padding=rate, dilation=rate)
        for rate, branch in enumerate(segmenter.branches, start=1)
    )
    assert expected.shape == (2, 3, 6, 8)
    torch.testing.assert_close(segmenter.logits(images), expected)


def test_the_head_starts_small():
    """25920 weights: their deviation is known to 0.5 percent."""
    with seeded_initialisation(0, "test"):
        model = DeepLabV2(TinyBackbone(), channels=240, num_ids=3, rates=(6, 12, 18, 24))
    weights = torch.cat([branch.weight.flatten() for branch in model.branches])
    assert weights.std().item() == pytest.approx(0.01, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=0.0003)
    assert all(branch.bias.eq(0).all() for branch in model.branches)


# Three scales


def test_the_losses_are_those_of_three_scales_and_their_maximum(segmenter, images, masks):
    scaled = three_logits(segmenter, images)
    assert [tuple(logits.shape[2:]) for logits in scaled] == [(6, 8), (4, 6), (3, 4)]
    losses = segmenter.loss(images, masks)
    assert list(losses) == LOSSES
    for name, logits in zip(LOSSES, [*scaled, maximum(scaled)], strict=True):
        ids = pillow_masks(masks, logits.shape[2:]).long()
        log = logits.log_softmax(dim=1)
        judged = (ids != IGNORE).nonzero().tolist()
        assert 0 < len(judged) < ids.numel()
        expected = -sum(log[b, ids[b, y, x], y, x] for b, y, x in judged) / len(judged)
        torch.testing.assert_close(losses[name], expected)


def test_ignored_masks_cost_nothing(segmenter, images):
    losses = segmenter.loss(images, torch.full((2, 41, 57), IGNORE, dtype=torch.uint8))
    assert [loss.item() for loss in losses.values()] == [0, 0, 0, 0]


def test_foreground_is_counted_once_on_the_largest_grid(segmenter, images, masks):
    segmenter.loss(images, masks)
    small = pillow_masks(masks, (6, 8))
    judged = small != IGNORE
    found = maximum(three_logits(segmenter, images)).argmax(dim=1)
    expected = [judged, judged & (small > 0), judged & (found > 0)]
    assert segmenter.foreground.counts.tolist() == [int(e.sum()) for e in expected]


@torch.no_grad()
def test_maps_are_the_probabilities_of_the_maximum(segmenter, images):
    largest = maximum(three_logits(segmenter, images)).exp()
    maps = segmenter.maps(images)
    assert maps.shape == (2, 3, 6, 8)
    torch.testing.assert_close(maps, largest / largest.sum(dim=1, keepdim=True))


@torch.no_grad()
def test_scales_agree_on_an_image_without_structure(generator):
    """Of one colour, with a 1x1 head and backbone, all sizes of an image give the same logits."""
    backbone = nn.Conv2d(3, 4, kernel_size=1, stride=8)
    model = DeepLabV2(backbone, channels=4, num_ids=3, rates=(1,))
    model.branches = nn.ModuleList([nn.Conv2d(4, 3, kernel_size=1)])
    colour = torch.randn(1, 3, 1, 1, generator=generator).expand(1, 3, 40, 56)
    losses = model.loss(colour, torch.ones(1, 40, 56, dtype=torch.uint8))
    expected = model.logits(colour).log_softmax(dim=1)[0, 1, 0, 0]
    torch.testing.assert_close(torch.stack(list(losses.values())), -expected.expand(4))
    torch.testing.assert_close(model.maps(colour), model.logits(colour).softmax(dim=1))


@pytest.mark.parametrize("size", [(321, 321), (97, 65), (5, 9)])
@pytest.mark.parametrize("grid", [(41, 41), (30, 17), (8, 8), (1, 2)])
def test_masks_are_resized_as_pillow_does(size, grid, generator):
    """Sides of an odd length: nearest pixels are unique."""
    masks = torch.randint(0, 256, (2, *size), generator=generator, dtype=torch.uint8)
    assert torch.equal(_resized_masks(masks, grid), pillow_masks(masks, grid))


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 9)])
def test_the_smallest_images_have_logits(segmenter, size, generator):
    images = torch.randn(1, 3, *size, generator=generator)
    losses = segmenter.loss(images, torch.ones(1, *size, dtype=torch.uint8))
    assert all(loss.isfinite() for loss in losses.values())
    assert segmenter.maps(images).shape == segmenter.logits(images).shape
