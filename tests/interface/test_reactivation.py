"""``recam.reactivate``: any classifier with a pooled feature map, and refusals of all others."""

import copy
import logging

import numpy as np
import pytest
import timm
import torch
import torchvision
from timm.models.swin_transformer import SwinTransformer
from tiny_networks import Own
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import recam
from recam.core.errors import UserError
from recam.interface.heads import find_head
from recam.methods.cam import Cam, peak_normalised
from recam.methods.recam import ReCam, softmax_loss

IMAGES = torch.rand(6, 3, 48, 48, generator=torch.Generator().manual_seed(0))
PRESENT = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0], [0, 0, 1], [1, 0, 0]]).bool()
INDICES = torch.tensor([0, 1, 2, 0, 1, 2])
BATCHES = [(IMAGES[:4], PRESENT[:4]), (IMAGES[4:], PRESENT[4:])]


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def of_torchvision(name):
    return seeded(lambda: torchvision.models.get_model(name, num_classes=3)).eval()


def of_timm(name):
    return seeded(lambda: timm.create_model(name, num_classes=3)).eval()


def swin():
    """A Swin of two small stages, whose feature map is (B, 8, 8, 32)."""
    sizes = {"img_size": 64, "window_size": 4, "embed_dim": 16}
    stages = {"depths": (1, 1), "num_heads": (2, 2), "num_classes": 3}
    return seeded(lambda: SwinTransformer(**sizes, **stages)).eval()


def own():
    return seeded(Own).eval()


def quick(model, layer=None, data=BATCHES, **options):
    return recam.reactivate(model, layer, data, **{"epochs": 1, "warmup_steps": 1} | options)


def hooks_of(model):
    return [hook for module in model.modules() for hook in module._forward_hooks.values()]


# Features


@pytest.mark.parametrize(
    ("make", "name", "layer"),
    [
        (of_torchvision, "resnet18", "layer4"),
        (of_torchvision, "densenet121", "features"),
        (of_torchvision, "mobilenet_v2", "features"),
        (of_timm, "test_resnet", "layer4"),
        (of_timm, "test_efficientnet", "bn2"),
    ],
)
def test_the_found_layer_is_the_pooled_one(make, name, layer):
    model, images = make(name), functional.interpolate(IMAGES, (64, 64))
    found = find_head(model, None, images)
    assert found.layer == layer
    assert found == find_head(model, layer, images)
    assert not hooks_of(model)


def test_a_relu_between_the_layer_and_the_pooling_is_found():
    found = find_head(own(), "convolution", IMAGES)
    assert found == find_head(own(), None, IMAGES)
    assert found.rectified
    assert found.linear == "head"


def test_a_channels_last_feature_map_is_that_of_a_swin():
    model, images = swin(), functional.interpolate(IMAGES[:4], (64, 64))
    found = quick(model, data=[(images, PRESENT[:4])])
    assert found.layer == "norm"
    with torch.no_grad():
        features = model.forward_features(images)
        by_hand = torch.relu(torch.einsum("kc,bhwc->bkhw", model.head.fc.weight, features))
        torch.testing.assert_close(found.before.maps(images), by_hand)
        torch.testing.assert_close(found.before.logits(images), model(images))
    changed = found.maps(images, PRESENT[:4]) - found.maps(images, PRESENT[:4], after=False)
    assert np.abs(changed).max() > 1e-3


def test_maps_before_are_the_weights_on_the_features_of_a_resnet():
    model = of_torchvision("resnet18")
    with torch.no_grad():
        features = nn.Sequential(*list(model.children())[:-2])(IMAGES)
        by_hand = torch.relu(torch.einsum("kc,bchw->bkhw", model.fc.weight, features))
    before = quick(model, epochs=0, warmup_steps=0).before
    with torch.no_grad():
        torch.testing.assert_close(before.maps(IMAGES), by_hand)
        torch.testing.assert_close(before.logits(IMAGES), model(IMAGES))


def test_maps_are_those_of_the_methods_on_the_same_network():
    found = quick(own(), epochs=2)
    features = nn.Sequential(found.model.convolution, nn.ReLU())
    cam = Cam(features, channels=8, num_classes=3)
    cam.classifier = found.model.head.weight
    reactivated = ReCam(cam, weight=1.0)
    reactivated.reclassifier = found.after.reclassifier
    images = IMAGES[:2]
    with torch.no_grad():
        for combine in ("mean", "product", "classifier"):
            both = torch.cat([images, images.flip(3)])
            plain, mirrored = reactivated.maps(both, combine=combine).chunk(2)
            maps = functional.interpolate((plain + mirrored.flip(3)) / 2, (48, 48), mode="bilinear")
            cams = peak_normalised(maps) * PRESENT[:2, :, None, None]
            given = found.maps(images, PRESENT[:2], combine=combine)
            np.testing.assert_allclose(given, cams, atol=1e-4)
    assert given.dtype == np.float32
    assert 0 <= given.min() <= given.max() <= 1
    assert not given[0, 1].any()  # absent
    changed = found.maps(images, PRESENT[:2]) - found.maps(images, PRESENT[:2], after=False)
    assert np.abs(changed).max() > 1e-3


