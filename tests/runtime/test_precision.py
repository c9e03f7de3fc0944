"""Mixed precision: values that stay in float32, and the effect of rounding them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_networks import CONFIG
from torch import nn

from recam.catalogue.methods import make_classifier
from recam.core.labels import seed_mask
from recam.methods.cam import Cam, peak_normalised, project
from recam.methods.recam import ReCam
from recam.methods.variant import both_views
from recam.models.depthwise import use_fast_depthwise_gradients
from recam.models.segmenters import Segmenter
from recam.pipeline.inference import averaged
from recam.runtime.devices import make_device
from recam.runtime.precision import autocast, emulation_warnings, make_precision
from recam.steps.sections.machine import Machine

CPU = torch.device("cpu")
SIDE = 24


class Convolution(nn.Module):
    """A backbone of one layer, which autocast shortens."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 16, 3, padding=1)

    def forward(self, images):
        return self.layer(images).relu()


class OneLayer(Segmenter):
    """The smallest segmenter."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)

    def logits(self, images):
        return self.layer(images)


@pytest.fixture
def images(generator):
    return torch.randn(4, 3, SIDE, SIDE, generator=generator)


@pytest.fixture
def labels():
    return torch.tensor([[True, False], [True, True], [False, True], [False, False]])


@pytest.fixture
def cam(generator):
    model = Cam(Convolution(), channels=16, num_classes=2)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 4
    return model


def shortened():
    return autocast(torch.bfloat16, CPU)


def test_auto_is_single_precision_on_a_cpu():
    assert make_precision("auto", CPU) == torch.float32
    assert make_precision("bf16", CPU) == torch.bfloat16
    assert make_precision("fp32", CPU) == torch.float32


def test_inference_takes_the_precision_of_all_steps_or_its_own():
    machine = Machine(device="cpu", devices=1, precision="auto", threads=1)
    assert machine.precision_for("machine") == "auto"
    assert machine.precision_for("bf16") == "bf16"


def test_a_cpu_that_emulates_bf16_gives_a_warning():
    (words,) = emulation_warnings({"avx512_f": True, "avx512_bf16": False})
    assert words.startswith("precision: this CPU has no instructions for bf16")
    assert words.endswith("set fp32")
    for name in ("avx512_bf16", "amx_bf16", "bf16"):
        assert emulation_warnings({name: True}) == []


def test_no_factor_of_a_product_is_rounded_to_ten_bits():
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    for library in switches:
        library.allow_tf32 = True
    make_device.cache_clear()
    make_device("cpu")
    assert [library.allow_tf32 for library in switches] == [False, False]


def test_single_precision_changes_nothing(cam, images):
    with autocast(torch.float32, CPU):
        inside = cam.maps(images)
    assert torch.equal(inside, cam.maps(images))


@pytest.mark.parametrize("method", ["cam", "recam"])
def test_features_are_bfloat16_and_logits_and_maps_are_float32(cam, images, labels, method):
    """The same numbers as if rounded features had come to a model that computes exactly."""
    model = cam if method == "cam" else ReCam(cam, weight=1.0)
    with shortened():
        features = cam.backbone(images)
        losses = model.loss(images, labels)
        maps = cam.maps(images)
    assert features.dtype == torch.bfloat16
    cam.backbone = Given(features.float())
    model.backbone = cam.backbone
    for name, loss in model.loss(images, labels).items():
        assert torch.equal(losses[name], loss)
    assert torch.equal(maps, cam.maps(images))


class Given(nn.Module):
    """A backbone whose features are known."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, _):
        return self.features


def test_short_maps_would_change_masks_and_short_features_hardly_do(cam, images):
    """Near a peak bfloat16 has steps of 1/256 or 1/128, thresholds have steps of 1/100."""

    def masks(maps):
        scores = peak_normalised(maps).numpy()
        return [seed_mask(s, np.arange(2), threshold=0.6) for s in scores]

    with torch.no_grad():
        exact = masks(cam.maps(images))
        with shortened():
            ours = masks(cam.maps(images))
            short = torch.relu(project(cam.classifier, cam.backbone(images))).float()
        worse = masks(peak_normalised(short).bfloat16().float())
    differing = [
        sum(int((a != b).sum()) for a, b in zip(exact, other, strict=True))
        for other in (ours, worse)
    ]
    assert differing[0] < differing[1]


def test_averaged_maps_of_a_deep_network_in_bf16_are_close(generator):
    """Peaks are 1; differences are below 0.1 everywhere and below 0.02 on average."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make_classifier(replace(CONFIG, method="cam"))
        with torch.no_grad():
            model.train().features(torch.randn(8, 3, 64, 64))  # statistics of batch norms
    images = torch.rand(2, 3, 64, 64, generator=generator).round(decimals=1)
    present = torch.ones(2, 3, dtype=torch.bool)
    maps = []
    for dtype in (torch.float32, torch.bfloat16):
        with torch.no_grad(), autocast(dtype, CPU):
            found = averaged(both_views(model.eval().maps), images, present, scales=(1.0, 1.5))
        maps.append(peak_normalised(found))
    differences = (maps[0] - maps[1]).abs()
    assert 0 < differences.max() < 0.1
    assert differences.mean() < 0.02


def test_weights_and_gradients_stay_long(cam, images, labels):
    with shortened():
        loss = cam.loss(images, labels)["bce"]
    loss.backward()
    for parameter in cam.parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()
    exact = cam.loss(images, labels)["bce"]
    assert loss.item() == pytest.approx(exact.item(), rel=1e-2)


def test_probabilities_and_losses_of_a_segmenter_stay_long(images):
    model = OneLayer()
    masks = torch.randint(0, 4, (4, SIDE, SIDE), dtype=torch.uint8)
    with shortened():
        assert model.logits(images).dtype == torch.bfloat16
        maps = model.maps(images)
        loss = model.loss(images, masks)["ce"]
    assert maps.dtype == loss.dtype == torch.float32
    torch.testing.assert_close(maps.sum(1), torch.ones(4, SIDE, SIDE), rtol=0, atol=1e-6)


def test_gradients_of_dilated_depthwise_layers_are_short_where_their_neighbours_are(generator):
    layer = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, bias=False)
    images = torch.randn(2, 4, 6, 6, generator=generator)
    gradients = []
    for quick in (False, True):
        if quick:
            use_fast_depthwise_gradients(layer)
        layer.weight.grad = None
        given = images.clone().requires_grad_()
        with shortened():
            made = layer(given)
        assert made.dtype == torch.bfloat16
        made.float().square().mean().backward()
        gradients.append((given.grad, layer.weight.grad))
    for theirs, ours in zip(*gradients, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.002)
