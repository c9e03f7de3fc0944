"""Refinement of a batch on a device: the CPU's results, and those of the images one by one."""

import pytest
import torch
from torch.nn import functional

from recam.refine.crf import CrfKernels, DenseCrf, unary_of_labels
from recam.refine.crf_masks import Crf, confident_labels, crf_refined
from recam.refine.pamr import pamr
from recam.refine.random_walk import random_walk, walked

pytestmark = pytest.mark.gpu

IMAGES, LABELS = 3, 3
CPU = torch.device("cpu")
CRF = Crf(
    kernels=CrfKernels(
        gaussian_sxy=3.0,
        gaussian_weight=3.0,
        bilateral_sxy=50.0,
        bilateral_srgb=5.0,
        bilateral_weight=10.0,
    ),
    iterations=10,
)
EQUAL = 0.999  # share of labels
CLOSE = {"rtol": 0, "atol": 1e-3}  # of scores in [0, 1]
MODES = pytest.mark.parametrize("size", [(48, 40), (96, 80)], ids=["all pairs", "lattice"])


def smooth(channels, size, generator):
    """Random values in [0, 1] that change slowly: (B, channels, H, W)."""
    noise = torch.rand(IMAGES, channels, 6, 6, generator=generator)
    return functional.interpolate(noise, size=size, mode="bicubic").clamp(0, 1)


def by_device(compute, device, *tensors):
    """The result of a batch on the device, that of the CPU, and that of its images one by one."""
    given = [tensor.to(device) for tensor in tensors]
    singles = [compute(*(tensor[i : i + 1] for tensor in given)) for i in range(IMAGES)]
    return compute(*given).cpu(), compute(*tensors), torch.cat(singles).cpu()


@MODES
def test_labels_of_the_crf(size, device, generator):
    """Energies of labels of which a fifth is noise."""
    pixels = smooth(3, size, generator)
    labels = (pixels[:, 0] * LABELS).long().clamp(max=LABELS - 1)
    noise = torch.randint(LABELS, labels.shape, generator=generator)
    noisy = torch.where(torch.rand(labels.shape, generator=generator) < 0.2, noise, labels)
    unary = unary_of_labels(noisy, num_labels=LABELS, certainty=0.7)
    unary = unary + 0.2 * torch.rand(unary.shape, generator=generator)  # no two are equally good

    def posteriors(pixels, unary):
        field = DenseCrf(pixels, kernels=CRF.kernels)
        return field.posteriors(unary.movedim(1, -3), iterations=CRF.iterations)

    found, *others = by_device(posteriors, device, pixels, unary.movedim(-3, 1))
    for other in others:
        assert (found.argmax(1) == other.argmax(1)).double().mean() >= EQUAL
    assert (found.argmax(1) != noisy).double().mean() > 0.05  # the result differs from the input


@MODES
def test_scores_that_the_crf_refines(size, device, generator):
    pixels, scores = smooth(3, size, generator), smooth(2, size, generator)

    def refined(scores, pixels):
        return crf_refined(scores, pixels, background=0.4, crf=CRF)

    found, *others = by_device(refined, device, scores, pixels)
    for other in others:
        assert ((found - other).abs() <= CLOSE["atol"]).double().mean() >= EQUAL


@MODES
def test_confident_pixels(size, device, generator):
    pixels, scores = smooth(3, size, generator), smooth(2, size, generator)

    def labels(scores, pixels):
        given = {"foreground": 0.6, "background": 0.3, "certainty": 0.7, "crf": CRF}
        return confident_labels(scores, pixels, **given)

    found, *others = by_device(labels, device, scores, pixels)
    assert len(found.unique()) > 2
    for other in others:
        assert (found == other).double().mean() >= EQUAL


def test_scores_that_the_walk_propagates(device, generator):
    """On the grid, and on pixels with the interpolation to them."""
    numbers = {"radius": 5, "power": 10.0, "steps": 256}
    scores, edges = smooth(2, (24, 30), generator), smooth(1, (24, 30), generator)[:, 0]
    pixels = smooth(2, (93, 117), generator)
    for walk, given in ((random_walk, scores), (walked, pixels)):
        found, *others = by_device(lambda *g, walk=walk: walk(*g, **numbers), device, given, edges)
        for other in others:
            torch.testing.assert_close(found, other, **CLOSE)


def test_scores_that_pamr_propagates(device, generator):
    pixels, scores = smooth(3, (48, 40), generator), smooth(2, (48, 40), generator)

    def refined(scores, pixels):
        return pamr(scores, pixels, dilations=(1, 2, 4), iterations=10)

    found, *others = by_device(refined, device, scores, pixels)
    for other in others:
        torch.testing.assert_close(found, other, **CLOSE)
