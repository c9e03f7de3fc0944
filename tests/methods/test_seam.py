"""SEAM: its losses by hand, and its pixel correlation against loops over positions."""

import math

import pytest
import torch
from torch import nn

from recam.core.errors import UserError
from recam.methods.cam import multilabel_loss
from recam.methods.recam import ReCam
from recam.methods.seam import (
    PixelCorrelation,
    Seam,
    competing,
    consistency_loss,
    equivariance_loss,
    only_strongest,
    quiet_loss,
    ranged,
    spread,
)
from recam.models.backbones import Backbone
from recam.pipeline.optimizer import parameter_groups
from recam.pipeline.warmup import WarmUp, warm_up

CLASSES = 2
LABELS = torch.tensor([[True, False], [True, True]])
NEAR = {"abs": 1e-4}  # the epsilons of the divisions


class Pointwise(Backbone):
    """Levels that look at each pixel alone; the last one sees pairs of rows as one."""

    channels = 4
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, *level_channels):
        super().__init__()
        self.level_channels = (*level_channels, self.channels)
        pairs = zip((3, *level_channels), self.level_channels, strict=True)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, kernel_size=1) for a, b in pairs)

    def levels(self, images):
        """The output of every convolution."""
        found = [images]
        for convolution in self.convolutions:
            found.append(convolution(found[-1]))
        return found[1:]

    def with_skip(self, images):
        """The first level and the last."""
        levels = self.levels(images)
        return levels[0], levels[-1]

    def freeze_stem(self):
        """Nothing is frozen."""


def seam(generator, *, scale=0.5, pcm=True, levels=(2, 3)):
    """SEAM on pointwise levels, with normal weights."""
    model = Seam(Pointwise(*levels), num_classes=CLASSES, scale=scale, pcm=pcm)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model


@pytest.fixture
def images(generator):
    """Two images of 4 x 6 pixels."""
    return torch.randn(2, 3, 4, 6, generator=generator)


def row(*values):
    """One image with one map of one row."""
    return torch.tensor([[[values]]], dtype=torch.float32)


def naive_affinity(joint):
    """Column-wise shares of the rectified cosines, pair by pair; ``joint`` is (channels, P)."""
    positions = joint.shape[1]
    alike = [[0.0] * positions for _ in range(positions)]
    for i in range(positions):
        for j in range(positions):
            one, other = joint[:, i].tolist(), joint[:, j].tolist()
            product = sum(a * b for a, b in zip(one, other, strict=True))
            alike[i][j] = max(0.0, product / (math.hypot(*one) * math.hypot(*other)))
    sums = [sum(alike[i][j] for i in range(positions)) for j in range(positions)]
    return torch.tensor(
        [[alike[i][j] / sums[j] for j in range(positions)] for i in range(positions)]
    )


