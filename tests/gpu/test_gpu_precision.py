"""Losses and maps on a device: bfloat16 beside float32, and float32 beside the CPU's."""

from functools import partial

import pytest
import torch
from together import KINDS, made

from recam.core.labels import IGNORE
from recam.methods.cam import peak_normalised
from recam.methods.recam import ReCam
from recam.models.segmenters import balanced_cross_entropy
from recam.runtime.precision import autocast

pytestmark = pytest.mark.gpu

CLASSES = ("cat", "dog", "hen")
SIDE = 64
CPU = torch.device("cpu")
SEGMENTERS = ("deeplab", "deeplabv2")
WITH_MAPS = ("cam", "recam", *SEGMENTERS)
# bfloat16 has 8 bits: a value is off by at most 1/256 of itself, a network's by a few times that.
BF16_LOSS = 0.02  # of the loss
BF16_MAPS, BF16_MEAN = 0.1, 0.02  # of maps in [0, 1]: largest and mean; a CPU: 0.065 and 0.011
FP32_LOSS, FP32_MAPS = 1e-4, 1e-3


@pytest.fixture
def images(generator):
    return torch.randn(4, 3, SIDE, SIDE, generator=generator)


@pytest.fixture
def masks(generator):
    masks = torch.randint(0, 4, (4, 8, 8), generator=generator, dtype=torch.uint8)
    masks = masks.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    masks[:, :4] = IGNORE
    return masks


@pytest.fixture
def labels():
    return torch.tensor(
        [[True, False, False], [True, True, False], [False, True, True], [True] * 3]
    )


def network(kind, device):
    """The same network in every call, in the layout of the steps."""
    make = KINDS[{"cam": "recam", "deeplab": "deeplabv2"}.get(kind, kind)][0]
    return made(make, kind, CLASSES).to(device).to(memory_format=torch.channels_last).eval()


def losses_of(kind, device, dtype, images, targets):
    with torch.no_grad(), autocast(dtype, device):
        losses = network(kind, device).loss(images.to(device), targets.to(device))
    return {name: loss.item() for name, loss in losses.items()}


def maps_of(kind, device, dtype, images):
    """Maps in [0, 1], on the CPU."""
    model = network(kind, device)
    compute = model.maps
    if isinstance(model, ReCam):
        compute = partial(model.maps, combine="product")
    with torch.no_grad(), autocast(dtype, device):
        maps = compute(images.to(device)).cpu()
    assert maps.dtype == torch.float32
    return maps if kind in SEGMENTERS else peak_normalised(maps)


@pytest.mark.parametrize("kind", [*WITH_MAPS, "irn"])
def test_losses_in_bf16_are_close_to_those_in_fp32(kind, device, images, labels, masks):
    given = (images, labels if kind in ("cam", "recam") else masks)
    full, half = (losses_of(kind, device, d, *given) for d in (torch.float32, torch.bfloat16))
    assert half == pytest.approx(full, rel=BF16_LOSS)


@pytest.mark.parametrize("kind", WITH_MAPS)
def test_maps_in_bf16_are_close_to_those_in_fp32(kind, device, images):
    full, half = (maps_of(kind, device, d, images) for d in (torch.float32, torch.bfloat16))
    assert not torch.equal(full, half)  # bfloat16 was used
    difference = (full - half).abs()
    assert difference.max() <= BF16_MAPS
    assert difference.mean() <= BF16_MEAN


@pytest.mark.parametrize("kind", [*WITH_MAPS, "irn"])
def test_losses_in_fp32_are_those_of_the_cpu(kind, device, images, labels, masks):
    given = (torch.float32, images, labels if kind in ("cam", "recam") else masks)
    assert losses_of(kind, device, *given) == pytest.approx(
        losses_of(kind, CPU, *given), rel=FP32_LOSS
    )


@pytest.mark.parametrize("kind", WITH_MAPS)
def test_maps_in_fp32_are_those_of_the_cpu(kind, device, images):
    found, expected = (maps_of(kind, where, torch.float32, images) for where in (device, CPU))
    torch.testing.assert_close(found, expected, rtol=0, atol=FP32_MAPS)


def test_the_balanced_loss_is_that_of_a_cpu(device):
    """On a GPU the sum over a part has another form, which does not wait for the part's size."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, generator=generator)
    masks = torch.randint(3, (2, 8, 8), generator=generator, dtype=torch.uint8)
    masks[:, :2] = IGNORE
    found = balanced_cross_entropy(logits.to(device), masks.to(device)).cpu()
    torch.testing.assert_close(found, balanced_cross_entropy(logits, masks))
