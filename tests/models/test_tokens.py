"""Transformers as backbones: timm's own tokens on a grid, and attention by the naive formula."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recam.core.errors import UserError
from recam.models.tokens import TokenBackbone, attention_bytes, has_tokens, head_mean

ROTARY = "vit_small_patch16_dinov3"
GRID = (3, 5)


def backbone_named(name, stride=16):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TokenBackbone(name, output_stride=stride).eval()


@pytest.fixture(scope="module", params=["test_vit", "test_vit2", "test_vit3", ROTARY])
def backbone(request):
    return backbone_named(request.param)


@pytest.fixture(scope="module")
def plain():
    return backbone_named("test_vit")


@pytest.fixture
def images():
    return torch.randn(2, 3, 48, 80, generator=torch.Generator().manual_seed(1))


def without_fused(backbone, images):
    """Attention of every block (B, heads, T, T), from timm's own unfused code."""
    seen = []
    for block in backbone.network.blocks:
        block.attn.fused_attn = False
        handle = block.attn.attn_drop.register_forward_pre_hook(
            lambda module, args: seen.append(args[0])  # noqa: ARG005
        )
        block.handle = handle
    backbone.network.forward_features(images)
    for block in backbone.network.blocks:
        block.attn.fused_attn = True
        block.handle.remove()
    return seen


@torch.no_grad()
def test_features_are_timms_tokens_on_a_grid(backbone, images):
    network = backbone.network
    final, between = network.forward_intermediates(images, indices=list(backbone.level_blocks))
    levels, features = backbone.with_levels(images)
    patches = final[:, network.num_prefix_tokens :]
    assert torch.equal(features, patches.mT.unflatten(2, GRID))
    assert torch.equal(features, backbone(images))
    for level, theirs in zip(levels, between, strict=True):
        assert torch.equal(level, theirs)


@torch.no_grad()
def test_attention_is_a_softmax_averaged_over_heads_and_blocks(backbone, images):
    groups = [range(-2, 0), [0]]
    stream = backbone.stream(images, attention=groups)
    heads = without_fused(backbone, images)
    for found, group in zip(stream.attention, groups, strict=True):
        expected = torch.stack([heads[number].mean(dim=1) for number in group]).mean(dim=0)
        torch.testing.assert_close(found, expected)
    assert torch.equal(stream.patches, backbone(images))


def test_attention_by_hand():
    query = torch.tensor([[[[2.0], [0.0]], [[0.0], [0.0]]]])  # two heads of one channel
    key = torch.tensor([[[[0.0], [0.5]], [[3.0], [1.0]]]])
    first = torch.tensor([1, torch.e]) / (1 + torch.e)  # softmax of 0 and 1
    expected = torch.stack([(first + 0.5) / 2, torch.tensor([0.5, 0.5])])
    torch.testing.assert_close(head_mean(query, key)[0], expected)


def test_no_hook_remains_and_other_calls_are_not_observed(plain, images):
    plain.stream(images, attention=[[0]])
    modules = list(plain.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    assert not plain.stream(images).attention


def test_levels_lead_to_the_features(plain, images):
    levels, features = plain.with_levels(images)
    for slopes in torch.autograd.grad(features.square().sum(), levels):
        assert slopes.abs().max() > 0


@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_images_of_any_size_have_a_grid(plain, height, width):
    cells = tuple(max(1, (side + 8) // 16) for side in (height, width))
    assert plain(torch.zeros(1, 3, height, width)).shape[2:] == cells


@torch.no_grad()
def test_extra_tokens_stand_before_all_others_and_change_them(plain, images):
    extra = torch.randn(3, plain.channels, generator=torch.Generator().manual_seed(2))
    found = plain.stream(images, extra=extra, attention=[[-1]])
    assert len(found.extras) == plain.depth
    normed = plain.network.norm(found.extras[-1])
    assert torch.equal(normed, found.extra)
    tokens = 3 + plain.network.num_prefix_tokens + GRID[0] * GRID[1]
    assert found.attention[0].shape == (2, tokens, tokens)
    assert not torch.allclose(found.patches, plain(images))


@torch.no_grad()
def test_extra_tokens_are_interchangeable(plain, images):
    extra = torch.randn(3, plain.channels, generator=torch.Generator().manual_seed(2))
    one, other = (plain.stream(images, extra=each) for each in (extra, extra.flip(0)))
    torch.testing.assert_close(one.extra, other.extra.flip(1))
    torch.testing.assert_close(one.patches, other.patches)


def test_rotary_networks_refuse_extra_tokens(images):
    rotary = backbone_named(ROTARY)
    with pytest.raises(UserError, match="without rotary embeddings"):
        rotary.stream(images, extra=torch.zeros(1, rotary.channels))


def test_the_stride_is_that_of_the_patch():
    assert backbone_named("eva02_tiny_patch14_224", stride=14).patch == 14
    with pytest.raises(UserError, match="expected output stride 16, its only one, got 8"):
        backbone_named("test_vit", stride=8)


def test_no_early_level(plain, images):
    with pytest.raises(UserError, match="expected a level at stride 4"):
        plain.with_skip(images)


def test_a_frozen_stem_is_the_embedding_of_patches():
    backbone = backbone_named("test_vit")
    backbone.freeze_stem()
    frozen = {name for name, each in backbone.named_parameters() if not each.requires_grad}
    assert frozen == {"network.patch_embed.proj.weight", "network.patch_embed.proj.bias"}


def test_kinds_of_networks():
    known = ["vit_small_patch14_dinov2.lvd142m", "deit3_small_patch16_224", ROTARY]
    assert all(map(has_tokens, known))
    assert not any(map(has_tokens, ["resnet50", "swin_tiny_patch4_window7_224", "nothing"]))


def test_bytes_of_attention():
    assert attention_bytes(1 + 32 * 32) == 16 * 1025**2