@torch.no_grad()
def test_the_affinity_equals_loops_over_pairs_of_positions(generator):
    module = PixelCorrelation(2, 3)
    images, early, late = (torch.randn(1, n, 2, 3, generator=generator) for n in (3, 2, 3))
    found = module(images, early, late, grid=torch.Size([2, 3]))
    joint = torch.zeros(module.joint.out_channels, 6)
    for position in range(6):
        colours, first, second = (part[0].flatten(1)[:, position] for part in (images, early, late))
        first = (module.early.weight[:, :, 0, 0] @ first).clamp(min=0)
        second = (module.late.weight[:, :, 0, 0] @ second).clamp(min=0)
        parts = torch.cat([colours, first, second])
        joint[:, position] = module.joint.weight[:, :, 0, 0] @ parts
    torch.testing.assert_close(found[0], naive_affinity(joint), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_a_finer_level_is_averaged_over_each_cell(generator):
    module = PixelCorrelation(2, 3)
    colours, early, late = (torch.randn(1, n, 2, 3, generator=generator) for n in (3, 2, 3))
    doubled = early.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    grid = torch.Size([2, 3])
    torch.testing.assert_close(
        module(colours, doubled, late, grid=grid), module(colours, early, late, grid=grid)
    )


@torch.no_grad()
def test_a_constant_map_stays_constant(generator):
    module = PixelCorrelation(2, 3)
    parts = [torch.randn(2, n, 4, 6, generator=generator) for n in (3, 2, 3)]
    affinity = module(*parts, grid=torch.Size([4, 6]))
    constant = torch.full((2, 1, 4, 6), 0.7)
    torch.testing.assert_close(spread(constant, affinity), constant, atol=1e-4, rtol=0)


def test_a_position_gets_the_mean_weighted_by_its_column():
    affinity = torch.tensor([[[0.75, 0.5], [0.25, 0.5]]])
    assert spread(row(4.0, 8.0), affinity).tolist() == row(3 + 2, 2 + 4).tolist()


def test_a_map_is_mapped_to_its_range():
    assert ranged(row(2, 3, 6)).flatten().tolist() == pytest.approx([0, 0.25, 1], **NEAR)
    assert ranged(row(5, 5)).flatten().tolist() == [0, 0]


def test_every_position_keeps_its_strongest_class():
    maps = torch.tensor([[[[0.9, 0.2, 0.0]], [[0.3, 0.6, 0.0]]]])
    background, first, second = only_strongest(maps)[0, :, 0].tolist()
    assert background == pytest.approx([0.1, 0.4, 1.0])
    assert first == pytest.approx([0.9, 0, 0])
    assert second == pytest.approx([0, 0.6, 0])


def test_classes_compete_with_peaks_of_one():
    cams = torch.tensor([[[[8.0, 2.0]], [[1.0, 2.0]]]])  # the second class has a peak of 2
    background, first, second = competing(cams)[0, :, 0].tolist()
    assert background == pytest.approx([0, 0], **NEAR)
    assert first == pytest.approx([1, 0], **NEAR)
    assert second == pytest.approx([0, 1], **NEAR)


def test_the_equivariance_loss_on_one_grid_by_hand():
    # Opposite maps differ by 1 everywhere; the absent class counts as 0.
    first, second = row(0, 1).repeat(1, 2, 1, 1), row(1, 0).repeat(1, 2, 1, 1)
    present, absent = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    assert equivariance_loss(first, second, present).item() == pytest.approx(1, **NEAR)
    assert equivariance_loss(first, second, absent).item() == pytest.approx(0.5, **NEAR)


def test_the_equivariance_loss_compares_on_the_grid_of_the_first_view():
    # Two cells [0, 1] become [0, 1/4, 3/4, 1] on four.
    found = equivariance_loss(row(0, 0, 2, 2), row(0, 3), torch.tensor([[True]]))
    assert found.item() == pytest.approx((1 / 4 + 1 / 4) / 4, **NEAR)


def test_equal_views_have_no_equivariance_loss(generator, images):
    assert seam(generator, scale=1.0).loss(images, LABELS)["er"].item() < 1e-6


def test_constant_images_have_no_equivariance_loss(generator):
    # Their maps commute with rescaling.
    assert seam(generator).loss(torch.full((2, 3, 8, 8), 0.3), LABELS)["er"].item() < 1e-6


def test_the_quiet_loss_is_the_mean_of_the_quietest_quarter():
    maps = torch.tensor([[[[0.1, 0.5, 0.9, 0.3, 0.8, 0.2, 0.7, 0.6]], [[9.0] * 8]]])
    labels = torch.tensor([[True, False]])
    assert quiet_loss(maps, labels).item() == pytest.approx((0.1 + 0.2) / 2)


def test_the_consistency_loss_is_the_mean_of_the_largest_fifth():
    cams = row(0, 0, 0, 0, 3)  # targets: background [1, 1, 1, 1, 0], class [0, 0, 0, 0, 1]
    right = torch.tensor([[[[1.0, 1, 1, 1, 0]], [[0.0, 0, 0, 0, 1]]]])
    wrong = torch.tensor([[[[1.0, 1, 1, 0.6, 0]], [[0.0, 0, 0, 0.4, 1]]]])
    labels = torch.tensor([[True]])
    none = consistency_loss((cams, cams), (right, right), labels)
    assert none.item() == pytest.approx(0, **NEAR)
    # A fifth of ten values is two, and both are 0.4; the other view adds nothing.
    both_orders = [(wrong, right), (right, wrong)]
    found = [consistency_loss((cams, cams), refined, labels).item() for refined in both_orders]
    assert found == pytest.approx([0.4, 0.4], **NEAR)


def test_each_view_is_judged_by_the_cams_of_the_other():
    cams = row(0, 0, 0, 0, 3), row(3, 0, 0, 0, 0)
    first = torch.tensor([[[[1.0, 1, 1, 1, 0]], [[0.0, 0, 0, 0, 1]]]])
    labels = torch.tensor([[True]])
    crossed = consistency_loss(cams, (first.flip(3), first), labels)
    straight = consistency_loss(cams, (first, first.flip(3)), labels)
    assert crossed.item() == pytest.approx(0, **NEAR)
    assert straight.item() == pytest.approx(2, **NEAR)


def test_the_binary_term_is_the_mean_of_both_views(generator, images):
    model = seam(generator, scale=1.0)
    losses, found = model.losses(images, LABELS)
    torch.testing.assert_close(losses["bce"], multilabel_loss(model.logits(images), LABELS))
    torch.testing.assert_close(found.logits, model.logits(images))


def test_without_pcm_the_maps_are_those_of_cam(generator, images):
    model = seam(generator, pcm=False)
    losses, found = model.losses(images, LABELS)
    assert list(losses) == ["bce", "er"]
    torch.testing.assert_close(model.maps(images), found.evidence)


def test_pcm_spreads_what_competes(generator, images):
    model = seam(generator)
    early, late, _ = model.backbone.levels(images)
    assert model.pcm
    affinity = model.pcm(images, early, late, grid=images.shape[2:])
    evidence = model.losses(images, LABELS)[1].evidence
    torch.testing.assert_close(model.maps(images), spread(competing(evidence), affinity)[:, 1:])


def test_maps_of_several_classifiers_are_those_of_each(generator, images):
    model = seam(generator)
    other = torch.randn(model.weights.shape, generator=generator)
    both = model.maps_by(images, model.weights, other)
    torch.testing.assert_close(both[0], model.maps(images))
    torch.testing.assert_close(both[1], model.maps_by(images, other)[0])


def test_no_evidence_gives_no_map(generator, images):
    model = seam(generator)
    (maps,) = model.maps_by(images, torch.zeros_like(model.weights))
    assert maps.abs().max().item() == 0


def test_the_losses_of_pcm_train_pcm_alone(generator, images):
    model = seam(generator)
    losses = model.loss(images, LABELS)
    (losses["min"] + losses["ecr"]).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.pcm.parameters())
    others = [p for name, p in model.named_parameters() if not name.startswith("pcm")]
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in others)


