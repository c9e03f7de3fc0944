"""MCTformer: its losses by hand, its maps by timm's unfused attention, and laws of its classes."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recam.catalogue.methods import load_classifier, make_classifier
from recam.catalogue.readouts import READOUTS, ReadoutNumbers, make_readout
from recam.core.errors import UserError
from recam.io.checkpoints import ModelConfig, save_checkpoint
from recam.methods.advcam import Climb
from recam.methods.cam import multilabel_loss
from recam.methods.lpcam import Prototypes
from recam.methods.mctformer import (
    Fusion,
    Mctformer,
    contrast_loss,
    fused,
    propagated,
    ranked_mean,
    token_logits,
)
from recam.methods.recam import ReCam
from recam.methods.variant import both_views
from recam.models.tokens import TokenBackbone
from recam.pipeline.optimizer import Recipe, make_optimizer
from recam.pipeline.warmup import WarmUp, warm_up

CONFIG = ModelConfig(
    method="mctformer",
    backbone="test_vit",
    output_stride=16,
    classes=("cat", "dog", "hen"),
    frozen_batch_norm=False,
    frozen_stem=False,
    weight=1.0,
    contrast=0.5,
)
LABELS = torch.tensor([[True, False, True], [False, True, False]])
GRID = (2, 3)
WEAK = Fusion(blocks=2, affinity=False)


def built(method="mctformer"):
    """A classifier with drawn weights whose classes differ, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make_classifier(replace(CONFIG, method=method)).eval()
        with torch.no_grad():
            variant(model).class_tokens.normal_()
    return model


def variant(model):
    return model.variant if isinstance(model, ReCam) else model


@pytest.fixture(scope="module")
def model():
    return built()


@pytest.fixture
def images():
    """Two images whose patches lie on a grid of 2 x 3."""
    return torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def unfused_attention(model, images):
    """Attention of every block, the mean over heads (B, T, T), by timm's own unfused code."""
    seen, handles = [], []
    for block in model.backbone.network.blocks:
        block.attn.fused_attn = False
        handles.append(
            block.attn.attn_drop.register_forward_pre_hook(
                lambda module, args: seen.append(args[0].mean(dim=1))  # noqa: ARG005
            )
        )
    stream = model.backbone.stream(images, extra=model.class_tokens)
    for block, handle in zip(model.backbone.network.blocks, handles, strict=True):
        block.attn.fused_attn = True
        handle.remove()
    return seen, stream


# Losses


def test_ranked_mean_by_hand():
    scores = torch.tensor([[[[1.0, -2.0]], [[3.0, 4.0]]]])
    expected = [(1 - 0.996 * 2) / 1.996, (4 + 0.996 * 3) / 1.996]
    torch.testing.assert_close(ranked_mean(scores), torch.tensor([expected]))


def test_contrast_by_hand():
    """Tokens of classes 0 and 1 are orthogonal after the first block, equal after the second."""
    apart = torch.tensor([[[2.0, 0.0], [0.0, 5.0]]])
    alike = torch.tensor([[[1.0, 0.0], [3.0, 0.0]]])
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    of_apart = torch.log(one.exp() + zero.exp()) - 1
    expected = (of_apart + torch.log(torch.tensor(2.0))) / 2
    for labels in ([[True, True]], [[True, False]]):
        found = contrast_loss([apart, alike], torch.tensor(labels))
        torch.testing.assert_close(found, expected)
    assert contrast_loss([apart], torch.tensor([[False, False]])) == 0


def test_losses_are_of_class_tokens_without_a_norm_and_of_ranked_patches(model, images):
    losses, found = model.losses(images, LABELS)
    stream = model.backbone.stream(images, extra=model.class_tokens)
    scores = torch.einsum("kc,bchw->bkhw", model.weights, stream.patches)
    of_tokens = stream.extras[-1].mean(dim=2)
    torch.testing.assert_close(losses["bce"], multilabel_loss(of_tokens, LABELS))
    torch.testing.assert_close(losses["patch"], multilabel_loss(ranked_mean(scores), LABELS))
    torch.testing.assert_close(losses["contrast"], 0.5 * contrast_loss(stream.extras, LABELS))
    torch.testing.assert_close(found.logits, (of_tokens + ranked_mean(scores)) / 2)
    torch.testing.assert_close(found.logits, model.logits(images))
    torch.testing.assert_close(found.evidence, scores.relu())
    assert torch.equal(token_logits(stream.extras), of_tokens)


