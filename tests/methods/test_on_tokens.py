"""Every method, refiner network and segmenter on the tokens of a plain transformer."""

import math
from dataclasses import replace

import pytest
import torch
from tiny_networks import CONFIG
from torch.nn import functional

from recam.catalogue.backbones import make_backbone
from recam.catalogue.methods import load_classifier, make_classifier
from recam.catalogue.readouts import own_maps
from recam.catalogue.segmenters import load_segmenter, make_segmenter
from recam.core.errors import UserError
from recam.io.checkpoints import save_checkpoint
from recam.methods.advcam import AdvCam, Climb
from recam.methods.cam import peak_normalised
from recam.methods.ccam import Ccam
from recam.methods.gradient_maps import grad_cam, gradient_readout, layer_cam
from recam.methods.lpcam import Prototypes, lpcam
from recam.models.tokens import TokenBackbone
from recam.refine.irn import Irn

TOKENS = replace(CONFIG, backbone="test_vit", output_stride=16)
SIZE = (49, 90)  # no multiples of 14 and 16
PRESENT = torch.tensor([[True, False, True], [False, True, False]])


@pytest.fixture
def images(generator):
    """Two images of 49 x 90 pixels."""
    return torch.randn(2, 3, *SIZE, generator=generator)


def made(make, config):
    """A network with the same fresh weights at every call, in the training loop's memory format."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(config).to(memory_format=torch.channels_last)


def trained(model, *batch, steps=6, rate=0.05):
    """The sums of losses before each step of SGD; every parameter gets a gradient."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=rate)
    sums = []
    for _ in range(steps):
        loss = sum(model.loss(*batch).values())
        optimizer.zero_grad()
        loss.backward()
        assert all(each.grad is not None for each in parameters)  # as data parallelism needs
        optimizer.step()
        sums.append(loss.item())
    return sums


@pytest.mark.parametrize("method", ["cam", "recam", "seam"])
def test_a_classifier_learns_and_comes_back_from_its_file(tmp_path, images, method):
    numbers = {"weight": 0.5, "view_scale": 0.5, "pcm": True}
    config = replace(TOKENS, method=method, **numbers)
    model = made(make_classifier, config)
    sums = trained(model, images, PRESENT)
    assert sums[-1] < sums[0]
    save_checkpoint(tmp_path / "classifier.pt", model.state_dict(), config)
    found, classes = load_classifier(tmp_path / "classifier.pt")
    assert classes == config.classes
    with torch.no_grad():
        torch.testing.assert_close(found.maps(images), model.eval().maps(images))


@torch.no_grad()
def test_a_cam_is_the_classifier_of_every_token(images):
    model = made(make_classifier, TOKENS).eval()
    stream = model.backbone.stream(images)
    scores = torch.einsum("kc,bchw->bkhw", model.weights, stream.patches)
    torch.testing.assert_close(model.maps(images), scores.relu())
    torch.testing.assert_close(model.logits(images), scores.mean(dim=(2, 3)))


@torch.no_grad()
def test_maps_of_both_views_follow_a_mirrored_image(images):
    readout = own_maps(made(make_classifier, TOKENS).eval(), combine="classifier")
    maps = readout(images, PRESENT)
    torch.testing.assert_close(readout(images.flip(3), PRESENT), maps.flip(3))


def test_grad_cam_of_tokens_is_cam_and_levels_are_blocks(images):
    model = made(make_classifier, TOKENS).eval()
    last = gradient_readout(model.backbone, model.weights, grad_cam, levels=(-1,))
    with torch.no_grad():
        cams = own_maps(model, combine="classifier")(images, PRESENT)
        expected = peak_normalised(cams) * PRESENT[:, :, None, None]
        torch.testing.assert_close(last(images, PRESENT), expected, rtol=1e-3, atol=1e-3)
        every = gradient_readout(model.backbone, model.weights, layer_cam, levels=(-1, -2, -5))
        maps = every(images, PRESENT)
    assert maps.shape[2:] == (3, 6)
    assert (maps.amax(dim=(2, 3)) == PRESENT).all()
    missing = gradient_readout(model.backbone, model.weights, grad_cam, levels=(-6,))
    with pytest.raises(UserError, match="a level that the backbone lacks"):
        missing(images, PRESENT)


# Other read-outs, saliency