@pytest.mark.parametrize("name", ["bce", "er", "ecr"])
def test_a_step_lowers_the_loss(generator, images, name):
    model = seam(generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = model.loss(images, LABELS)[name]
    before.backward()
    optimizer.step()
    assert model.loss(images, LABELS)[name] < before


def test_an_unlabelled_image_gives_finite_gradients(generator, images):
    model = seam(generator)
    sum(model.loss(images, torch.zeros_like(LABELS)).values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_view_of_one_cell_has_finite_losses(generator, images):
    losses = seam(generator, scale=0.1).loss(images, LABELS)
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_batch_norms_keep_the_statistics_of_the_first_view(generator, images):
    model = seam(generator, pcm=False, levels=())
    norm = nn.BatchNorm2d(4, momentum=1.0)
    model.backbone.convolutions = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 4, 1), norm)])
    model.loss(images, LABELS)
    of_losses = norm.running_mean.clone()
    assert of_losses.abs().sum() > 0
    model.features(images)
    torch.testing.assert_close(norm.running_mean, of_losses)
    model.features(images + 1)
    assert (norm.running_mean != of_losses).all()


def test_a_backbone_with_two_levels_has_no_pcm(generator):
    with pytest.raises(UserError, match="two levels before its last, got 1; set seam_pcm: false"):
        seam(generator, levels=(3,))
    seam(generator, levels=(3,), pcm=False)


def test_reactivation_adds_the_softmax_loss_and_reaches_the_classifier(generator, images):
    model = ReCam(seam(generator), weight=1.0)
    losses = model.loss(images, LABELS)
    assert list(losses) == ["bce", "er", "min", "ecr", "sce"]
    losses["sce"].backward()
    assert model.weights.grad.abs().sum() > 0


def test_the_warm_up_moves_the_reclassifier_alone(generator, images):
    model = ReCam(seam(generator), weight=1.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recipe = WarmUp(steps=2, learning_rate=0.1, momentum=0.9, weight_decay=0.0)
    warm_up(model, lambda _: [[images, LABELS]], recipe, device=torch.device("cpu"))
    moved = [name for name, value in model.state_dict().items() if (value != before[name]).any()]
    assert moved == ["reclassifier"]


def test_pcm_has_a_learning_rate_of_its_own_in_both_stages(generator):
    variant = seam(generator)
    for model in (variant, ReCam(variant, weight=1.0)):
        rates = {"backbone": 1.0, "classifier": 2.0, "pcm": 3.0, "reclassifier": 4.0}
        of_pcm = parameter_groups(model, rates)[2]
        assert of_pcm["lr"] == 3
        assert [id(p) for p in of_pcm["params"]] == [id(p) for p in variant.pcm.parameters()]
