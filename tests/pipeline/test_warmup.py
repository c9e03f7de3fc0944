"""The warm-up of the re-classifier."""

import copy

import pytest
import torch
from torch import nn

from recam.methods.cam import Cam
from recam.methods.recam import ReCam
from recam.pipeline.warmup import WarmUp, warm_up

CPU = torch.device("cpu")
RECIPE = WarmUp(steps=20, learning_rate=0.5, momentum=0.9, weight_decay=0.0)


@pytest.fixture
def model():
    """A ReCAM with a batch norm, which training would change."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 6, kernel_size=1), nn.BatchNorm2d(6), nn.ReLU())
    cam = Cam(backbone, channels=6, num_classes=2)
    with torch.no_grad():
        cam.classifier.abs_()  # every map has a peak, so that every class has a feature
    return ReCam(cam, weight=1.0)


@pytest.fixture
def batch():
    """Four images: the first class is bright on the left, the second one on the right."""
    images = torch.zeros(4, 3, 4, 4)
    images[:2, 0, :, :2], images[2:, 1, :, 2:] = 3.0, 3.0
    labels = torch.tensor([[True, False], [True, False], [False, True], [False, True]])
    return [images, labels]


def test_v_alone_changes_and_its_loss_falls(model, batch):
    before = copy.deepcopy(model.state_dict())
    start = model.eval().loss(*batch)["sce"].item()
    warm_up(model, lambda _: [batch], RECIPE, device=CPU)
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"reclassifier"}
    assert model.eval().loss(*batch)["sce"].item() < start / 2


def test_a_step_is_that_of_plain_gradient_descent(model, batch):
    twin = copy.deepcopy(model).eval()
    (gradient,) = torch.autograd.grad(twin.loss(*batch)["sce"], [twin.reclassifier])
    one = WarmUp(steps=1, learning_rate=0.5, momentum=0.9, weight_decay=0.1)
    warm_up(model, lambda _: [batch], one, device=CPU)
    expected = twin.reclassifier - 0.5 * (gradient + 0.1 * twin.reclassifier)
    assert gradient.abs().max() > 0
    torch.testing.assert_close(model.reclassifier, expected)


def test_everything_trains_afterwards(model, batch):
    model.backbone[0].bias.requires_grad = False  # a frozen parameter stays frozen
    warm_up(model, lambda _: [batch], RECIPE, device=CPU)
    assert model.training
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == ["variant.backbone.0.bias"]
    assert model.reclassifier.grad is None


def test_batches_come_from_epochs_that_no_training_takes(model, batch):
    epochs = []

    def batches(epoch):
        epochs.append(epoch)
        return [batch] * 8

    warm_up(model, batches, RECIPE, device=CPU)
    assert epochs == [0, -1, -2]


def test_no_step_changes_nothing(model, batch):
    before = copy.deepcopy(model.state_dict())
    none = WarmUp(steps=0, learning_rate=0.5, momentum=0.9, weight_decay=0.0)
    warm_up(model, lambda _: [batch], none, device=CPU)
    assert all(torch.equal(value, before[n]) for n, value in model.state_dict().items())
