"""IRN's heads and losses, against a loop over all pairs of pixels."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from recam.core.labels import IGNORE
from recam.models.backbones import TimmBackbone, TorchvisionResNet
from recam.models.initialisation import seeded_initialisation
from recam.refine.affinities import pair_offsets, path
from recam.refine.irn import Irn, confident_pairs, displacement_differences, reduced

RADIUS = 3
PIXELS = 4  # of a cell, in height and in width
KINDS = ("alike", "different", "centre", "still")


class Cells(nn.Module):
    """A backbone of three levels that looks at blocks of pixels alone; the second has a norm."""

    level_channels = (3, 5, 7)
    level_strides = (4, 4, 8)

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, kernel_size=1)
        self.second = nn.Sequential(nn.Conv2d(3, 5, kernel_size=1), nn.BatchNorm2d(5))
        self.third = nn.Conv2d(5, 7, kernel_size=1)

    def normalise(self, pixels):
        return pixels

    def levels(self, images):
        first = self.first(functional.avg_pool2d(images, 4, ceil_mode=True))
        second = self.second(first)
        return [first, second, self.third(functional.avg_pool2d(second, 2, ceil_mode=True))]


class Slanted(Cells):
    """A backbone that tells left from right."""

    def levels(self, images):
        first, *rest = super().levels(images)
        ramp = torch.arange(first.shape[3], dtype=first.dtype)
        return [first + ramp, *rest]


@pytest.fixture
def irn():
    """A network in training, in double precision."""
    return made(Cells)


@pytest.fixture
def images(generator):
    """Two images of 5 x 8 cells."""
    shape = (2, 3, 5 * PIXELS, 8 * PIXELS)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def masks(generator):
    """Masks of background, two classes and ignored pixels."""
    ids = torch.tensor([0, 0, 1, 2, IGNORE], dtype=torch.uint8)
    return enlarged(ids[torch.randint(5, (2, 5, 8), generator=generator)])


def made(backbone):
    with seeded_initialisation(0, "test"):
        return Irn(backbone(), radius=RADIUS).double().train()


def enlarged(grid):
    """Every cell as a block of pixels."""
    return grid.repeat_interleave(PIXELS, dim=1).repeat_interleave(PIXELS, dim=2)


def uniform(mask_id):
    return torch.full((2, 5 * PIXELS, 8 * PIXELS), mask_id, dtype=torch.uint8)


def grids(model, images):
    """Edges (B, h, w) and displacements (B, 2, h, w) in training, as the heads give them."""
    features = model.backbone.levels(images)
    return model.edge_head(features).sigmoid(), model.displacement_head(features)


def naive_costs(edges, displacements, masks):
    """The costs of every pair of a batch, by kind of pair and of cost."""
    costs = {kind: [] for kind in ("object", "background", "different", "centre", "still")}
    cells = masks[:, 2::PIXELS, 2::PIXELS].tolist()
    edges, displacements = edges.tolist(), displacements.tolist()
    height, width = len(cells[0]), len(cells[0][0])
    margin = RADIUS - 1
    for b in range(len(cells)):
        for y in range(height - margin):
            for x in range(margin, width - margin):
                for dy, dx in pair_offsets(RADIUS):
                    first, second = cells[b][y][x], cells[b][y + dy][x + dx]
                    strongest = max(edges[b][y + i][x + j] for i, j in path((dy, dx)))
                    gap = [field[y][x] - field[y + dy][x + dx] for field in displacements[b]]
                    if IGNORE in {first, second}:
                        continue
                    if first != second:
                        costs["different"].append(-math.log(strongest + 1e-5))
                    elif first == 0:
                        costs["background"].append(-math.log(1 - strongest + 1e-5))
                        costs["still"].append(abs(gap[0]) + abs(gap[1]))
                    else:
                        costs["object"].append(-math.log(1 - strongest + 1e-5))
                        costs["centre"].append(abs(gap[0] - dy) + abs(gap[1] - dx))
    return costs


def mean(costs):
    return sum(costs) / (len(costs) + 1e-5)


def values(losses):
    return {name: loss.item() for name, loss in losses.items()}


# Losses


def test_the_losses_equal_a_loop_over_all_pairs(irn, images, masks):
    costs = naive_costs(*grids(irn, images), masks)
    assert all(costs.values())
    expected = {
        "alike": (mean(costs["object"]) + mean(costs["background"])) / 4,
        "different": mean(costs["different"]) / 2,
        "centre": mean(costs["centre"]) / 4,
        "still": mean(costs["still"]) / 4,
    }
    assert values(irn.loss(images, masks)) == pytest.approx(expected)


def test_the_sum_of_the_losses_is_that_of_the_authors(irn, images, masks):
    costs = naive_costs(*grids(irn, images), masks)
    alike = mean(costs["background"]) / 2 + mean(costs["object"]) / 2
    # Their displacements divide by the number of components: two for each pair.
    centre, still = (
        sum(costs[kind]) / (2 * len(costs[kind]) + 1e-5) for kind in ("centre", "still")
    )
    published = (alike + mean(costs["different"])) / 2 + (centre + still) / 2
    assert sum(values(irn.loss(images, masks)).values()) == pytest.approx(published, rel=1e-5)


def test_the_losses_of_saturated_edges_are_finite(irn, images, masks):
    with torch.no_grad():
        irn.edge_head.join.bias.fill_(1e4)  # every edge is 1
    losses = values(irn.loss(images, masks))
    assert losses["alike"] == pytest.approx(-math.log(1e-5) / 2, rel=1e-3)
    assert losses["different"] == pytest.approx(0, abs=1e-4)


def test_without_edges_only_different_pairs_cost(irn, images, masks):
    with torch.no_grad():
        irn.edge_head.join.bias.fill_(-1e4)  # no edge at all
    losses = values(irn.loss(images, masks))
    assert losses["alike"] == pytest.approx(0, abs=1e-4)
    assert losses["different"] == pytest.approx(-math.log(1e-5) / 2, rel=1e-3)


def test_masks_that_are_all_ignored_cost_exactly_nothing(irn, images):
    losses = irn.loss(images, uniform(IGNORE))
    assert values(losses) == dict.fromkeys(KINDS, 0)
    sum(losses.values()).backward()
    gradients = [p.grad for p in irn.parameters() if p.requires_grad]
    assert all((gradient == 0).all() for gradient in gradients)


def test_background_alone_is_alike_and_still(irn, images):
    losses = values(irn.loss(images, uniform(0)))
    assert (losses["different"], losses["centre"]) == (0, 0)
    assert min(losses["alike"], losses["still"]) > 0


def test_one_class_alone_is_alike_and_has_a_centre(irn, images):
    losses = values(irn.loss(images, uniform(1)))
    assert (losses["different"], losses["still"]) == (0, 0)
    assert min(losses["alike"], losses["centre"]) > 0


def test_which_class_it_is_does_not_change_the_losses(irn, images, masks):
    swapped = torch.where(masks == 1, 2, torch.where(masks == 2, 1, masks)).to(torch.uint8)
    assert values(irn.loss(images, swapped)) == values(irn.loss(images, masks))


def test_images_smaller_than_a_window_of_pairs_cost_nothing(irn):
    images = torch.zeros(2, 3, 7, 9, dtype=torch.float64)
    losses = irn.loss(images, torch.zeros(2, 7, 9, dtype=torch.uint8))
    assert values(losses) == dict.fromkeys(KINDS, 0)
    sum(losses.values()).backward()


def test_the_kinds_of_pairs_by_hand():
    masks = torch.tensor([[[0, 3, IGNORE], [3, 7, 0]]], dtype=torch.uint8)
    pairs = confident_pairs(masks, radius=2)
    # From 3: ignored to the right; 3, 7 and background below.
    assert pairs.object.flatten().tolist() == [False, True, False, False]
    assert pairs.background.flatten().tolist() == [False, False, False, False]
    assert pairs.different.flatten().tolist() == [False, False, True, True]


def test_an_ignored_source_is_in_no_pair():
    masks = torch.tensor([[[0, IGNORE, 0], [1, IGNORE, 0]]], dtype=torch.uint8)
    pairs = confident_pairs(masks, radius=2)
    assert not torch.cat([pairs.object, pairs.background, pairs.different]).any()


def test_a_background_source_by_hand():
    pairs = confident_pairs(torch.tensor([[[5, 0, 0], [0, 5, 0]]], dtype=torch.uint8), radius=2)
    assert pairs.background.flatten().tolist() == [True, True, False, True]
    assert pairs.different.flatten().tolist() == [False, False, True, False]


def test_displacements_to_one_centre_differ_by_the_offset():
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    to_centre = torch.stack([2 - rows, 3 - columns])[None]
    differences, offsets = displacement_differences(to_centre, radius=RADIUS)
    torch.testing.assert_close(differences, offsets[None].expand_as(differences))
    assert offsets[:, 3].flatten().tolist() == list(pair_offsets(RADIUS)[3])


@pytest.mark.parametrize(
    ("size", "centres"),
    [
        ((8, 8), [[18, 22], [50, 54]]),  # cells of four pixels have theirs below to the right
        ((5, 7), [[9, 13], [25, 29]]),  # cells of 2.5 x 3.5 pixels: rows 1 and 3, columns 1 and 5
        ((1, 2), [[0, 1]]),
    ],
)
def test_reduced_masks_take_the_id_at_the_centre_of_each_cell(size, centres):
    ids = torch.arange(64, dtype=torch.uint8).view(1, 8, 8)[:, : size[0], : size[1]]
    assert reduced(ids, size=(len(centres), len(centres[0]))).tolist() == [centres]


def test_reduced_masks_keep_ids_as_they_are():
    ids = torch.tensor([[[0, 1, 254, IGNORE]]], dtype=torch.uint8)
    assert reduced(ids, size=(1, 4)).tolist() == ids.tolist()


# Edges


def test_edges_are_the_mean_of_both_logits(images):
    model = made(Slanted).eval()
    logits = model.edge_head(model.backbone.levels(images))
    mirrored = model.edge_head(model.backbone.levels(images.flip(3))).flip(2)
    expected = torch.sigmoid((logits + mirrored) / 2)
    assert not torch.allclose(logits, mirrored)
    torch.testing.assert_close(model.edges(images), expected)


@pytest.mark.parametrize("backbone", [Cells, Slanted])
def test_the_edges_of_the_mirror_image_are_the_mirror_image_of_the_edges(images, backbone):
    model = made(backbone).eval()
    torch.testing.assert_close(model.edges(images.flip(3)), model.edges(images).flip(2))


def test_of_cells_alone_the_edges_are_those_of_the_head(irn, images):
    torch.testing.assert_close(irn.edges(images), grids(irn, images)[0])


def test_images_of_a_batch_do_not_mix(irn, images):
    irn.eval()
    both, alone = irn.edges(images), irn.edges(images[1:])
    torch.testing.assert_close(both[1:], alone)
    torch.testing.assert_close(irn.displacements(images)[1:], irn.displacements(images[1:]))


# Displacements


def test_displacements_follow_their_mean_in_training(irn, images):
    head = irn.displacement_head
    first, second = grids(irn, images)[1], grids(irn, images / 2)[1]
    means = [d.mean(dim=(0, 2, 3)) for d in (first, second)]
    torch.testing.assert_close(head.mean, 0.9 * 0.1 * means[0].detach() + 0.1 * means[1].detach())


def test_the_mean_is_not_taken_off_in_training(irn, images):
    before = irn.displacements(images)
    irn.displacement_head.mean.fill_(5.0)
    torch.testing.assert_close(irn.displacements(images), before)


def test_the_mean_is_taken_off_otherwise(irn, images):
    in_training = irn.displacements(images)
    irn.eval()
    irn.displacement_head.mean.copy_(torch.tensor([3.0, -2.0]))
    rows, columns = irn.displacements(images).unbind(1)
    torch.testing.assert_close(rows, in_training[:, 0] - 3)
    torch.testing.assert_close(columns, in_training[:, 1] + 2)


def test_the_mean_stays_as_it_is_otherwise(irn, images):
    irn.eval().displacements(images)
    assert irn.displacement_head.mean.tolist() == [0, 0]


def test_the_mean_is_saved_with_the_network(irn):
    assert "displacement_head.mean" in irn.state_dict()


# Training


def test_the_backbone_stays_as_it_is_and_both_heads_train(irn, images, masks):
    before = {name: tensor.clone() for name, tensor in irn.state_dict().items()}
    trained = [p for p in irn.parameters() if p.requires_grad]
    sum(irn.loss(images, masks).values()).backward()
    torch.optim.SGD(trained, lr=0.1).step()
    same = {n for n, tensor in irn.state_dict().items() if torch.equal(before[n], tensor)}
    assert same == {name for name in before if name.startswith("backbone.")}
    assert all(p.grad is None for p in irn.backbone.parameters())


def test_training_leaves_the_backbone_in_evaluation(irn):
    irn.eval().train()
    modes = (irn.training, irn.edge_head.training, irn.displacement_head.training)
    assert modes == (True, True, True)
    assert not any(module.training for module in irn.backbone.modules())
    assert not irn.eval().training


def test_no_graph_is_kept_of_the_backbone(irn, images):
    images.requires_grad_()
    irn.displacements(images).sum().backward()
    assert images.grad is None


def test_edges_are_learned_where_two_regions_meet():
    model = made(Cells)
    images = torch.zeros(1, 3, 8 * PIXELS, 12 * PIXELS, dtype=torch.float64)
    images[..., 5 * PIXELS : 6 * PIXELS] = 1.0  # a line between two regions
    masks = torch.zeros(1, 8 * PIXELS, 12 * PIXELS, dtype=torch.uint8)
    masks[..., : 5 * PIXELS], masks[..., 5 * PIXELS : 6 * PIXELS] = 1, IGNORE
    optimizer = torch.optim.Adam(model.edge_head.parameters(), lr=0.01)
    totals = []
    for _ in range(15):
        losses = model.loss(images, masks)
        total = losses["alike"] + losses["different"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    edges = model.edges(images)[0]
    assert totals[-1] < totals[0] / 2
    assert edges[:, 5].min() > 0.5 > edges[:, :3].max()


def test_displacements_learn_to_stand_still_in_the_background(irn, images):
    optimizer = torch.optim.Adam(irn.displacement_head.parameters(), lr=0.01)
    costs = []
    for _ in range(10):
        cost = irn.loss(images, uniform(0))["still"]
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    assert costs[-1] < costs[0] / 2


# Real backbones


@pytest.fixture(scope="module", params=["resnet18", "tf_efficientnet_lite0"])
def real(request):
    """A network on a backbone of the library, with random weights."""
    make = TorchvisionResNet if request.param == "resnet18" else TimmBackbone
    with seeded_initialisation(0, "test"):
        return Irn(make(request.param, output_stride=16), radius=5).eval()


@torch.no_grad()
@pytest.mark.parametrize(
    ("size", "grid"), [((75, 101), (19, 26)), ((64, 64), (16, 16)), ((33, 36), (9, 9))]
)
def test_the_grid_has_a_cell_for_every_started_four_pixels(real, generator, size, grid):
    images = torch.randn(1, 3, *size, generator=generator)
    assert real.edges(images).shape == (1, *grid)
    assert real.displacements(images).shape == (1, 2, *grid)


@torch.no_grad()
def test_levels_begin_at_the_same_corner():
    fine, coarse = torch.zeros(1, 3, 1, 5), torch.zeros(1, 7, 1, 3)
    coarse[..., 0] = 1.0
    model = made(Cells).float()
    edges = model.edge_head([fine, torch.zeros(1, 5, 1, 5), coarse])[0, 0]
    # Between cells twice as large the first of them is seen in 1, 3/4, 1/4, 0 and 0.
    assert edges[2] != edges[3] == edges[4]


@torch.no_grad()
def test_an_image_of_one_pixel_has_one_edge_and_one_displacement(real):
    images = torch.zeros(1, 3, 1, 1)
    edges, displacements = real.edges(images), real.displacements(images)
    assert edges.shape == (1, 1, 1)
    assert displacements.shape == (1, 2, 1, 1)
    assert 0 <= edges.item() <= 1
    assert displacements.isfinite().all()


def test_every_level_counts_for_edges_and_displacements(real, generator):
    images = torch.randn(1, 3, 40, 56, generator=generator)
    features = [level.requires_grad_() for level in real._levels(images)]
    for head in (real.edge_head, real.displacement_head):
        gradients = torch.autograd.grad(head(features).square().sum(), features)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_backbone_that_is_no_module_is_refused():
    class Plain:
        level_channels, level_strides = (3, 5), (4, 8)

        def normalise(self, pixels):
            return pixels

        def levels(self, images):
            return [images]

    with pytest.raises(TypeError, match="expected a module, got Plain"):
        Irn(Plain(), radius=RADIUS)
