"""Networks of timm with a feature grid: channels-last, any image size, no early level."""

from dataclasses import replace

import pytest
import timm
import torch
from tiny_networks import CONFIG
from torch.nn import functional

from recam.catalogue.backbones import make_backbone
from recam.catalogue.methods import make_classifier
from recam.catalogue.segmenters import make_segmenter
from recam.core.errors import UserError
from recam.models.backbones import TimmBackbone

SWIN = "swin_tiny_patch4_window7_224"
WITHOUT_EARLY = "sequencer2d_s"  # strides 7 and 14


@pytest.fixture(scope="module", params=[SWIN, "test_mambaout"])
def channels_last(request):
    """A network whose final features are (B, h, w, C) in timm."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TimmBackbone(request.param, output_stride=32).eval()


@pytest.fixture
def images(generator):
    """Two images of 64 x 96 pixels."""
    return torch.randn(2, 3, 64, 96, generator=generator)


@torch.no_grad()
def test_features_are_timms_own_channels_first(channels_last, images):
    levels, features = channels_last.with_levels(images)
    theirs = channels_last.network.forward_features(images)
    assert torch.equal(features, theirs.permute(0, 3, 1, 2))
    assert torch.equal(features, channels_last(images))
    early, last = channels_last.with_skip(images)
    assert torch.equal(early, levels[0])
    assert torch.equal(last, features)
    assert channels_last.level_strides == (4, 8, 16, 32)
    for level, channels, stride in zip(
        levels, channels_last.level_channels, channels_last.level_strides, strict=True
    ):
        assert level.shape == (2, channels, 64 // stride, 96 // stride)


@torch.no_grad()
def test_odd_images_are_padded_to_whole_cells(channels_last, generator):
    image = torch.randn(1, 3, 61, 93, generator=generator)
    padded = functional.pad(image, (0, 3, 0, 3))
    if channels_last.name == SWIN:
        assert torch.equal(channels_last(image), channels_last(padded))
    assert channels_last(image).shape[2:] == (2, 3)


@pytest.mark.parametrize("name", [SWIN, "test_mambaout"])
def test_every_parameter_of_a_channels_last_classifier_learns(generator, name):
    config = replace(CONFIG, backbone=name, output_stride=32, method="recam", weight=1.0)
    images = torch.randn(1, 3, 61, 35, generator=generator)
    present = torch.tensor([[True, False, True]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make_classifier(config).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(2):
        loss = sum(model.loss(images, present).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    unused = [name for name, each in model.named_parameters() if each.grad is None]
    assert all(".head." in name for name in unused)  # of networks that keep a norm there


def test_a_decoder_takes_the_early_level_of_a_channels_last_backbone(images):
    config = replace(CONFIG, backbone="test_mambaout", output_stride=32)
    segmenter = make_segmenter(replace(config, method="deeplab", rates=(1,))).eval()
    assert segmenter.logits(images).shape == (2, 4, 16, 24)


# Without a level at stride 4


def test_a_backbone_without_an_early_level_has_features_and_no_early_channels(images):
    backbone = TimmBackbone(WITHOUT_EARLY, output_stride=14).eval()
    assert backbone.skip_channels == 0
    assert backbone(images).shape == (2, backbone.channels, 4, 6)
    with pytest.raises(UserError) as caught:
        backbone.with_skip(images)
    assert str(caught.value) == (
        f"backbone {WITHOUT_EARLY}: expected a level at stride 4, got 7, 14; choose another "
        "backbone, or a segmenter that needs no such level, such as deeplabv2"
    )


# Refused


def test_a_network_of_one_image_size_is_refused():
    with pytest.raises(UserError) as caught:
        TimmBackbone("visformer_tiny", output_stride=32)
    assert str(caught.value) == (
        "backbone visformer_tiny: expected a network for images of any size, it failed at 97 x 131 "
        "pixels (Input height (49) doesn't match model (112).); choose a convolutional backbone, a "
        "Swin or a plain transformer"
    )


def test_tags_are_timms():
    backbone = make_backbone(replace(CONFIG, backbone="test_resnet.r160_in1k", output_stride=32))
    config = timm.create_model("test_resnet.r160_in1k").pretrained_cfg
    assert backbone.mean == tuple(config["mean"])
    with pytest.raises(UserError, match=r"^backbone test_resnet\.nothing: Invalid pretrained tag"):
        make_backbone(replace(CONFIG, backbone="test_resnet.nothing"))
