"""AdvCAM: beside the naive form, one class at a time, and the laws of the climb."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from recam.methods.advcam import AdvCam, Climb, Penalty
from recam.methods.cam import Cam
from recam.methods.recam import ReCam
from recam.methods.variant import both_views

CLASSES, CHANNELS = 4, 6
CLIMB = Climb(steps=5, step_size=0.2, weight=3.0, threshold=0.4, penalty="published", batch_size=3)
PRESENT = torch.tensor([[True, False, True, False], [False, False, False, True], [True] * 4])
PENALTIES = get_args(Penalty)
CLIMBS = [
    replace(CLIMB, penalty=penalty, weight=weight) for penalty in PENALTIES for weight in (0.0, 3.0)
]


@pytest.fixture
def cam(generator):
    """A CAM on two convolutions with an eval-mode batch norm."""
    backbone = nn.Sequential(
        nn.Conv2d(3, 5, kernel_size=3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, CHANNELS, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
    )
    model = Cam(backbone, channels=CHANNELS, num_classes=CLASSES)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return model.eval()


@pytest.fixture
def images(generator):
    """Three images of 8 x 10 pixels."""
    return torch.randn(3, 3, 8, 10, generator=generator)


def naive(model, weights, image, k, climb):
    """The maps of class k of one image, as the paper describes them: Grad-CAM by autograd."""
    views, first, total = torch.stack([image, image.flip(2)]), None, 0.0
    for _ in range(climb.steps):
        views = views.detach().requires_grad_()
        features = model.features(views)
        logits = torch.einsum("kc,vchw->vkhw", weights, features)
        (gradient,) = torch.autograd.grad(logits[:, k].relu().sum(), features, retain_graph=True)
        importance = gradient.sum(dim=(2, 3)) / (gradient > 0).sum()
        found = torch.einsum("vc,vchw->vhw", importance, features).relu()
        grad_cam = found[0] + found[1].flip(1)
        first = grad_cam.detach() if first is None else first
        total = total + grad_cam.detach()
        scores = logits.relu().mean(dim=(2, 3)).sum(dim=0)
        others = sum(scores[other] for other in range(len(weights)) if other != k)
        responds = (grad_cam / grad_cam.max() > climb.threshold).float()
        penalty = (responds * (grad_cam - first).abs()).sum()
        if climb.penalty == "mean":  # of CAMs, over positions
            penalty = penalty * (weights[k] > 0).sum() / grad_cam.numel()
        (slope,) = torch.autograd.grad(scores[k] - others - climb.weight * penalty, views)
        step = climb.step_size * slope / slope.abs().max()
        views = (views + step).clamp(views.min().item(), views.max().item())
    return total


@pytest.mark.parametrize("climb", CLIMBS)
def test_maps_equal_those_of_one_class_at_a_time(cam, images, climb):
    found = AdvCam(cam, cam.weights, climb)(images, PRESENT)
    for i, k in PRESENT.nonzero().tolist():
        expected = naive(cam, cam.weights.detach(), images[i], k, climb)
        assert expected.max() > 0
        torch.testing.assert_close(
            of_peak_one(found[i, k]), of_peak_one(expected), rtol=0, atol=1e-4
        )


def of_peak_one(maps):
    """The maps over their maximum, without an epsilon: maps of Grad-CAM are small."""
    return maps / maps.max()


def test_the_penalty_and_the_number_of_steps_change_maps(cam, images):
    def read(**changes):
        return AdvCam(cam, cam.weights, replace(CLIMB, **changes))(images, PRESENT)

    assert not torch.allclose(read(weight=0.0), read(), rtol=0.05)
    assert not torch.allclose(read(penalty="mean"), read(), rtol=0.05)
    assert not torch.allclose(read(steps=2), read(), rtol=0.05)
    assert not torch.allclose(read(threshold=0.9), read(), rtol=0.05)


def test_the_first_maps_of_each_view_are_cam_times_its_share_of_positive_positions(cam, images):
    found = AdvCam(cam, cam.weights, replace(CLIMB, steps=1))(images, PRESENT)
    with torch.no_grad():
        plain, mirrored = cam.maps(images), cam.maps(images.flip(3)).flip(3)
    counts = [(one > 0).sum(dim=(2, 3), keepdim=True) for one in (plain, mirrored)]
    expected = 2 * (counts[0] * plain + counts[1] * mirrored) / (counts[0] + counts[1])
    torch.testing.assert_close(found[PRESENT], expected[PRESENT])


def test_with_one_step_an_image_that_equals_its_mirror_image_has_the_maps_of_cam(cam, images):
    even = images + images.flip(3)
    backbone = cam.backbone[:3]  # without the stride, which halves an even width to one side
    model = Cam(backbone, channels=5, num_classes=CLASSES).eval()
    found = AdvCam(model, model.weights, replace(CLIMB, steps=1))(even, PRESENT)
    with torch.no_grad():
        expected = both_views(model.maps)(even, PRESENT)
    torch.testing.assert_close(found[PRESENT], expected[PRESENT])


def test_classes_and_images_do_not_change_each_other(cam, images):
    read = AdvCam(cam, cam.weights, CLIMB)
    together = read(images, PRESENT)
    for i, k in PRESENT.nonzero().tolist():
        alone = torch.zeros(1, CLASSES, dtype=torch.bool)
        alone[0, k] = True
        torch.testing.assert_close(read(images[i : i + 1], alone)[0, k], together[i, k])


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_maps_do_not_depend_on_the_batch_size(cam, images, batch_size):
    expected = AdvCam(cam, cam.weights, CLIMB)(images, PRESENT)
    found = AdvCam(cam, cam.weights, replace(CLIMB, batch_size=batch_size))(images, PRESENT)
    torch.testing.assert_close(found, expected)


def test_absent_classes_have_maps_of_zeros(cam, images):
    found = AdvCam(cam, cam.weights, CLIMB)(images, PRESENT)
    assert not found[~PRESENT].any()
    assert found[PRESENT].amax(dim=(1, 2)).min() > 0


def test_images_without_labels_are_not_climbed(cam, images):
    found = AdvCam(cam, cam.weights, CLIMB)(images, torch.zeros_like(PRESENT))
    assert found.shape[:2] == PRESENT.shape
    assert not found.any()


@pytest.mark.parametrize("penalty", PENALTIES)
def test_maps_are_proportional_to_the_classifier(cam, images, penalty):
    climb = replace(CLIMB, penalty=penalty)
    expected = AdvCam(cam, cam.weights, climb)(images, PRESENT)
    tenfold = AdvCam(cam, 10 * cam.weights, climb)(images, PRESENT)
    torch.testing.assert_close(tenfold, 10 * expected)


def test_the_mean_penalty_weighs_the_same_with_twice_the_channels(cam, images):
    climb = replace(CLIMB, penalty="mean")
    expected = AdvCam(cam, cam.weights, climb)(images, PRESENT)
    double = Cam(Twice(cam.backbone), channels=2 * CHANNELS, num_classes=CLASSES).eval()
    weights = torch.cat([cam.weights, cam.weights], dim=1) / 2
    torch.testing.assert_close(AdvCam(double, weights, climb)(images, PRESENT), expected)
    published = replace(CLIMB, penalty="published")
    found = AdvCam(double, weights, published)(images, PRESENT)
    halved = replace(published, weight=published.weight / 2)
    torch.testing.assert_close(found, AdvCam(cam, cam.weights, halved)(images, PRESENT))


class Twice(nn.Module):
    """A backbone whose features occur twice."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images):
        """The features beside themselves."""
        features = self.backbone(images)
        return torch.cat([features, features], dim=1)