def test_evidence_trains_the_classifier_the_class_tokens_and_the_backbone(images):
    model = built()
    _, found = model.losses(images, LABELS)
    found.evidence.sum().backward()
    for parameter in (model.classifier, model.class_tokens, model.backbone.network.pos_embed):
        assert parameter.grad.abs().max() > 0


def test_losses_fall(images):
    model = built().train()
    rates = dict.fromkeys(("backbone", "classifier", "class_tokens"), 0.002)
    recipe = Recipe(
        epochs=1, learning_rates=rates, momentum=0.0, weight_decay=0.05, optimizer="adamw"
    )
    optimizer, _ = make_optimizer(model, recipe, steps=15)
    trained = sum(len(group["params"]) for group in optimizer.param_groups)
    assert trained == len(list(model.parameters()))
    curve = []
    for _ in range(15):
        losses = model.loss(images, LABELS)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        curve.append({name: loss.item() for name, loss in losses.items()})
    assert all(curve[-1][name] < 0.7 * curve[0][name] for name in ("bce", "patch"))
    assert curve[-1]["contrast"] < curve[0]["contrast"]


# Maps


@torch.no_grad()
@pytest.mark.parametrize("fusion", [Fusion(blocks=2), Fusion(), WEAK])
def test_maps_by_the_naive_formula(images, fusion):
    model = built()
    model.fusion = fusion
    attention, stream = unfused_attention(model, images)
    first = attention[0].shape[1] - GRID[0] * GRID[1]
    last = torch.stack(attention[-fusion.blocks :]).mean(dim=0)
    everywhere = torch.stack(attention).mean(dim=0)[:, first:, first:]
    (found,) = model.maps_by(images, model.weights)
    assert found.shape == (2, 3, *GRID)
    for image in range(2):
        for k in range(3):
            seen = last[image, k, first:]
            evidence = (model.weights[k] @ stream.patches[image].flatten(1)).relu()
            expected = (seen / (seen.max() + 1e-5) * evidence / (evidence.max() + 1e-5)).sqrt()
            if fusion.affinity:
                spread = torch.stack([row @ expected for row in everywhere[image]])
                expected = (spread - spread.min()) / (spread.max() - spread.min())
            torch.testing.assert_close(found[image, k].flatten(), expected, atol=1e-3, rtol=0)


def test_a_map_is_zero_without_evidence_or_attention():
    maps = torch.tensor([[[[0.0, 4.0, 1.0]]]])
    none = torch.zeros(1, 1, 1, 3)
    assert torch.equal(fused(maps, none), none)
    assert torch.equal(fused(none, maps), none)
    assert torch.equal(propagated(none, torch.ones(1, 3, 3)), none)
    found = fused(maps, torch.tensor([[[[1.0, 1.0, 1.0]]]]))
    torch.testing.assert_close(found, torch.tensor([[[[0.0, 1.0, 0.5]]]]), atol=1e-4, rtol=0)


def test_propagation_by_hand():
    """A patch takes the map by its own row: the second one sees the first alone."""
    affinity = torch.tensor([[[0.5, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.2]]])
    found = propagated(torch.tensor([[[[0.8, 0.1, 0.0]]]]), affinity)
    torch.testing.assert_close(found, torch.tensor([[[[0.5, 1.0, 0.0]]]]))


@torch.no_grad()
def test_classes_may_be_listed_in_another_order(images):
    model, other, order = built(), built(), torch.tensor([2, 0, 1])
    other.classifier.copy_(model.classifier[order])
    other.class_tokens.copy_(model.class_tokens[order])
    losses, expected = other.loss(images, LABELS[:, order]), model.loss(images, LABELS)
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name])
    for one, two in ((model.maps, other.maps), (model.logits, other.logits)):
        torch.testing.assert_close(two(images), one(images)[:, order], atol=1e-4, rtol=0)


@torch.no_grad()
@settings(max_examples=12)
@given(height=st.integers(8, 70), width=st.integers(8, 70))
def test_images_of_any_size_have_maps_from_0_to_1_on_a_grid(model, height, width):
    maps = model.maps(torch.rand(1, 3, height, width))
    assert maps.shape[2:] == model.features(torch.rand(1, 3, height, width)).shape[2:]
    assert ((maps >= 0) & (maps <= 1)).all()


