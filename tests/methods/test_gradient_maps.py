"""Maps from gradients: values by hand, the equations written as loops, and Grad-CAM beside CAM."""

import doctest

import pytest
import torch
from torch import nn
from torch.nn import functional

from recam.core.errors import UserError
from recam.methods import gradient_maps
from recam.methods.cam import Cam, project
from recam.methods.gradient_maps import (
    fused,
    grad_cam,
    grad_cam_plus_plus,
    gradient_readout,
    layer_cam,
)

RULES = [grad_cam, grad_cam_plus_plus, layer_cam]
CLASSES = 4


class Levelled(nn.Module):
    """Two levels, at strides 1 and 2, and a layer behind them; it tells left from right."""

    def __init__(self):
        super().__init__()
        self.early = nn.Conv2d(3, 4, kernel_size=(1, 3), padding=(0, 1))
        self.late = nn.Conv2d(4, 5, kernel_size=2, stride=2)
        self.head = nn.Conv2d(5, 6, kernel_size=1)

    def with_levels(self, images):
        early = self.early(images).tanh()
        late = self.late(early).relu()
        return [early, late], self.head(late).relu()

    def forward(self, images):
        return self.with_levels(images)[1]


class HeadLess(Levelled):
    """The same without a layer behind the last level."""

    def with_levels(self, images):
        levels, _ = super().with_levels(images)
        return levels, levels[-1]


def drawn(backbone, channels):
    generator = torch.Generator().manual_seed(1)
    model = Cam(backbone, channels=channels, num_classes=CLASSES).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model


@pytest.fixture
def cam():
    """A CAM in double precision."""
    return drawn(Levelled(), 6)


@pytest.fixture
def images(generator):
    """Three images of 4 x 6 pixels."""
    return torch.randn(3, 3, 4, 6, generator=generator, dtype=torch.float64)


@pytest.fixture
def present():
    """Two classes, one, and none."""
    return torch.tensor(
        [[True, False, True, False], [False, False, False, True], [False, False, False, False]]
    )


@torch.no_grad()
def read(model, images, present, *, rule=layer_cam, levels=(-1, -2)):
    return gradient_readout(model.backbone, model.weights, rule, levels=levels)(images, present)


# Rules, by hand: one image, two channels, a grid of 1 x 2

FEATURES = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])
GRADIENTS = torch.tensor([[[[1.0, 3.0]], [[-2.0, 1.0]]]])


def test_grad_cam_weighs_channels_by_their_mean_gradient():
    # weights 2 and -1/2: 2 * 1 - 3 / 2, and 2 * 2
    assert grad_cam(FEATURES, GRADIENTS).tolist() == [[[0.5, 4.0]]]


def test_grad_cam_rectifies_the_sum():
    assert grad_cam(FEATURES, -GRADIENTS).tolist() == [[[0.0, 0.0]]]


def test_layer_cam_weighs_each_position_by_its_positive_gradient():
    assert layer_cam(FEATURES, GRADIENTS).tolist() == [[[1.0, 6.0]]]


def test_grad_cam_plus_plus_weighs_positive_gradients_by_their_share():
    # Sums of A are 3 and 3. Channel one: 1 / (2 + 3) + 3 / (2 + 9); channel two: 1 / (2 + 3).
    one, two = 1 / 5 + 3 / 11, 1 / 5
    expected = torch.tensor([[[one * 1 + two * 3, one * 2]]])
    torch.testing.assert_close(grad_cam_plus_plus(FEATURES, GRADIENTS), expected)


def test_grad_cam_plus_plus_is_the_equation_of_its_paper_on_rectified_features(generator):
    features = torch.rand(1, 3, 2, 2, generator=generator, dtype=torch.float64)
    gradients = torch.randn(1, 3, 2, 2, generator=generator, dtype=torch.float64)
    expected = torch.zeros(2, 2, dtype=torch.float64)
    for feature, gradient in zip(features[0], gradients[0], strict=True):
        weight = 0.0
        for g in gradient.flatten():
            share = g**2 / (2 * g**2 + feature.sum() * g**3)
            weight += share * g.clamp(min=0)
        expected += weight * feature
    torch.testing.assert_close(grad_cam_plus_plus(features, gradients)[0], expected.clamp(min=0))


def test_grad_cam_plus_plus_stays_finite_on_negative_features():
    maps = grad_cam_plus_plus(torch.full((1, 1, 1, 2), -1.0), torch.ones(1, 1, 1, 2))
    assert maps.tolist() == [[[0.0, 0.0]]]


# Fusion


def test_levels_are_divided_by_their_peaks_and_fused_by_the_maximum():
    fine = torch.tensor([[[[0.0, 4.0, 1.0, 0.0]]]])
    coarse = torch.tensor([[[[1e-9, 2e-9]]]])  # enlarged: 1, 1.25, 1.75, 2
    expected = torch.tensor([[[[0.5, 1.0, 0.875, 1.0]]]])
    torch.testing.assert_close(fused([coarse, fine]), expected)


def test_a_map_of_zeros_stays_zero():
    assert fused([torch.zeros(1, 2, 2, 2)]).tolist() == torch.zeros(1, 2, 2, 2).tolist()


# Read-outs


