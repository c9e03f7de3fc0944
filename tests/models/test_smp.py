"""Architectures of segmentation-models-pytorch on our backbones: shapes, padding, weights."""

from dataclasses import replace

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from torch.nn import functional

from recam.catalogue.backbones import make_backbone
from recam.catalogue.segmenters import SEGMENTERS, make_segmenter
from recam.core.errors import UserError
from recam.io.checkpoints import ModelConfig
from recam.models.backbones import TimmBackbone, TorchvisionResNet, backbone_of
from recam.models.initialisation import seeded_initialisation
from recam.models.smp import ARCHITECTURES, OUTPUT_STRIDES, SmpSegmenter
from recam.models.weights import load_backbone, load_weights
from recam.pipeline.optimizer import parameter_groups

LITE = "tf_efficientnet_lite0"
SWIN = "swin_tiny_patch4_window7_224"
MODEL_CONFIG = ModelConfig(
    method="smp/unet",
    backbone="resnet18",
    output_stride=32,
    classes=("cat", "dog"),
    frozen_batch_norm=False,
    frozen_stem=False,
)


@pytest.fixture
def images(generator):
    """Two images of 64 x 96 pixels."""
    return torch.randn(2, 3, 64, 96, generator=generator)


def build(architecture="unet", backbone="resnet18", *, output_stride=32):
    with seeded_initialisation(0, "test"):
        return SmpSegmenter(architecture, backbone, output_stride=output_stride, num_ids=3).eval()


@pytest.fixture(scope="module")
def resnet():
    return build()


@pytest.fixture(scope="module")
def lite():
    """A U-Net over the installed weights."""
    model = build(backbone=LITE)
    load_weights(model.backbone, name=LITE, weights="imagenet")
    return model


@pytest.fixture(scope="module")
def swin():
    return build("upernet", SWIN)


def states(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before, model):
    return {
        name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)
    }


# Architectures


def test_all_architectures_are_offered_but_the_one_for_vision_transformers():
    assert set(ARCHITECTURES) == set(smp.MODEL_ARCHITECTURES_MAPPING) - {"dpt"}
    assert {name for name in SEGMENTERS if name.startswith("smp/")} == {
        f"smp/{name}" for name in ARCHITECTURES
    }


@torch.no_grad()
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_scores_every_pixel_of_images_of_any_size(images, architecture):
    stride = OUTPUT_STRIDES[architecture][0]
    model = build(architecture, output_stride=stride)
    assert model.backbone.level_strides[-1] == stride
    assert model.logits(images).shape == (2, 3, 64, 96)
    assert model.logits(images[:1, :, :37, :51]).shape == (1, 3, 37, 51)


