"""Re-activation, against loops that follow the paper step by step."""

import math

import pytest
import torch
from torch import nn

from recam.methods.cam import EPSILON, Cam, peak_normalised
from recam.methods.recam import (
    COMBINATIONS,
    ReCam,
    pool_by_class,
    softmax_loss,
)

CLASSES, CHANNELS = 3, 4
LABELS = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])


@pytest.fixture
def cam(generator):
    """A CAM in double precision on a backbone that looks at each pixel alone."""
    model = Cam(nn.Conv2d(3, CHANNELS, kernel_size=1), channels=CHANNELS, num_classes=CLASSES)
    return drawn(model.double(), generator)


@pytest.fixture
def recam(cam, generator):
    """The same CAM, re-activated."""
    model = ReCam(cam, weight=0.5)
    model.reclassifier = drawn(nn.ParameterList([model.reclassifier.double()]), generator)[0]
    return model


@pytest.fixture
def images(generator):
    """Three images of 3 x 2 pixels: of two classes, of one, and of none."""
    return torch.randn(3, 3, 3, 2, generator=generator, dtype=torch.float64)


@pytest.fixture
def logits(generator):
    """Row k of an image holds the logits of class k's feature."""
    return torch.randn(3, CLASSES, CLASSES, generator=generator, dtype=torch.float64)


def drawn(model, generator):
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model


def naive_softmax_loss(logits, labels):
    """The loss of METHOD's stage two, image by image and class by class."""
    total = 0.0
    for image_logits, image_labels in zip(logits.tolist(), labels.tolist(), strict=True):
        present = [k for k, is_present in enumerate(image_labels) if is_present]
        costs = []
        for k in present:
            row = image_logits[k]
            costs.append(math.log(sum(math.exp(value) for value in row)) - row[k])
        total += sum(costs) / len(costs) if costs else 0.0
    return total / len(logits)


@torch.no_grad()
def naive_sce(model, images, labels):
    """The whole of stage two for single images, single classes and single positions."""
    rows = []
    for features in model.backbone(images):  # (C, h, w)
        logits_of_image = []
        for k in range(CLASSES):
            class_map = torch.zeros(features.shape[1:], dtype=features.dtype)
            for y in range(features.shape[1]):
                for x in range(features.shape[2]):
                    class_map[y, x] = max(0, float(model.weights[k] @ features[:, y, x]))
            class_map /= class_map.max() + 1e-5
            pooled = torch.stack([(class_map * channel).mean() for channel in features])
            logits_of_image.append([float(v @ pooled) for v in model.reclassifier])
        rows.append(logits_of_image)
    return naive_softmax_loss(torch.tensor(rows, dtype=torch.float64), labels)


def test_the_contraction_equals_the_mean_of_the_five_dimensional_product(generator):
    evidence = torch.rand(2, CLASSES, 3, 5, generator=generator)
    features = torch.randn(2, CHANNELS, 3, 5, generator=generator)
    product = evidence[:, :, None] * features[:, None]  # (B, K, C, h, w)
    torch.testing.assert_close(pool_by_class(evidence, features), product.mean(dim=(3, 4)))


def test_the_contraction_by_hand():
    evidence = torch.tensor([[[[1.0, 0.5]], [[0.0, 1.0]]]])  # 1 image, 2 classes, 1 x 2 grid
    features = torch.tensor([[[[4.0, 8.0]]]])  # 1 channel
    # Means over both positions, not over the mass of the map.
    assert pool_by_class(evidence, features).tolist() == [[[(4 + 4) / 2], [8 / 2]]]


def test_the_softmax_loss_by_hand():
    # One present class whose feature is correct with probability 3/4, and one with 1/2.
    logits = torch.tensor([[[math.log(3), 0.0], [0.0, 0.0]]])
    labels = torch.tensor([[True, True]])
    expected = (math.log(4 / 3) + math.log(2)) / 2
    assert softmax_loss(logits, labels).item() == pytest.approx(expected)


def test_the_softmax_loss_equals_a_loop_over_images_and_classes(logits):
    assert softmax_loss(logits, LABELS).item() == pytest.approx(naive_softmax_loss(logits, LABELS))


def test_the_whole_softmax_term_equals_a_loop_over_positions(recam, images):
    losses = recam.loss(images, LABELS)
    assert losses["sce"].item() == pytest.approx(0.5 * naive_sce(recam, images, LABELS))


def test_the_binary_term_is_that_of_the_cam(recam, cam, images):
    torch.testing.assert_close(recam.loss(images, LABELS)["bce"], cam.loss(images, LABELS)["bce"])


def test_absent_classes_do_not_change_the_loss(logits):
    changed = torch.where(LABELS[:, :, None], logits, torch.full_like(logits, 7.0))
    torch.testing.assert_close(softmax_loss(changed, LABELS), softmax_loss(logits, LABELS))


def test_an_unlabelled_image_adds_zero(logits):
    labelled, unlabelled = LABELS[:2], LABELS[2:]
    assert softmax_loss(logits[2:], unlabelled).item() == 0
    with_it, without_it = softmax_loss(logits, LABELS), softmax_loss(logits[:2], labelled)
    torch.testing.assert_close(with_it * 3, without_it * 2)


def test_an_unlabelled_image_gives_finite_gradients(recam, images):
    sum(recam.loss(images[2:], LABELS[2:]).values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in recam.parameters())


def test_a_single_label_image_counts(logits):
    assert softmax_loss(logits[1:2], LABELS[1:2]).item() > 0


def test_permuting_the_classes_keeps_the_softmax_loss(logits):
    order = torch.tensor([2, 0, 1])
    permuted = logits[:, order][:, :, order]
    torch.testing.assert_close(
        softmax_loss(permuted, LABELS[:, order]), softmax_loss(logits, LABELS)
    )