CLIMB = Climb(steps=3, step_size=0.2, weight=1.0, threshold=0.5, penalty="mean", batch_size=2)


def lpcam_of(model):
    """LPCAM with two drawn prototypes of each class, and of its surroundings."""
    generator = torch.Generator().manual_seed(0)
    centres = [torch.randn(2, 64, generator=generator) for _ in range(6)]
    prototypes = Prototypes(foreground=tuple(centres[:3]), context=tuple(centres[3:]))
    return lpcam(model, prototypes, fallback=own_maps(model, combine="classifier"))


@pytest.mark.parametrize(
    ("method", "readout"),
    [
        ("cam", lambda model: AdvCam(model, model.weights, CLIMB)),
        ("cam", lpcam_of),
        ("eps", lambda model: own_maps(model, combine="classifier")),
    ],
    ids=["advcam", "lpcam", "eps"],
)
def test_maps_of_every_readout_follow_a_mirrored_image(images, method, readout):
    read = readout(made(make_classifier, replace(TOKENS, method=method)).eval())
    with torch.no_grad():
        present = PRESENT[:, :, None, None]
        maps, mirrored = (read(views, PRESENT) * present for views in (images, images.flip(3)))
    assert maps.shape[2:] == (3, 6)
    assert (maps.amax(dim=(2, 3)) > maps.amin(dim=(2, 3))).equal(PRESENT)
    torch.testing.assert_close(mirrored.flip(3), maps, rtol=1e-2, atol=1e-3)


def test_eps_learns_saliency_and_ccam_learns_without_labels(images):
    saliency = torch.zeros(2, *SIZE)
    saliency[:, :, 40:] = 1
    eps = made(make_classifier, replace(TOKENS, method="eps"))
    sums = trained(eps, images, PRESENT, saliency)
    assert sums[-1] < sums[0]
    ccam = made(lambda config: Ccam(make_backbone(config), channels=128, rank_decay=0.25), TOKENS)
    sums = trained(ccam, images, PRESENT, rate=0.5)
    assert sums[-1] < sums[0]


# IRN


@pytest.mark.parametrize("stride", [14, 16])
def test_irn_has_edges_at_stride_4_over_the_whole_image(images, stride):
    irn = _irn(stride)
    edges = irn.eval().edges(images)
    assert edges.shape == (2, *(math.ceil(side / 4) for side in SIZE))
    torch.testing.assert_close(irn.edges(images.flip(3)), edges.flip(2))


def test_irn_learns_on_tokens(images):
    masks = torch.zeros(2, *SIZE, dtype=torch.uint8)
    masks[:, :, 40:] = 1
    sums = trained(_irn(16), images, masks, rate=0.02)
    assert sums[-1] < sums[0]


def _irn(stride):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = TokenBackbone("test_vit", output_stride=16)
        backbone.level_strides = (stride,) * 4  # the heads read no more of the patch
        return Irn(backbone, radius=3)


# Segmenters


def test_deeplabv2_learns_and_comes_back_from_its_file(tmp_path, images):
    config = replace(TOKENS, method="deeplabv2", rates=(1, 2))
    model = made(make_segmenter, config)
    masks = torch.zeros(2, *SIZE, dtype=torch.uint8)
    masks[:, :, 40:] = 1
    sums = trained(model, images, masks, rate=0.01)
    assert sums[-1] < sums[0]
    save_checkpoint(tmp_path / "segmenter.pt", model.state_dict(), config)
    found, _ = load_segmenter(tmp_path / "segmenter.pt")
    with torch.no_grad():
        torch.testing.assert_close(found.maps(images), model.eval().maps(images))


def test_a_decoder_with_an_early_level_is_refused():
    with pytest.raises(UserError) as caught:
        make_segmenter(replace(TOKENS, method="deeplab", rates=(1,)))
    assert str(caught.value) == (
        "backbone test_vit: expected a level at stride 4, got 16; choose another backbone, or a "
        "segmenter that needs no such level, such as deeplabv2"
    )


# Memory format and precision


@torch.no_grad()
def test_bfloat16_changes_features_little(images):
    backbone = made(make_classifier, TOKENS).backbone.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = backbone(images)
    exact = backbone(images)
    assert functional.cosine_similarity(low.float(), exact, dim=1).min() > 0.99