@torch.no_grad()
def test_maps_of_mirror_images_are_mirrored(model, images):
    readout = both_views(model.maps)
    found = readout(images.flip(3), LABELS).flip(3)
    torch.testing.assert_close(found, readout(images, LABELS), atol=1e-4, rtol=0)


# Methods with it


@torch.no_grad()
def test_maps_of_a_combination_take_its_weights(images):
    model = built("mctformer-recam")
    product = model.weights * model.get_parameter("reclassifier")
    expected = model.variant.maps_by(images, product)[0]
    torch.testing.assert_close(model.maps(images, combine="product"), expected)
    assert not torch.equal(expected, model.maps(images))


def test_recam_trains_on_it(images):
    model = built("mctformer-recam")
    before = model.variant.class_tokens.clone(), model.reclassifier.clone()
    recipe = WarmUp(steps=2, learning_rate=0.1, momentum=0.0, weight_decay=0.0, optimizer="adamw")
    warm_up(model, lambda _: [[images, LABELS]], recipe, device=torch.device("cpu"))
    assert torch.equal(before[0], model.variant.class_tokens)
    assert not torch.equal(before[1], model.reclassifier)
    losses = model.loss(images, LABELS)
    assert list(losses) == ["bce", "patch", "contrast", "sce"]
    losses["sce"].backward()
    for parameter in (model.reclassifier, model.weights, model.variant.class_tokens):
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0


def readout_of(method, model, **changed):
    climb = Climb(steps=2, step_size=0.1, weight=0.5, threshold=0.5, penalty="mean", batch_size=4)
    centres = tuple(torch.eye(3, model.weights.shape[1])[k : k + 1] for k in range(3))
    numbers = ReadoutNumbers(
        combine="product",
        levels=(-1, -2),
        advcam_weights="classifier",
        advcam=climb,
        fusion=Fusion(),
        prototypes=Prototypes(foreground=centres, context=centres[::-1]),
    )
    return make_readout(method, model, replace(numbers, **changed))


@torch.no_grad()
@pytest.mark.parametrize("name", READOUTS)
def test_every_read_out_gives_maps(images, name):
    model = built("mctformer-recam")
    found = readout_of(f"mctformer-recam-{name}", model)(images, LABELS)[LABELS]
    assert found.shape == (3, *GRID)
    assert ((found >= 0) & found.isfinite()).all()
    assert found.max() > 0


@torch.no_grad()
def test_gradients_are_by_patch_tokens_that_saw_the_class_tokens(images):
    model = built()
    scores = torch.einsum("kc,bchw->bkhw", model.weights, model.features(images)).relu()
    mirrored = torch.einsum("kc,bchw->bkhw", model.weights, model.features(images.flip(3))).relu()
    expected = scores + mirrored.flip(3)
    found = readout_of("mctformer-gradcam", model, levels=(-1,))(images, LABELS)
    peaks = expected.amax(dim=(2, 3), keepdim=True)
    torch.testing.assert_close((found * peaks)[LABELS], expected[LABELS], atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("method", ["mctformer", "mctformer-recam"])
def test_the_read_out_chooses_the_attention(images, method):
    model = built(method)
    readout = readout_of(method, model, fusion=WEAK, combine="classifier")
    assert variant(model).fusion == WEAK
    found = readout(images, LABELS)
    torch.testing.assert_close(found, both_views(variant(model).maps)(images, LABELS))


@torch.no_grad()
@pytest.mark.parametrize("method", ["mctformer", "mctformer-control", "mctformer-recam"])
def test_a_checkpoint_holds_the_class_tokens(tmp_path, images, method):
    model = built(method)
    save_checkpoint(tmp_path / "classifier.pt", model.state_dict(), replace(CONFIG, method=method))
    loaded, _ = load_classifier(tmp_path / "classifier.pt")
    assert type(variant(loaded)) is Mctformer
    assert variant(loaded).contrast == 0.5
    assert torch.equal(loaded.maps(images), model.maps(images))


@pytest.mark.parametrize("backbone", ["test_resnet", "vit_small_patch16_dinov3"])
def test_other_networks_are_refused(backbone):
    with pytest.raises(UserError, match="expects a plain transformer without rotary embeddings"):
        make_classifier(replace(CONFIG, backbone=backbone))


def test_class_tokens_have_a_small_spread():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Mctformer(TokenBackbone("test_vit", output_stride=16), num_classes=40, contrast=1.0)
    assert model.class_tokens.std().item() == pytest.approx(0.02, rel=0.1)