def permute_classes(model, order):
    with torch.no_grad():
        model.weights.copy_(model.weights[order].clone())
        model.reclassifier.copy_(model.reclassifier[order].clone())


def test_permuting_the_classes_keeps_both_losses_of_the_model(recam, images):
    order = torch.tensor([2, 0, 1])
    before = recam.loss(images, LABELS)
    permute_classes(recam, order)
    after = recam.loss(images, LABELS[:, order])
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_permuting_the_classes_permutes_the_maps(recam, images, combine):
    order = torch.tensor([2, 0, 1])
    before = recam.maps(images, combine=combine)
    permute_classes(recam, order)
    torch.testing.assert_close(recam.maps(images, combine=combine), before[:, order])


def test_gradients_of_the_whole_loss_agree_with_finite_differences(recam, images):
    weights, reweights = recam.weights.detach(), recam.reclassifier.detach()

    def total(features, w, v):
        model = ReCam(Cam(nn.Identity(), channels=CHANNELS, num_classes=CLASSES), weight=0.5)
        del model.variant.classifier, model.reclassifier
        model.variant.classifier, model.reclassifier = w, v
        model.variant.backbone = _Given(features)
        return sum(model.loss(images, LABELS).values())

    inputs = (recam.backbone(images).detach(), weights.clone(), reweights.clone())
    assert torch.autograd.gradcheck(total, [value.requires_grad_() for value in inputs])


class _Given(nn.Module):
    """A backbone that has seen its features already."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, _images):
        return self.features


def test_the_softmax_term_reaches_every_part(recam, images):
    recam.loss(images, LABELS)["sce"].backward()
    grads = {name: parameter.grad.abs().sum() for name, parameter in recam.named_parameters()}
    assert set(grads) == {
        "variant.backbone.weight",
        "variant.backbone.bias",
        "variant.classifier",
        "reclassifier",
    }
    assert all(value > 0 for value in grads.values())


def test_gradients_pass_through_the_maximum_of_the_peak():
    maps = torch.tensor([[[[4.0, 2.0]]]], dtype=torch.float64, requires_grad=True)
    peak_normalised(maps)[0, 0, 0, 1].backward()
    # d(2 / (m + e)) / dm at m = 4 is about -2 / 16; a detached maximum would give 0 there.
    assert maps.grad[0, 0, 0].tolist() == pytest.approx([-2 / 16, 1 / 4], rel=1e-4)


def test_every_map_that_is_not_zero_peaks_at_one():
    maps = torch.tensor([[[[0.5, 2.0]], [[30.0, 3.0]]]])
    peaks = peak_normalised(maps).amax(dim=(2, 3))
    assert peaks.tolist() == [pytest.approx([1, 1], rel=1e-5)]


def test_a_map_of_zeros_stays_zero():
    assert peak_normalised(torch.zeros(1, 1, 2, 2)).tolist() == [[[[0, 0], [0, 0]]]]


def test_the_epsilon_is_that_of_the_authors():
    maps = torch.tensor([[[[EPSILON]]]], dtype=torch.float64)
    assert peak_normalised(maps).item() == pytest.approx(1 / 2)
    assert EPSILON == 1e-5


def test_with_weight_zero_the_loss_is_that_of_the_control(cam, images):
    model = ReCam(cam, weight=0.0).double()
    torch.testing.assert_close(
        sum(model.loss(images, LABELS).values()), cam.loss(images, LABELS)["bce"]
    )


def test_the_weight_multiplies_the_softmax_term_alone(recam, images):
    before = recam.loss(images, LABELS)
    recam.weight = 1.5
    after = recam.loss(images, LABELS)
    torch.testing.assert_close(after["sce"], 3 * before["sce"])
    torch.testing.assert_close(after["bce"], before["bce"])


def test_the_four_combinations_by_hand():
    w, v = torch.tensor([[2.0, -3.0]]), torch.tensor([[5.0, 7.0]])
    values = {name: combine(w, v).tolist() for name, combine in COMBINATIONS.items()}
    assert values == {
        "product": [[10.0, -21.0]],
        "reclassifier": [[5.0, 7.0]],
        "classifier": [[2.0, -3.0]],
        "sum": [[7.0, 4.0]],
    }


def test_the_classifier_alone_gives_the_maps_of_the_cam(recam, cam, images):
    torch.testing.assert_close(recam.maps(images, combine="classifier"), cam.maps(images))


def test_the_mean_is_of_the_peak_normalised_maps_of_classifier_and_product(recam, images):
    classifier, product = (
        peak_normalised(recam.maps(images, combine=name)) for name in ("classifier", "product")
    )
    torch.testing.assert_close(recam.maps(images, combine="mean"), (classifier + product) / 2)


def test_the_logits_are_those_of_the_cam(recam, cam, images):
    torch.testing.assert_close(recam.logits(images), cam.logits(images))


def test_a_reclassifier_of_ones_makes_the_product_the_classifier(recam, cam, images):
    nn.init.ones_(recam.reclassifier)
    torch.testing.assert_close(recam.maps(images, combine="product"), cam.maps(images))


def test_a_reclassifier_of_zeros_makes_the_sum_the_classifier(recam, cam, images):
    nn.init.zeros_(recam.reclassifier)
    torch.testing.assert_close(recam.maps(images, combine="sum"), cam.maps(images))


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_maps_are_never_negative(recam, images, combine):
    assert recam.maps(images, combine=combine).min() == 0


def test_reactivation_goes_on_with_the_weights_of_the_cam(recam, cam):
    assert recam.weights is cam.classifier
    assert recam.backbone is cam.backbone
