"""The refiner `affinity` on tiny backbones: values, laws, and memory that is known before."""

from functools import partial

import pytest
import torch
from torch.nn import functional

from recam.models.backbones import TimmBackbone
from recam.models.tokens import TokenBackbone
from recam.refine.affinity import attended, attention_weights, feature_walk, joined
from recam.refine.affinity_refiner import BLOCKS, Affinity, AttentionAffinity, FeatureAffinity
from recam.runtime.peak import META, peak_bytes

PLENTY = 1 << 30
FEATURES = FeatureAffinity(levels=(0, -1), power=2.0, steps=2)
ATTENTION = AttentionAffinity(box=0.4)


@pytest.fixture(scope="module")
def backbones():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolutional = TimmBackbone("test_resnet", output_stride=16).eval()
        return {FEATURES: convolutional, ATTENTION: TokenBackbone("test_vit", output_stride=16)}


@pytest.fixture(params=[FEATURES, ATTENTION], ids=["features", "attention"])
def refine(request, backbones):
    """A refiner of either kind."""
    backbone = backbones[request.param].eval()
    return Affinity(backbone, request.param, scale=1.0, memory=PLENTY)


@pytest.fixture
def given(generator):
    """Scores and pixels of two images of 48 x 64 pixels."""
    return [torch.rand(2, count, 48, 64, generator=generator) for count in (3, 3)]


@torch.inference_mode()
def test_features_of_the_chosen_levels_propagate_cells_of_4_pixels(backbones, given):
    scores, pixels = given
    backbone = backbones[FEATURES]
    levels = backbone.levels(backbone.normalise(pixels))
    features = joined([levels[0], levels[-1]], size=(12, 16))
    cells = functional.avg_pool2d(scores, 4)
    walked = feature_walk(cells, features, power=2.0, steps=2, block=2)
    fine = functional.interpolate(walked, size=(48, 64), mode="bilinear")
    expected = fine / fine.amax(dim=(2, 3), keepdim=True)
    refine = Affinity(backbone, FEATURES, scale=1.0, memory=PLENTY)
    torch.testing.assert_close(refine(scores, pixels), expected)


@torch.inference_mode()
def test_attention_of_the_last_blocks_propagates_patches(backbones, given):
    scores, pixels = given
    backbone = backbones[ATTENTION].eval()
    stream = backbone.stream(backbone.normalise(pixels), attention=[BLOCKS])
    prefix = stream.prefix.shape[1]
    weights = attention_weights(stream.attention[0][:, prefix:, prefix:])
    maps = attended(functional.avg_pool2d(scores, 16), weights, box=0.4)
    fine = functional.interpolate(maps, size=(48, 64), mode="bilinear")
    expected = fine / fine.amax(dim=(2, 3), keepdim=True).clamp(min=1e-30)
    refine = Affinity(backbone, ATTENTION, scale=1.0, memory=PLENTY)
    torch.testing.assert_close(refine(scores, pixels), expected)


@torch.inference_mode()
def test_maps_peak_at_1_follow_permutations_and_stay_zero(refine, given):
    scores, pixels = given
    scores[:, 2] = 0
    maps = refine(scores, pixels)
    assert maps[:, 2].eq(0).all()
    assert maps.min() >= 0
    assert maps[:, :2].amax(dim=(2, 3)).eq(1).all()
    order = [1, 2, 0]
    torch.testing.assert_close(refine(scores[:, order], pixels), maps[:, order])
    torch.testing.assert_close(refine(scores[1:], pixels[1:]), maps[1:], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_network_sees_a_scaled_image(backbones, given):
    scores, pixels = given
    refine = Affinity(backbones[FEATURES], FEATURES, scale=2.0, memory=PLENTY)
    large = functional.interpolate(pixels, scale_factor=2, mode="bilinear", antialias=True)
    expected = FEATURES.refined(backbones[FEATURES], scores, large)
    assert expected.shape[2:] == (12, 16)
    fine = functional.interpolate(expected, size=(48, 64), mode="bilinear")
    peak = fine.amax(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(refine(scores, pixels), fine / peak)


@torch.inference_mode()
def test_memory_is_known_before_and_enough(refine, given):
    scores, pixels = (each[:1].clone() for each in given)
    needed = refine.need(48, 64, 3)
    taken = peak_bytes(partial(refine, scores, pixels)) + scores.nbytes + pixels.nbytes
    assert taken <= needed <= 1.5 * taken
    assert refine.need(48, 64, 6) > needed
    assert refine.need(96, 64, 3) > needed


@pytest.mark.parametrize("kind", [FEATURES, ATTENTION], ids=["features", "attention"])
def test_large_images_are_shrunk_until_half_of_the_memory_is_enough(backbones, kind):
    size, half = (1200, 1600), 4 << 20
    refine = Affinity(backbones[kind].eval(), kind, scale=1.0, memory=2 * half)
    scale = refine.scale_of(*size)
    assert 0.05 < scale < 1
    assert refine.scale_of(48, 64) == 1
    shrunk = torch.empty(1, 3, *(round(scale * length) for length in size), device=META)
    pass_alone = partial(
        kind.refined, refine.sizes_only, torch.empty(1, 1, *size, device=META), shrunk
    )
    assert peak_bytes(pass_alone) <= half
