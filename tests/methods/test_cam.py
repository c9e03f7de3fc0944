"""Class activation maps: the laws that tie maps, logits and loss together."""

import math

import pytest
import torch
from torch import nn

from recam.methods.cam import Cam, bias_free_weights, multilabel_loss, pooled_logits, project

CLASSES, CHANNELS = 3, 5


@pytest.fixture
def cam(generator):
    """A CAM on a backbone that looks at each pixel alone."""
    backbone = nn.Conv2d(3, CHANNELS, kernel_size=1)
    model = Cam(backbone, channels=CHANNELS, num_classes=CLASSES)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model


@pytest.fixture
def images(generator):
    """Two images of 4 x 6 pixels."""
    return torch.randn(2, 3, 4, 6, generator=generator)


def test_a_projection_is_the_weighted_sum_of_the_channels():
    features = torch.tensor([[[[1.0, 2.0]], [[10.0, 20.0]]]])  # 1 image, 2 channels, 1 x 2 grid
    weights = torch.tensor([[1.0, 0.5], [-1.0, 0.0]])
    assert project(weights, features).tolist() == [[[[6.0, 12.0]], [[-1.0, -2.0]]]]


def test_the_spatial_mean_of_unrectified_maps_equals_the_logits(cam, images):
    unrectified = project(cam.classifier, cam.backbone(images))
    torch.testing.assert_close(unrectified.mean(dim=(2, 3)), cam.logits(images))


def test_maps_are_the_rectified_projection(cam, images):
    unrectified = project(cam.classifier, cam.backbone(images))
    assert (unrectified < 0).any()
    torch.testing.assert_close(cam.maps(images), unrectified.clamp(min=0))


def test_flipping_the_image_flips_the_maps(cam, images):
    torch.testing.assert_close(cam.maps(images.flip(3)), cam.maps(images).flip(3))


def test_flipping_the_image_keeps_the_logits(cam, images):
    torch.testing.assert_close(cam.logits(images.flip(3)), cam.logits(images))


def test_pooled_logits_by_hand():
    features = torch.tensor([[[[1.0, 3.0]], [[0.0, 4.0]]]])  # spatial means 2 and 2
    weights = torch.tensor([[1.0, 0.5], [-1.0, 0.0]])
    assert pooled_logits(weights, features).tolist() == [[3.0, -2.0]]


def test_the_loss_by_hand():
    # Logits 0 cost ln 2 each, whatever the label; a logit of ln 3 on a present class ln(4/3).
    logits = torch.tensor([[0.0, math.log(3)]])
    labels = torch.tensor([[False, True]])
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert multilabel_loss(logits, labels).item() == pytest.approx(expected)


def test_the_loss_equals_the_multilabel_soft_margin_loss_of_torch(generator):
    logits = torch.randn(4, CLASSES, generator=generator)
    labels = torch.rand(4, CLASSES, generator=generator) < 0.5
    expected = nn.MultiLabelSoftMarginLoss()(logits, labels.float())
    torch.testing.assert_close(multilabel_loss(logits, labels), expected)


def test_training_sees_the_loss_of_the_logits(cam, images):
    labels = torch.tensor([[True, False, False], [False, True, True]])
    losses = cam.loss(images, labels)
    assert list(losses) == ["bce"]
    torch.testing.assert_close(losses["bce"], multilabel_loss(cam.logits(images), labels))


def test_the_loss_reaches_backbone_and_classifier(cam, images):
    cam.loss(images, torch.ones(2, CLASSES, dtype=torch.bool))["bce"].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in cam.parameters())


def test_initial_weights_fill_the_range_of_one_over_the_root_of_the_channels():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = bias_free_weights(50, 16).detach()
    assert weights.shape == (50, 16)
    assert weights.abs().max() <= 1 / 4
    # 800 uniform draws: the largest comes near the bound, the mean near 0.
    assert weights.abs().max() > 0.24
    assert abs(weights.mean()) < 0.03