def test_the_published_weight_of_the_penalty_in_units_of_the_mean(cam, images):
    # One class, as the factor has its number of positive weights: P_c / (h * w), a grid of 4 x 5.
    alone = torch.tensor([[False, True, False, False]] * 3)
    positive = int((cam.weights[1] > 0).sum())
    mean = replace(CLIMB, penalty="mean", weight=2.0)
    published = replace(CLIMB, penalty="published", weight=2.0 * positive / 20)
    torch.testing.assert_close(
        AdvCam(cam, cam.weights, published)(images, alone),
        AdvCam(cam, cam.weights, mean)(images, alone),
    )


def test_without_a_penalty_and_other_classes_every_step_raises_the_score(cam, images):
    present = torch.ones(3, 1, dtype=torch.bool)
    means = [
        AdvCam(cam, cam.weights[:1], replace(CLIMB, weight=0.0, steps=steps, step_size=0.02))(
            images, present
        ).mean(dim=(2, 3))
        for steps in (1, 2, 4)
    ]
    assert (means[0] < means[1]).all()
    assert (means[1] < means[2]).all()


def test_steps_without_a_length_repeat_the_first_maps(cam, images):
    still = AdvCam(cam, cam.weights, replace(CLIMB, step_size=0.0))(images, PRESENT)
    first = AdvCam(cam, cam.weights, replace(CLIMB, steps=1))(images, PRESENT)
    torch.testing.assert_close(still, first)