# Training


def test_losses_are_the_papers_at_the_given_weights():
    found = quick(own(), warmup_steps=0, learning_rate=1e-9, weight=0.5)
    model, after = own(), found.after
    for (images, present), losses in zip(BATCHES, found.losses, strict=True):
        with torch.no_grad():
            features = model.convolution(images).relu()
            maps = torch.relu(torch.einsum("kc,bchw->bkhw", model.head.weight, features))
            pooled = torch.einsum("bkhw,bchw->bkc", peak_normalised(maps), features) / 12**2
            sce = softmax_loss(pooled @ after.reclassifier.T, present)
            bce = functional.binary_cross_entropy_with_logits(model(images), present.float())
        assert losses["bce"] == pytest.approx(float(bce), abs=1e-5)
        assert losses["sce"] == pytest.approx(0.5 * float(sce), abs=1e-5)


def test_class_indices_train_by_softmax_cross_entropy():
    model = own()
    found = quick(model, data=[(IMAGES, INDICES)], warmup_steps=0, learning_rate=1e-9)
    with torch.no_grad():
        expected = float(functional.cross_entropy(model(IMAGES), INDICES))
    assert found.losses[0].keys() == {"ce", "sce"}
    assert found.losses[0]["ce"] == pytest.approx(expected, abs=1e-5)
    one_hot = functional.one_hot(INDICES, 3)
    assert np.array_equal(found.maps(IMAGES, INDICES), found.maps(IMAGES, one_hot))
    names = [[str(int(index))] for index in INDICES]
    assert np.array_equal(found.maps(IMAGES, INDICES), found.maps(IMAGES, names))


def test_training_lowers_both_losses():
    images = 0.1 * IMAGES + functional.one_hot(INDICES, 3)[:, :, None, None]
    found = quick(own(), data=[(images, INDICES)], epochs=30)
    first, last = found.losses[0], found.losses[-1]
    assert len(found.losses) == 30
    assert last["ce"] < first["ce"]
    assert last["sce"] < first["sce"]


def test_the_warm_up_trains_the_reclassifier_alone():
    cold, warm = (quick(own(), epochs=0, warmup_steps=steps) for steps in (0, 5))
    assert not torch.equal(cold.after.reclassifier, warm.after.reclassifier)
    for name, value in own().state_dict().items():
        assert torch.equal(warm.model.state_dict()[name], value)


def test_the_given_model_is_as_it_was():
    model = of_torchvision("resnet18").train()
    model.layer4.eval()
    kept, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    state = torch.get_rng_state()
    found = quick(model, "layer4")
    assert repr(found).startswith("Reactivated(layer='layer4', classes=")
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model.modules()] == modes
    assert not hooks_of(model)
    assert not hooks_of(found.model)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept[name]), name
    trained = found.model.state_dict()
    assert not torch.equal(trained["fc.weight"], kept["fc.weight"])
    assert not torch.equal(trained["bn1.running_mean"], kept["bn1.running_mean"])
    name = "layer4.0.bn1.running_mean"  # in evaluation mode
    assert torch.equal(trained[name], kept[name])


def test_in_place_the_given_model_gets_the_weights():
    model, other = own(), own()
    found, copied = quick(model, inplace=True), quick(other)
    assert found.model is model
    for name, value in copied.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
    assert np.array_equal(
        found.maps(IMAGES, PRESENT, after=False), copied.maps(IMAGES, PRESENT, after=False)
    )


def test_frozen_parameters_stay():
    model = own()
    model.convolution.requires_grad_(requires_grad=False)
    found = quick(model)
    assert torch.equal(found.model.convolution.weight, model.convolution.weight)
    assert not torch.equal(found.model.head.weight, model.head.weight)


def test_a_dataset_is_shuffled_alike_by_one_seed():
    data = TensorDataset(IMAGES, PRESENT)
    model = own().train()  # dropout is off in the features, and drawn in the model's own pass
    one, same, other = (quick(model, data=data, random_seed=seed) for seed in (0, 0, 1))
    assert one.losses == same.losses
    assert one.losses != other.losses
    assert np.array_equal(one.maps(IMAGES, PRESENT), same.maps(IMAGES, PRESENT))
    loaded = quick(model, data=DataLoader(data, batch_size=2))
    assert len(loaded.losses) == 3


def test_several_scales_are_averaged():
    found = quick(own())
    one, two = (found.maps(IMAGES, PRESENT, scales=scales) for scales in ((1.0,), (1.0, 2.0)))
    assert one.shape == two.shape
    assert np.abs(one - two).max() > 1e-3


# Refusals