def naive(model, image, category, rule, levels):
    """The maps of both views at each level, one image, class and view at a time."""
    total = {}
    for view in (image, image.flip(2)):
        early, final = model.backbone.with_levels(view[None])
        every = [*early, final]
        score = final.mean(dim=(2, 3))[0] @ model.weights[category]
        for level in levels:
            (gradient,) = torch.autograd.grad(score, every[level], retain_graph=True)
            found = rule(every[level].detach(), gradient)
            flipped = found if view is image else found.flip(2)
            total[level] = total.get(level, 0) + flipped
    size = max((one.shape[1:] for one in total.values()), key=lambda shape: shape.numel())
    enlarged = [
        functional.interpolate(one[None], size=size, mode="bilinear") for one in total.values()
    ]
    return torch.stack([one[0, 0] / one.max().clamp(min=1e-300) for one in enlarged]).amax(dim=0)


@pytest.mark.parametrize("levels", [(-1,), (-2,), (-3,), (-1, -2), (-3, -1)])
@pytest.mark.parametrize("rule", RULES)
def test_maps_are_those_of_one_backward_pass_per_image_and_class(
    cam, images, present, rule, levels
):
    maps = read(cam, images, present, rule=rule, levels=levels)
    found = [maps[image, category] for image, category in present.nonzero().tolist()]
    expected = [
        naive(cam, images[image], category, rule, levels)
        for image, category in present.nonzero().tolist()
    ]
    assert any(one.max() == 1 for one in found)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", [(Levelled, 6), (HeadLess, 5)])
def test_grad_cam_at_the_final_features_is_cam_up_to_a_factor(images, kind):
    backbone, channels = kind
    model = drawn(backbone(), channels)
    everything = torch.ones(3, CLASSES, dtype=torch.bool)
    maps = read(model, images, everything, rule=grad_cam, levels=(-1,))
    with torch.no_grad():
        cams = model.maps(images) + model.maps(images.flip(3)).flip(3)
    peaks = cams.amax(dim=(2, 3), keepdim=True)
    assert (peaks > 0).sum() > CLASSES
    torch.testing.assert_close(maps * peaks, cams)


def test_other_weights_are_judged_alike(cam, images):
    """As for the combinations of ReCAM."""
    other = cam.weights.detach().flip(0) ** 3
    everything = torch.ones(3, CLASSES, dtype=torch.bool)
    maps = gradient_readout(cam.backbone, other, grad_cam, levels=(-1,))(images, everything)
    with torch.no_grad():
        features = [cam.features(images), cam.features(images.flip(3)).flip(3)]
        cams = sum(project(other, each).relu() for each in features)
    torch.testing.assert_close(maps * cams.amax(dim=(2, 3), keepdim=True), cams)


def test_absent_classes_are_zero(cam, images, present):
    maps = read(cam, images, present)
    assert maps[~present].abs().max() == 0
    assert (maps[present].amax(dim=(1, 2)) > 0).any()


def test_an_image_without_a_class_is_zero_on_its_own(cam, images, present):
    assert read(cam, images[2:], present[2:]).abs().max() == 0


@pytest.mark.parametrize("rule", RULES)
def test_an_image_has_the_maps_that_it_has_alone(cam, images, present, rule):
    alone = [
        read(cam, images[n : n + 1], present[n : n + 1], rule=rule) for n in range(len(images))
    ]
    torch.testing.assert_close(read(cam, images, present, rule=rule), torch.cat(alone))


def test_a_mirrored_image_has_mirrored_maps(cam, images, present):
    mirrored = read(cam, images.flip(3), present)
    torch.testing.assert_close(mirrored, read(cam, images, present).flip(3))


def test_gradients_leave_no_trace(cam, images, present):
    before = [parameter.clone() for parameter in cam.parameters()]
    with torch.no_grad():
        maps = read(cam, images, present)
        assert not torch.is_grad_enabled()
    assert not maps.requires_grad
    assert not images.requires_grad
    for parameter, earlier in zip(cam.parameters(), before, strict=True):
        assert parameter.grad is None
        assert parameter.requires_grad
        assert torch.equal(parameter, earlier)


def test_a_frozen_network_has_the_same_maps(cam, images, present):
    expected = read(cam, images, present)
    cam.requires_grad_(requires_grad=False)
    assert torch.equal(read(cam, images, present), expected)


def test_maps_are_computed_in_single_precision_inside_autocast(images, present):
    model = drawn(Levelled(), 6).float()
    expected = read(model, images.float(), present)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(read(model, images.float(), present), expected)


def test_a_level_that_the_backbone_lacks_is_refused(cam, images, present):
    expected = (
        r"^make_cams\.levels: got -4, a level that the backbone lacks; choose among its levels "
        r"-3 \(4 channels\), -2 \(5 channels\), -1 \(6 channels\)$"
    )
    with pytest.raises(UserError, match=expected):
        read(cam, images, present, levels=(-1, -4))


def test_the_last_level_counts_once_where_it_is_the_final_features(images, present):
    with pytest.raises(UserError, match=r"-2 \(4 channels\), -1 \(5 channels\)$"):
        read(drawn(HeadLess(), 5), images, present, levels=(-3,))


def test_the_example_of_the_read_out_runs():
    assert doctest.testmod(gradient_maps) == (0, 4)