@torch.no_grad()
@pytest.mark.parametrize(
    ("architecture", "stride"),
    [("pspnet", 8), ("pspnet", 16), ("deeplabv3", 16), ("deeplabv3plus", 8), ("pan", 32)],
)
def test_the_grid_of_the_last_level_has_the_stride_asked_for(images, architecture, stride):
    model = build(architecture, LITE, output_stride=stride)
    height, width = model.backbone(images).shape[2:]
    assert (height, width) == (64 // stride, 96 // stride)
    assert model.logits(images).shape == (2, 3, 64, 96)


@torch.no_grad()
def test_logits_are_those_of_the_network_of_smp(resnet, images):
    network = smp.create_model("unet", encoder_name="resnet18", encoder_weights=None, classes=3)
    network.encoder.load_state_dict(resnet.backbone.network.state_dict())
    network.decoder.load_state_dict(resnet.decoder.state_dict())
    network.segmentation_head.load_state_dict(resnet.head.state_dict())
    torch.testing.assert_close(resnet.logits(images), network.eval()(images))


@torch.no_grad()
def test_images_are_padded_with_zeros_at_the_right_and_at_the_bottom(resnet, images):
    uneven = images[:, :, :50, :70]
    padded = functional.pad(uneven, (0, 26, 0, 14))
    torch.testing.assert_close(resnet.logits(uneven), resnet.logits(padded)[:, :, :50, :70])


@torch.no_grad()
def test_pan_pads_to_the_eight_cells_that_it_halves_thrice(images):
    model = build("pan", output_stride=16)
    padded = functional.pad(images, (0, 128 - 96, 0, 128 - 64))
    torch.testing.assert_close(model.logits(images), model.logits(padded)[:, :, :64, :96])


@torch.no_grad()
def test_the_decoder_sees_every_level_of_the_backbone(resnet, images):
    pyramid = resnet.backbone.pyramid(images)
    torch.testing.assert_close(pyramid[1:], resnet.backbone.levels(images))
    before = resnet.decoder(pyramid)
    for level in range(1, len(pyramid)):
        other = [2 * features if i == level else features for i, features in enumerate(pyramid)]
        assert not torch.allclose(resnet.decoder(other), before)


def test_a_loss_reaches_every_parameter(images):
    model = build().train()
    model.loss(images, torch.zeros(2, 64, 96, dtype=torch.uint8))["ce"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())
    assert all(p.grad is not None for p in model.parameters())


def test_the_backbone_has_a_learning_rate_of_its_own(resnet):
    slow, fast = parameter_groups(resnet, {"backbone": 0.1, "": 1.0})
    count = len(list(resnet.backbone.parameters()))
    assert (len(slow["params"]), slow["lr"]) == (count, 0.1)
    assert len(fast["params"]) == len(list(resnet.parameters())) - count > 0


def test_a_batch_too_small_for_batch_norm_is_refused(images):
    model = build("deeplabv3plus", output_stride=16).train()
    with pytest.raises(UserError) as caught:
        model.logits(images[:1])
    assert str(caught.value) == (
        "segmenter smp/deeplabv3plus: expected a batch of at least 2 images for batch norm, got "
        "1; raise batch_size, or lower gradient_accumulation_steps"
    )


# Backbones


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet", "lite", "swin"])
def test_levels_have_the_channels_and_strides_they_declare(images, name, request):
    backbone = request.getfixturevalue(name).backbone
    levels = backbone.levels(images)
    assert [level.shape[1] for level in levels] == list(backbone.level_channels)
    grids = [(64 // stride, 96 // stride) for stride in backbone.level_strides]
    assert [level.shape[2:] for level in levels] == grids
    early, features = backbone.with_skip(images)
    assert early.shape[1:] == (backbone.skip_channels, 16, 24)
    torch.testing.assert_close(features, levels[-1])
    assert features.shape[1] == backbone.channels


@pytest.mark.parametrize("name", [LITE, "mobilenetv3_small_050"])
def test_a_timm_encoder_expects_the_pixels_that_our_backbone_does(name):
    ours = TimmBackbone(name, output_stride=32)
    encoder = build(backbone=name).backbone
    assert (encoder.mean, encoder.std) == (ours.mean, ours.std)


def test_a_resnet_expects_the_pixels_that_our_backbone_does(resnet):
    ours = TorchvisionResNet
    assert (resnet.backbone.mean, resnet.backbone.std) == (ours.mean, ours.std)


@torch.no_grad()
def test_swin_takes_images_of_any_size(swin, images):
    for height, width in [(64, 96), (33, 50)]:
        logits = swin.logits(images[:1, :, :height, :width])
        assert logits.shape == (1, 3, height, width)


@torch.no_grad()
@pytest.mark.parametrize(("width", "same"), [(224, 4), (256, 3)])
def test_swin_of_any_size_is_swin_made_for_that_size(swin, generator, width, same):
    """But for the last level: made for one window of 7 x 7 cells, it never shifts them."""
    images = torch.randn(1, 3, 224, width, generator=generator)
    network = timm.create_model(SWIN, img_size=(224, width), features_only=True).eval()
    network.load_state_dict(swin.backbone.network.model.state_dict())
    expected = [level.movedim(3, 1) for level in network(images)]
    torch.testing.assert_close(swin.backbone.levels(images)[:same], expected[:same])


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("resnet18", {"conv1", "bn1"}),
        (LITE, {"model.conv_stem", "model.bn1"}),
        ("convnext_atto", {"model.stem_0", "model.stem_1"}),
        ("mvitv2_tiny", {"model.model.patch_embed"}),
    ],
)
def test_a_frozen_stem_is_the_first_convolution_and_its_norm(name, stem):
    model = make_segmenter(replace(MODEL_CONFIG, backbone=name, frozen_stem=True))
    frozen = {
        parameter
        for parameter, values in backbone_of(model).network.named_parameters()
        if not values.requires_grad
    }
    assert {parameter.rpartition(".")[0].removesuffix(".proj") for parameter in frozen} == stem


def test_frozen_batch_norms_keep_their_statistics_and_those_of_the_decoder_do_not(images):
    model = make_segmenter(replace(MODEL_CONFIG, frozen_batch_norm=True))
    before = states(model)
    model.train().logits(images)
    moved = changed(before, model)
    assert moved
    assert not {name for name in moved if name.startswith("backbone.")}


# Weights


@torch.no_grad()
def test_the_installed_weights_give_the_levels_of_our_backbone(lite, images):
    ours = TimmBackbone(LITE, output_stride=32).eval()
    load_weights(ours, name=LITE, weights="imagenet")
    torch.testing.assert_close(lite.backbone.levels(images), ours.levels(images))


@torch.no_grad()
@pytest.mark.parametrize("stride", [16, 32])
def test_a_resnet_takes_the_tensors_of_a_classifier(images, stride):
    """The last level differs where ours has no stride, its tensors do not."""
    with seeded_initialisation(1, "test"):
        ours = TorchvisionResNet("resnet18", output_stride=stride).eval()
    backbone = build().backbone
    load_backbone(backbone, ours.state_dict(), source="classifier", name="resnet18")
    same = slice(1, 5 if stride == 32 else 4)  # our first level is pooled already
    torch.testing.assert_close(backbone.levels(images)[same], ours.levels(images)[same])
    assert torch.equal(backbone.network.layer4[1].conv2.weight, ours.layer4[1].conv2.weight)


@torch.no_grad()
@pytest.mark.parametrize("name", [LITE, "convnext_atto"])
def test_a_timm_encoder_takes_the_tensors_of_a_classifier(images, name):
    with seeded_initialisation(1, "test"):
        model_config = replace(MODEL_CONFIG, backbone=name)
        ours = make_backbone(model_config).eval()
    backbone = build(backbone=name).backbone
    load_backbone(backbone, ours.state_dict(), source="classifier", name=name)
    torch.testing.assert_close(backbone.levels(images), ours.levels(images))


def test_our_own_backbone_takes_the_tensors_of_a_classifier_at_another_stride():
    donor = TorchvisionResNet("resnet18", output_stride=16)
    backbone = TorchvisionResNet("resnet18", output_stride=32)
    load_backbone(backbone, donor.state_dict(), source="classifier", name="resnet18")
    assert not changed(donor.state_dict(), backbone)


@pytest.mark.parametrize("name", [SWIN, "hrnet_w18_small", "mvitv2_tiny"])
def test_a_file_of_timm_fills_its_encoder_though_names_and_heads_differ(tmp_path, name, request):
    state = timm.create_model(name).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    backbone = (request.getfixturevalue("swin") if name == SWIN else build(backbone=name)).backbone
    load_weights(backbone, name=name, weights=str(tmp_path / "weights.pth"))
    theirs = {key.replace(".", "_"): tensor for key, tensor in state.items()}
    for key, tensor in backbone.network.model.state_dict().items():
        assert torch.equal(tensor, theirs[key.removeprefix("model.").replace(".", "_")])


@pytest.mark.parametrize(("wanted", "given"), [("resnet18", "resnet34"), ("resnet34", "resnet18")])
def test_a_file_of_another_network_is_refused_and_changes_nothing(tmp_path, wanted, given):
    state = torchvision.models.get_model(given, weights=None).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    backbone = build(backbone=wanted).backbone
    before = states(backbone)
    with pytest.raises(UserError, match=f"do not fit backbone {wanted}: .* pass the weights of"):
        load_weights(backbone, name=wanted, weights=str(tmp_path / "weights.pth"))
    assert not changed(before, backbone)


# Errors


def test_an_unknown_architecture_gives_the_nearest_names():
    with pytest.raises(UserError, match=r"segmenter: there is no 'smp/unett'; .* smp/unet"):
        make_segmenter(replace(MODEL_CONFIG, method="smp/unett"))


def test_an_unknown_backbone_gives_the_nearest_names():
    with pytest.raises(UserError, match=r"backbone: there is no 'resnet51'; .* resnet50"):
        make_segmenter(replace(MODEL_CONFIG, backbone="resnet51"))


@pytest.mark.parametrize(
    ("architecture", "stride", "sentence"),
    [
        ("unet", 16, "expected output stride 32, got 16; set output_stride: 32"),
        ("deeplabv3", 32, "expected output stride 8 or 16, got 32; set output_stride: 16"),
    ],
)
def test_a_stride_that_an_architecture_cannot_have_is_refused(architecture, stride, sentence):
    with pytest.raises(UserError) as caught:
        build(architecture, output_stride=stride)
    assert str(caught.value) == (
        f"segmenter smp/{architecture}: {sentence} or choose another segmenter"
    )


@pytest.mark.parametrize(
    ("architecture", "backbone", "stride", "reason"),
    [
        ("unet", "vit_tiny_patch16_224", 32, "ValueError: Unsupported model downsampling pattern."),
        ("deeplabv3", SWIN, 16, "TypeError: .* unexpected keyword argument 'output_stride'"),
        ("fpn", "coatnet_nano_rw_224", 32, "RuntimeError: The size of tensor a"),
    ],
)
def test_a_pair_that_does_not_work_is_refused_with_its_reason(
    architecture, backbone, stride, reason
):
    """The last takes images of one size only, which is seen when it is tried out."""
    with pytest.raises(UserError, match=reason) as caught:
        build(architecture, backbone, output_stride=stride)
    sentence = str(caught.value)
    assert sentence.startswith(
        f"segmenter smp/{architecture}: does not work with backbone {backbone} at output stride "
        f"{stride} on images of any size ("
    )
    assert sentence.endswith("; choose another backbone, segmenter or output stride")
    assert "\n" not in sentence


def test_a_new_network_is_in_training_mode():
    model = SmpSegmenter("unet", "resnet18", output_stride=32, num_ids=3)
    assert all(module.training for module in model.modules())
