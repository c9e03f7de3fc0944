"""CLIP-ES: softmax Grad-CAM against its formula, competition of texts, and ReCAM on its maps."""

import pytest
import torch
from torch.nn import functional

from recam.core.errors import UserError
from recam.methods.cam import Cam, peak_normalised
from recam.methods.clip_es import ClipEs
from recam.methods.recam import COMBINATIONS, MEAN, ReCam, pool_by_class
from recam.models.backbones import TorchvisionResNet
from recam.models.tokens import TokenBackbone

CLASSES, WORDS, CHANNELS = 3, 2, 8
PRESENT = torch.tensor([[True, False, True], [False, True, False]])
NEAR = {"rtol": 1e-3, "atol": 1e-4}


def clip(words=WORDS, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ClipEs(
            TokenBackbone("test_vit", output_stride=16),
            num_classes=CLASSES,
            num_background=words,
            text_channels=CHANNELS,
        )
        model.set_texts(model.texts, scale=10.0)
        return model.eval()


@pytest.fixture(scope="module")
def model():
    return clip()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 48, 80, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def found(model, images):
    with torch.no_grad():
        return model.maps_among(images, PRESENT, model.weights)[0]


def cosines(model, tokens):
    """Cosines of images and texts, from the tokens after the last block, as CLIP computes them."""
    normed = model.backbone.network.norm(tokens)[:, 1:]
    image = functional.normalize(normed.mean(dim=1) @ model.projection.T)
    return image @ model.texts.T


def last_block(model, images):
    """The normed input of the last block, and CLIP's scores as a function of it."""
    network, tokens = model.backbone.network, None
    embedded = network.norm_pre(network._pos_embed(network.patch_embed(images)))
    for block in network.blocks[:-1]:
        embedded = block(embedded)
    block = network.blocks[-1]
    tokens = block.norm1(embedded).detach().requires_grad_()
    after = embedded + block.attn(tokens)
    after = after + block.mlp(block.norm2(after))
    return tokens, 10.0 * cosines(model, after)


def test_maps_are_softmax_grad_cam_by_the_formula(model, images, found):
    """w_c = p_c (1 - p_c) w^c - sum of p_c p_j w^j over all rivals j (Lin et al., section 3.2)."""
    tokens, scores = last_block(model, images)
    slopes = [torch.autograd.grad(z, tokens, retain_graph=True)[0] for z in scores.sum(dim=0)]
    every = torch.stack(slopes)[:, :, 1:].mean(dim=2)  # (N, B, C): w^n of each image
    for image, present in enumerate(PRESENT.tolist()):
        rivals = [n for n in range(CLASSES + WORDS) if n >= CLASSES or present[n]]
        p = dict(zip(rivals, scores[image, rivals].softmax(dim=0).tolist(), strict=True))
        for c in (k for k in range(CLASSES) if present[k]):
            w = p[c] * (1 - p[c]) * every[c, image]
            w = w - sum(p[c] * p[j] * every[j, image] for j in rivals if j != c)
            cam = torch.relu(tokens[image, 1:].detach() @ w).reshape(3, 5)
            torch.testing.assert_close(found[image, c], cam / cam.max(), **NEAR)


def test_maps_of_absent_classes_are_zero_and_all_others_have_a_peak_of_one(found):
    peaks = found.amax(dim=(2, 3))
    torch.testing.assert_close(peaks, PRESENT.float())
    assert found.min() == 0


def test_an_absent_class_does_not_compete(model, images, found):
    other = clip()
    changed = model.texts.clone()
    changed[1] = -changed[1]  # absent in the first image
    other.set_texts(changed, scale=10.0)
    maps = other.maps_among(images, PRESENT, other.weights)[0]
    torch.testing.assert_close(maps[0], found[0], **NEAR)
    assert not torch.allclose(maps[1, 1], found[1, 1], **NEAR)


def test_a_background_word_competes(model, images, found):
    other = clip()
    other.set_texts(torch.cat([model.texts[:-1], -model.texts[-1:]]), scale=10.0)
    maps = other.maps_among(images, PRESENT, other.weights)[0]
    assert not torch.allclose(maps, found, **NEAR)


def test_a_background_word_that_equals_a_class_halves_its_share(model, images):
    """Against itself alone a class has log-odds of 0: as probable as the word."""
    twin = clip(words=1)
    twin.set_texts(torch.cat([model.texts[:CLASSES], model.texts[:1]]), scale=10.0)
    torch.testing.assert_close(twin.logits(images)[:, 0], torch.zeros(2), atol=1e-4, rtol=0)


def test_a_class_far_above_its_rivals_keeps_its_map(model, images):
    """The gradient of p underflows; that of its log-odds is against the strongest rival."""
    sure = clip()
    sure.set_texts(model.texts, scale=1e6)
    alone = torch.tensor([[True, False, False], [False, True, False]])
    maps = sure.maps_among(images, alone, sure.weights)[0]
    tokens, scores = last_block(model, images)
    for image, c in ((0, 0), (1, 1)):
        rival = CLASSES + int(scores[image, CLASSES:].argmax())
        aim = scores[image, c] - scores[image, rival]
        w = torch.autograd.grad(aim, tokens, retain_graph=True)[0][image, 1:].mean(dim=0)
        cam = torch.relu(tokens[image, 1:].detach() @ w).reshape(3, 5)
        torch.testing.assert_close(maps[image, c], cam / cam.max(), **NEAR)


def test_permuting_the_classes_permutes_the_maps(model, images, found):
    order = [2, 0, 1]
    other = clip()
    other.set_texts(torch.cat([model.texts[order], model.texts[CLASSES:]]), scale=10.0)
    maps = other.maps_among(images, PRESENT[:, order], other.weights)[0]
    torch.testing.assert_close(maps, found[:, order], **NEAR)
    torch.testing.assert_close(other.logits(images), model.logits(images)[:, order])


def test_the_logit_is_the_log_odds_against_the_background_words(model, images):
    _, scores = last_block(model, images)
    for k in range(CLASSES):
        shares = scores[:, [k, *range(CLASSES, CLASSES + WORDS)]].softmax(dim=1)[:, 0]
        torch.testing.assert_close(model.logits(images)[:, k].sigmoid(), shares)


def test_the_classifier_is_linear_in_the_features(model, images):
    pooled = model.features(images).mean(dim=(2, 3))
    lengths = (pooled @ model.projection.T).norm(dim=1, keepdim=True)
    _, scores = last_block(model, images)
    torch.testing.assert_close(pooled @ model.weights.T / lengths, scores[:, :CLASSES])


def test_the_read_out_sums_both_views_for_the_present_classes(model, images, found):
    with torch.no_grad():
        maps = model.readout(combine="mean")(images, PRESENT)
        mirrored = model.maps_among(images.flip(3), PRESENT, model.weights)[0].flip(3)
    torch.testing.assert_close(maps, found + mirrored, **NEAR)


def test_the_length_of_another_classifier_does_not_matter(model, images):
    other = torch.randn(
        CLASSES, model.backbone.channels, generator=torch.Generator().manual_seed(3)
    )
    one, longer = model.maps_among(images, PRESENT, other, 100 * other)
    torch.testing.assert_close(one, longer, **NEAR)


@pytest.fixture
def recam(model):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return ReCam(model, weight=1.0)


def test_recam_pools_by_the_maps_of_the_present_classes_and_v_alone_learns(recam, images, found):
    losses = recam.loss(images, PRESENT)
    features = recam.features(images)
    pooled = pool_by_class(peak_normalised(found), features)
    log_shares = (pooled @ recam.reclassifier.T).log_softmax(dim=2).diagonal(dim1=1, dim2=2)
    first = -(log_shares[0, 0] + log_shares[0, 2]) / 2
    torch.testing.assert_close(losses["sce"], (first - log_shares[1, 1]) / 2, **NEAR)
    sum(losses.values()).backward()
    assert [n for n, p in recam.named_parameters() if p.grad is not None] == ["reclassifier"]
    optimizer = torch.optim.SGD([recam.reclassifier], lr=0.1)
    optimizer.step()
    assert recam.loss(images, PRESENT)["sce"] < losses["sce"]


@pytest.mark.parametrize("combine", [MEAN, *COMBINATIONS])
def test_recam_reads_maps_of_the_present_classes_alone(recam, images, combine):
    with torch.no_grad():
        maps = recam.readout(combine=combine)(images, PRESENT)
    peaks = maps.amax(dim=(2, 3))
    assert torch.isfinite(maps).all()
    assert (peaks[PRESENT] > 0).all()
    assert (peaks[~PRESENT] == 0).all()


def test_recam_with_w_alone_reads_the_maps_of_clip_es(recam, model, images):
    with torch.no_grad():
        maps = recam.readout(combine="classifier")(images, PRESENT)
        torch.testing.assert_close(maps, model.readout(combine=MEAN)(images, PRESENT), **NEAR)


def test_held_out_losses_need_no_gradients(model, images):
    with torch.no_grad():
        losses, activations = model.losses(images, PRESENT)
    assert losses["bce"] > 0
    assert activations.evidence.amax(dim=(2, 3))[PRESENT].min() > 0


def test_other_backbones_are_refused():
    backbone = TorchvisionResNet("resnet18", output_stride=16)
    with pytest.raises(UserError, match="expected an image tower of CLIP that is a plain ViT"):
        ClipEs(backbone, num_classes=1, num_background=1, text_channels=2)


def test_other_variants_read_maps_without_labels(images):
    backbone = torch.nn.Conv2d(3, 4, kernel_size=4, stride=4)
    cam = Cam(backbone, channels=4, num_classes=CLASSES)
    maps = cam.maps_among(images, PRESENT, cam.weights)[0]
    torch.testing.assert_close(maps, cam.maps(images))
