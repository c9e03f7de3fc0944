"""EPS: its loss by hand and against loops over positions, its maps, and ReCAM on top of it."""

import pytest
import torch
from torch import nn

from recam.methods.cam import multilabel_loss, project
from recam.methods.eps import BALANCE, OVERLAP, Eps, is_object, saliency_loss
from recam.methods.recam import COMBINATIONS, ReCam
from recam.pipeline.optimizer import parameter_groups
from recam.pipeline.warmup import WarmUp, warm_up

CLASSES, CHANNELS = 2, 4
LABELS = torch.tensor([[True, False], [True, True]])
# One image of four positions; the rest of each position is the background's.
SHARES = torch.tensor([[[[0.8, 0.6, 0.1, 0.0]], [[0.1, 0.2, 0.7, 0.0]]]])


@pytest.fixture
def eps(generator):
    """EPS on a backbone that looks at each pixel alone, with normal weights."""
    backbone = nn.Conv2d(3, CHANNELS, kernel_size=1)
    model = Eps(backbone, channels=CHANNELS, num_classes=CLASSES)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model


@pytest.fixture
def images(generator):
    """Two images of 4 x 6 pixels."""
    return torch.randn(2, 3, 4, 6, generator=generator)


@pytest.fixture
def saliency(generator):
    """A map of each image, with a column of padding in the second one."""
    maps = torch.rand(2, 4, 6, generator=generator)
    maps[1, :, 5] = -1
    return maps


def one_row(*values):
    """The saliency of one image of one row."""
    return torch.tensor([[values]], dtype=torch.float32)


def of(*present):
    return torch.tensor([present])


def naive_loss(shares, labels, saliency):
    """The loss image by image, class by class and position by position."""
    costs = []
    for of_image, present, targets in zip(shares, labels, saliency, strict=True):
        known = [(y, x) for y, x in torch.cartesian_prod(*map(torch.arange, targets.shape))]
        known = [(y, x) for y, x in known if targets[y, x] >= 0]
        inside = []
        for share in of_image:
            own = [at for at in known if share[at] > 0.5]
            salient = [at for at in own if targets[at] > 0.5]
            inside.append(len(salient) / (len(own) + 1e-4 * len(known)) > OVERLAP)
        total = 0.0
        for at in known:
            objects, background = 0.0, 1 - float(sum(share[at] for share in of_image))
            for share, is_present, is_salient in zip(of_image, present, inside, strict=True):
                objects += float(share[at]) * bool(is_present and is_salient)
                background += float(share[at]) * bool(is_present and not is_salient)
            predicted = BALANCE * objects + (1 - BALANCE) * (1 - background)
            total += (predicted - float(targets[at])) ** 2
        costs.append(total / len(known))
    return sum(costs) / len(costs)


def test_the_loss_by_hand():
    # The first class is where saliency is, the second one is not and counts as background, so the
    # prediction is 0.8, 0.6, 0.1 and 0.
    found = saliency_loss(SHARES, of(True, True), one_row(1, 1, 0, 0))
    assert found.item() == pytest.approx((0.2**2 + 0.4**2 + 0.1**2) / 4)


def test_an_absent_class_is_no_object_and_no_background():
    # Objects 0.8, 0.6, 0.1, 0, and 1 - background 0.9, 0.8, 0.8, 0: their mean.
    found = saliency_loss(SHARES, of(True, False), one_row(1, 1, 0, 0))
    assert found.item() == pytest.approx((0.15**2 + 0.3**2 + 0.45**2) / 4)


def test_padding_does_not_count():
    found = saliency_loss(SHARES, of(True, True), one_row(1, 1, 0, -1))
    assert found.item() == pytest.approx((0.2**2 + 0.4**2 + 0.1**2) / 3)
    unknown = saliency_loss(SHARES, of(True, True), one_row(-1, -1, -1, -1))
    assert unknown.item() == 0


def test_saliency_is_read_at_the_nearest_pixel_of_each_position():
    fine = one_row(1, 1, 0, 0).repeat_interleave(2, dim=2).repeat_interleave(2, dim=1)
    coarse = saliency_loss(SHARES, of(True, True), one_row(1, 1, 0, 0))
    torch.testing.assert_close(saliency_loss(SHARES, of(True, True), fine), coarse)


@pytest.mark.parametrize(("salient", "expected"), [(0, False), (2, False), (3, True), (5, True)])
def test_a_class_is_an_object_where_more_than_two_fifths_of_it_are_salient(salient, expected):
    shares = torch.tensor([[[[0.9] * 5 + [0.4] * 5]]])
    target = torch.tensor([[[[1.0] * salient + [0.0] * (10 - salient)]]])
    assert is_object(shares, target).tolist() == [[expected]]


def test_a_class_without_a_position_of_its_own_is_no_object():
    assert is_object(torch.full((1, 2, 1, 4), 0.4), torch.ones(1, 1, 1, 4)).tolist() == [
        [False] * 2
    ]