def test_a_class_that_nothing_answers_keeps_maps_of_zeros(cam, images):
    silent = -cam.weights.abs()  # features are never negative
    found = AdvCam(cam, silent, CLIMB)(images, PRESENT)
    assert torch.equal(found, torch.zeros_like(found))


def test_nothing_of_the_model_gets_a_gradient_or_stops_learning(cam, images):
    cam.classifier.requires_grad_(requires_grad=False)
    before = {name: tensor.clone() for name, tensor in cam.state_dict().items()}
    learning = [parameter.requires_grad for parameter in cam.parameters()]
    found = AdvCam(cam, cam.weights, CLIMB)(images, PRESENT)
    assert not found.requires_grad
    assert all(parameter.grad is None for parameter in cam.parameters())
    assert [parameter.requires_grad for parameter in cam.parameters()] == learning
    assert all(torch.equal(before[name], tensor) for name, tensor in cam.state_dict().items())


def test_autocast_and_no_grad_around_the_climb_do_not_change_maps(cam, images):
    expected = AdvCam(cam, cam.weights, CLIMB)(images, PRESENT)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = AdvCam(cam, cam.weights, CLIMB)(images, PRESENT)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_a_reactivated_model_climbs_the_weights_that_it_is_given(cam, images, generator):
    recam = ReCam(cam, weight=1.0).eval()
    nn.init.normal_(recam.reclassifier, generator=generator)
    product = recam.combined("product")
    found = AdvCam(recam, product, CLIMB)(images, PRESENT)
    torch.testing.assert_close(found, AdvCam(cam, product, CLIMB)(images, PRESENT))
    assert not torch.allclose(found, AdvCam(cam, cam.weights, CLIMB)(images, PRESENT))


class Squared(Cam):
    """A variant whose maps are the squares of CAM's."""

    def maps_by(self, images, *weights):
        """The squares."""
        return [maps**2 for maps in super().maps_by(images, *weights)]


def test_a_variant_with_maps_of_its_own_adds_these_up(cam, images):
    model = Squared(cam.backbone, channels=CHANNELS, num_classes=CLASSES).eval()
    model.classifier = cam.classifier
    for shown in (model, ReCam(model, weight=1.0).eval()):
        found = AdvCam(shown, cam.weights, replace(CLIMB, steps=1))(images, PRESENT)
        with torch.no_grad():
            plain, mirrored = cam.maps(images), cam.maps(images.flip(3)).flip(3)
        counts = [(one > 0).sum(dim=(2, 3), keepdim=True) for one in (plain, mirrored)]
        expected = 2 * (counts[0] * plain**2 + counts[1] * mirrored**2) / (counts[0] + counts[1])
        torch.testing.assert_close(found[PRESENT], expected[PRESENT])