class Flat(nn.Sequential):
    """Two linear layers on a flattened grid, as in VGG."""

    def __init__(self):
        convolution = nn.Conv2d(3, 4, kernel_size=16, stride=16)
        super().__init__(convolution, nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))


class Returning(nn.Module):
    """Returns something made of the logits."""

    def __init__(self, change):
        super().__init__()
        self.own, self.change = Own(), change

    def forward(self, images):
        return self.change(self.own(images))


NOT_POOLED = "a model without global pooling cannot be re-activated"


@pytest.mark.parametrize(
    ("make", "layer", "words"),
    [
        (Flat, None, NOT_POOLED),
        (Flat, "0", NOT_POOLED),
        (lambda: of_timm("test_vit"), None, NOT_POOLED),
        (lambda: of_timm("test_convnext"), None, "enter its linear layer"),
        (lambda: Returning(lambda y: y.softmax(dim=1)), None, NOT_POOLED),
        (lambda: Returning(lambda y: {"logits": y}), None, "shape (B, K), got dict"),
        (lambda: nn.Conv2d(3, 2, kernel_size=1), None, "got (2, 2, 48, 48)"),
        (lambda: Own(1), None, "expected at least 2 outputs, got 1"),
        (lambda: of_torchvision("resnet18"), "layer3", "are no mean of layer3"),
        (lambda: of_torchvision("resnet18"), "layer44", "did you mean layer4?"),
        (lambda: of_torchvision("resnet18"), "fc", "expected a feature map (B, C, h, w)"),
        (lambda: nn.Conv2d(1, 2, kernel_size=1), None, "cannot run on images of shape"),
    ],
)
def test_other_models_are_refused_in_one_sentence(make, layer, words):
    model = make().eval()
    with pytest.raises(UserError) as caught:
        quick(model, layer)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not hooks_of(model)


def test_images_that_are_too_small_are_named():
    with pytest.raises(UserError, match=r"model: .* got 1 x 1; give larger images"):
        quick(of_torchvision("resnet18"), data=[(IMAGES[:, :, :32, :32], PRESENT)])


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ([], {}, "at least one batch"),
        (iter(BATCHES), {}, "got an iterator"),
        ([(IMAGES, torch.zeros(6, 3))], {}, "labels: expected present classes, got none"),
        ([(IMAGES, torch.zeros(6, 4))], {}, "rows of 3 values, one for each output of the model"),
        ([(IMAGES, 0.5 * PRESENT)], {}, "rows of 0 and 1, got other values"),
        ([(IMAGES, INDICES + 1)], {}, "class indices from 0 to 2, .* got 1 to 3"),
        ([(IMAGES, INDICES[:5])], {}, "got 5 labels for 6 images"),
        ([(IMAGES, INDICES), (IMAGES, PRESENT)], {}, "got both"),
        ([(IMAGES,)], {}, r"expected batches \(images, labels\), got tuple of 1"),
        ([(IMAGES.byte(), PRESENT)], {}, "images: expected a floating-point tensor"),
        ([(IMAGES[0], PRESENT)], {}, "images: expected a floating-point tensor"),
        ([(IMAGES / 0, PRESENT)], {}, "images: expected finite numbers"),
        (BATCHES, {"classes": ["cat", "dog"]}, "expected 3 different names, .*, got 2"),
        (BATCHES, {"classes": ["cat", "cat", "dog"]}, "2 of them different"),
        (BATCHES, {"learning_rate": 0.0}, "learning_rate: expected a number above 0"),
        (BATCHES, {"epochs": -1}, "epochs: expected a number of at least 0"),
        ([(IMAGES[:0], PRESENT[:0])], {}, "images: expected at least one in every batch"),
        (TensorDataset(IMAGES[:0], PRESENT[:0]), {}, "at least one batch"),
        (BATCHES, {"learning_rate": 1e30, "epochs": 9}, "expected a finite number, got .* at step"),
    ],
)
def test_wrong_data_are_refused_in_one_sentence(data, options, words):
    model = own()
    with pytest.raises(UserError, match=words) as caught:
        quick(model, data=data, inplace=True, **options)
    assert "\n" not in str(caught.value)
    for name, value in own().state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_wrong_labels_of_maps_are_refused():
    found = quick(own(), classes=["cat", "dog", "hen"])
    for labels, words in [
        ([["cow"]] * 6, "'cow' is not one of the 3 classes"),
        ([["cat"]], "expected those of 6 images, got 1"),
        (["cat"] * 6, "expected a list of names"),
    ]:
        with pytest.raises(UserError, match=words):
            found.maps(IMAGES, labels)


def test_progress_is_logged(monkeypatch, caplog):
    monkeypatch.setattr("recam.runtime.progress.SECONDS_BETWEEN_LINES", -1)
    with caplog.at_level(logging.INFO, "recam"):
        quick(own(), warmup_steps=2)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0] for line in lines] == [
        "warm-up: 1 of 2",
        "warm-up: 2 of 2",
        "re-activation: 1 of 2",
        "re-activation: 2 of 2",
    ]