def test_the_loss_equals_loops_over_positions(generator):
    logits = 3 * torch.randn(8, CLASSES + 1, 3, 5, generator=generator)
    shares = logits.softmax(dim=1)[:, :-1]
    labels = torch.randint(2, (8, CLASSES), generator=generator).bool()
    saliency = torch.rand(8, 3, 5, generator=generator).round()
    saliency[3:, 0] = -1
    for index in range(8):  # so that one image cannot hide another
        one = slice(index, index + 1)
        found = saliency_loss(shares[one], labels[one], saliency[one]).item()
        assert found == pytest.approx(naive_loss(shares[one], labels[one], saliency[one]))
    assert saliency_loss(shares, labels, saliency).item() == pytest.approx(
        naive_loss(shares, labels, saliency)
    )


def test_maps_that_explain_the_saliency_have_no_loss():
    shares = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 0.0]]]])
    assert saliency_loss(shares, of(True, False), one_row(1, 1, 0, 0)).item() == 0


def test_maps_are_shares_beside_the_background(eps, images):
    logits = project(eps.classifier, eps.backbone(images))
    torch.testing.assert_close(eps.maps(images), logits.softmax(dim=1)[:, :CLASSES])
    torch.testing.assert_close(eps.losses(images, LABELS)[1].evidence, eps.maps(images))


def test_flipping_image_and_saliency_keeps_the_losses(eps, images, saliency):
    found = eps.loss(images.flip(3), LABELS, saliency.flip(2))
    torch.testing.assert_close(found, eps.loss(images, LABELS, saliency))


def test_the_weights_are_those_of_the_classes(eps, images):
    assert eps.classifier.shape == (CLASSES + 1, CHANNELS)
    assert torch.equal(eps.weights, eps.classifier[:CLASSES])
    losses, found = eps.losses(images, LABELS)
    torch.testing.assert_close(found.logits, eps.logits(images))
    torch.testing.assert_close(losses["bce"], multilabel_loss(eps.logits(images), LABELS))


def test_labels_do_not_train_the_background_and_saliency_does(eps, images, saliency):
    losses = eps.loss(images, LABELS, saliency)
    assert list(losses) == ["bce", "sal"]
    (of_labels,) = torch.autograd.grad(losses["bce"], eps.classifier, retain_graph=True)
    assert (of_labels[:CLASSES] != 0).all()
    assert (of_labels[CLASSES] == 0).all()
    (of_saliency,) = torch.autograd.grad(losses["sal"], eps.classifier)
    assert (of_saliency != 0).all()


def test_training_explains_the_saliency(eps, images, saliency):
    optimizer = torch.optim.SGD(eps.parameters(), lr=0.1)
    before = eps.loss(images, LABELS, saliency)["sal"].item()
    for _ in range(20):
        optimizer.zero_grad()
        eps.loss(images, LABELS, saliency)["sal"].backward()
        optimizer.step()
    assert eps.loss(images, LABELS, saliency)["sal"].item() < before


def test_without_saliency_the_loss_is_that_of_the_labels(eps, images):
    assert list(eps.loss(images, LABELS)) == ["bce"]


def test_reactivation_keeps_the_saliency_and_pools_the_shares(eps, images, saliency):
    model = ReCam(eps, weight=1.0)
    assert model.reclassifier.shape == (CLASSES, CHANNELS)
    losses = model.loss(images, LABELS, saliency)
    assert list(losses) == ["bce", "sce", "sal"]
    torch.testing.assert_close(losses["sal"], eps.loss(images, LABELS, saliency)["sal"])
    losses["sce"].backward()
    assert (eps.classifier.grad.abs().sum(dim=1) > 0).all()  # of the background too


@pytest.mark.parametrize("combine", [*COMBINATIONS, "mean"])
def test_maps_of_combined_classifiers_are_finite(eps, images, combine):
    maps = ReCam(eps, weight=1.0).maps(images, combine=combine)
    assert maps.shape == (2, CLASSES, 4, 6)
    assert ((maps >= 0) & (maps <= 1)).all()


def test_every_parameter_has_a_learning_rate_and_the_warm_up_moves_v_alone(eps, images):
    model = ReCam(eps, weight=1.0)
    groups = parameter_groups(model, dict.fromkeys(("backbone", "classifier", "reclassifier"), 1.0))
    assert [len(group["params"]) for group in groups] == [2, 1, 1]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recipe = WarmUp(steps=2, learning_rate=0.1, momentum=0.0, weight_decay=0.0)
    batch = [images, LABELS, torch.ones(2, 4, 6)]
    warm_up(model, lambda _: [batch], recipe, device=torch.device("cpu"))
    moved = [n for n, value in model.state_dict().items() if not torch.equal(value, before[n])]
    assert moved == ["reclassifier"]
