"""The dense CRF: numbers by hand, laws, and a matrix of all pairs of pixels as the reference."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from recam.refine.crf import (
    CrfKernels,
    DenseCrf,
    _distinct_labels,
    _Normalised,
    unary_of_labels,
    unary_of_probabilities,
)
from recam.refine.lattice import CHUNK, AllPairs, Grid, Lattice, _ranks

IRN = CrfKernels(
    gaussian_sxy=3.0,
    gaussian_weight=3.0,
    bilateral_sxy=50.0,
    bilateral_srgb=5.0,
    bilateral_weight=10.0,
)
REFINING = replace(IRN, bilateral_sxy=30.0, bilateral_srgb=13.0)
DEEPLAB = CrfKernels(
    gaussian_sxy=1.0,
    gaussian_weight=3.0,
    bilateral_sxy=67.0,
    bilateral_srgb=3.0,
    bilateral_weight=4.0,
)
SETS = pytest.mark.parametrize(
    "kernels", [IRN, REFINING, DEEPLAB], ids=["irn", "refine", "deeplab"]
)
MODES = pytest.mark.parametrize("exact_up_to", [0, 10_000], ids=["lattice", "all pairs"])


def scene(height, width, *, seed):
    """Two discs before a shaded ground and noisy energies of their labels: twice (3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    mask = torch.zeros(height, width, dtype=torch.long)
    for label, (row, column) in enumerate(((0.35, 0.3), (0.6, 0.7)), start=1):
        inside = (y - row * height) ** 2 + (x - column * width) ** 2 < (0.25 * height) ** 2
        mask[inside] = label
    colours = torch.rand(3, 3, generator=generator) * 0.6 + 0.2
    pixels = colours[mask].permute(2, 0, 1) + 0.1 * (x / width - y / height)
    pixels = pixels + 0.02 * torch.randn(3, height, width, generator=generator)
    shifted = mask.roll((3, -2), dims=(0, 1))
    guesses = torch.randint(3, mask.shape, generator=generator)
    flipped = torch.rand(mask.shape, generator=generator) < 0.2
    labels = torch.where(flipped, guesses, shifted)
    # Energies a little apart, so that no two labels are equally good.
    doubts = 0.2 * torch.rand(3, height, width, generator=generator)
    return pixels, unary_of_labels(labels, num_labels=3, certainty=0.7) + doubts


def brute_force(pixels, unary, *, kernels, iterations):
    """The model by its definition, (N, H, W) in double precision: one matrix of all pairs."""
    labels, height, width = unary.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    colours = [255 * channel.flatten().double() for channel in pixels]

    def matrix(sxy, srgb):
        places = [(axis.flatten().double(), sxy) for axis in (x, y)]
        squares = torch.zeros(height * width, height * width, dtype=torch.float64)
        for values, sigma in places + [(colour, srgb) for colour in colours if srgb]:
            squares += ((values[:, None] - values) / sigma) ** 2
        weights = torch.exp(-squares / 2)
        sums = weights.sum(1)
        return weights / torch.sqrt(sums[:, None] * sums)

    pairs = kernels.gaussian_weight * matrix(kernels.gaussian_sxy, None)
    pairs += kernels.bilateral_weight * matrix(kernels.bilateral_sxy, kernels.bilateral_srgb)
    energies = unary.double().flatten(1)
    beliefs = torch.softmax(-energies, dim=0)
    for _ in range(iterations):
        beliefs = torch.softmax(-energies + beliefs @ pairs, dim=0)
    return beliefs.view(labels, height, width)


def agreement(one, other):
    return (one.argmax(-3) == other.argmax(-3)).double().mean().item()


def posteriors(pixels, unary, *, kernels=IRN, iterations=10, **mode):
    """Of one image."""
    field = DenseCrf(pixels[None], kernels=kernels, **mode)
    return field.posteriors(unary[None], iterations=iterations)[0]


@cache
def solved(kernels, seed):
    """A scene of 40 x 48 pixels and its sums over all pairs in double precision."""
    pixels, unary = scene(40, 48, seed=seed)
    return pixels, unary, brute_force(pixels, unary, kernels=kernels, iterations=10)


@SETS
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_small_images_get_the_labels_of_all_pairs(kernels, seed):
    pixels, unary, expected = solved(kernels, seed)
    found = posteriors(pixels, unary, kernels=kernels)
    assert agreement(found, expected) >= 0.999
    assert agreement(unary.neg(), expected) < 0.9  # the input differs from the result
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-3)


@SETS
@pytest.mark.parametrize("seed", [0, 1])
def test_the_lattice_gets_nearly_all_labels_of_all_pairs(kernels, seed):
    pixels, unary, expected = solved(kernels, seed)
    assert agreement(posteriors(pixels, unary, kernels=kernels, exact_up_to=0), expected) >= 0.98


@SETS
@pytest.mark.parametrize("seed", [0, 1])
def test_the_lattice_gets_the_labels_of_the_published_program(kernels, seed):
    dcrf = pytest.importorskip("pydensecrf.densecrf")
    pixels, unary = scene(96, 80, seed=seed)
    pixels = (pixels * 255).round().clamp(0, 255)
    theirs = dcrf.DenseCRF2D(80, 96, 3)
    theirs.setUnaryEnergy(unary.flatten(1).numpy())
    theirs.addPairwiseBilateral(
        sxy=kernels.bilateral_sxy,
        srgb=kernels.bilateral_srgb,
        rgbim=pixels.byte().permute(1, 2, 0).contiguous().numpy(),
        compat=kernels.bilateral_weight,
    )
    expected = torch.from_numpy(np.array(theirs.inference(10))).view(3, 96, 80)
    alone = replace(kernels, gaussian_weight=0.0)  # the other kernel is exact here, not there
    found = posteriors(pixels / 255, unary, kernels=alone, exact_up_to=0)
    assert agreement(found, expected) >= 0.999


def test_two_pixels_by_hand():
    pixels = torch.zeros(3, 1, 2)
    pixels[0, 0, 1] = 1.0  # black and red, 255 apart
    kernels = CrfKernels(
        gaussian_sxy=2.0,
        gaussian_weight=3.0,
        bilateral_sxy=1.0,
        bilateral_srgb=255.0,
        bilateral_weight=5.0,
    )
    start = torch.tensor([[[0.8, 0.4]], [[0.2, 0.6]]])
    # One pixel's distance is 1/2 for the one kernel; 1 in place and 1 in colour for the other.
    near, alike = math.exp(-((1 / 2) ** 2) / 2), math.exp(-(1**2 + 1**2) / 2)
    own = 3 / (1 + near) + 5 / (1 + alike)
    other = 3 * near / (1 + near) + 5 * alike / (1 + alike)
    left = [0.8 * math.exp(own * 0.8 + other * 0.4), 0.2 * math.exp(own * 0.2 + other * 0.6)]
    right = [0.4 * math.exp(own * 0.4 + other * 0.8), 0.6 * math.exp(own * 0.6 + other * 0.2)]
    found = posteriors(pixels, unary_of_probabilities(start), kernels=kernels, iterations=1)
    assert found[:, 0, 0].tolist() == pytest.approx([v / sum(left) for v in left], rel=1e-5)
    assert found[:, 0, 1].tolist() == pytest.approx([v / sum(right) for v in right], rel=1e-5)


@MODES
def test_a_single_pixel_listens_to_itself(exact_up_to):
    start = torch.tensor([0.6, 0.4]).view(2, 1, 1)
    unary = unary_of_probabilities(start)
    kernels = replace(IRN, gaussian_weight=1.0, bilateral_weight=2.0)
    mode = {"kernels": kernels, "exact_up_to": exact_up_to}
    found = posteriors(torch.full((3, 1, 1), 0.5), unary, iterations=1, **mode)
    odds = 0.6 / 0.4 * math.exp(3 * 0.6 - 3 * 0.4)
    assert found[0].item() == pytest.approx(odds / (1 + odds), rel=1e-5)


def test_a_column_is_not_a_row():
    pixels, unary = scene(24, 40, seed=3)
    wide = posteriors(pixels, unary)
    tall = posteriors(pixels.transpose(1, 2), unary.transpose(1, 2))
    torch.testing.assert_close(tall.transpose(1, 2), wide, rtol=0, atol=1e-4)


@MODES
def test_no_iteration_gives_the_probabilities_of_the_unary(exact_up_to):
    pixels, unary = scene(8, 9, seed=0)
    found = posteriors(pixels, unary, iterations=0, exact_up_to=exact_up_to)
    torch.testing.assert_close(found, (-unary).softmax(0))


@MODES
def test_labels_have_no_order(exact_up_to):
    pixels, unary = scene(20, 24, seed=0)
    order = [2, 0, 1]
    found = posteriors(pixels, unary, exact_up_to=exact_up_to)
    permuted = posteriors(pixels, unary[order], exact_up_to=exact_up_to)
    torch.testing.assert_close(permuted, found[order], rtol=0, atol=1e-4)


def test_labels_that_are_seen_nowhere_share_what_is_left(generator):
    """20 labels, more than are filtered at once; of the last eight, three are somewhere."""
    pixels = scene(9, 10, seed=0)[0]
    probabilities = torch.rand(20, 9, 10, generator=generator)
    probabilities[12:] = 0
    probabilities[15:18, 2:5, 2:5] = 1
    unary = unary_of_probabilities(probabilities / probabilities.sum(0))
    found = posteriors(pixels, unary)
    expected = brute_force(pixels, unary, kernels=IRN, iterations=10)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    unseen = found[[12, 13, 14, 18, 19]]
    assert torch.equal(unseen, unseen[:1].expand_as(unseen))
    assert _distinct_labels(unary.flatten(1)[None, None])[0] == [*range(13), 15, 16, 17]


@MODES
def test_sets_of_labels_do_not_mix(exact_up_to):
    pixels, unary = scene(20, 24, seed=0)
    sets = torch.stack([unary, 2 * unary.flip(0), unary.flip(1)]).view(1, 3, 1, 3, 20, 24)
    crf = DenseCrf(pixels[None], kernels=IRN, exact_up_to=exact_up_to)
    together = crf.posteriors(sets, iterations=3)
    alone = [crf.posteriors(sets[:, number, 0], iterations=3) for number in range(3)]
    torch.testing.assert_close(together[0, :, 0], torch.cat(alone), rtol=0, atol=1e-4)


@MODES
def test_images_of_a_batch_do_not_mix(exact_up_to):
    pixels, unaries = map(torch.stack, zip(*(scene(20, 24, seed=s) for s in range(3)), strict=True))
    pixels[2], unaries[2] = 1 - pixels[0], unaries[0]  # far from the first in its colours
    crf = DenseCrf(pixels, kernels=IRN, exact_up_to=exact_up_to)
    together = crf.posteriors(unaries, iterations=3)
    alone = [
        posteriors(*inputs, iterations=3, exact_up_to=exact_up_to)
        for inputs in zip(pixels, unaries, strict=True)
    ]
    torch.testing.assert_close(together, torch.stack(alone), rtol=0, atol=1e-5)


@MODES
def test_pixels_far_apart_in_colour_do_not_exchange(exact_up_to):
    pixels = torch.zeros(3, 6, 8)
    pixels[..., 4:] = 1.0
    unary = scene(6, 8, seed=0)[1]
    changed = unary.clone()
    changed[..., 4:] = unary[..., 4:].flip(0)
    mode = {"kernels": replace(IRN, gaussian_weight=0.0), "exact_up_to": exact_up_to}
    before, after = posteriors(pixels, unary, **mode), posteriors(pixels, changed, **mode)
    torch.testing.assert_close(after[..., :4], before[..., :4])
    assert not torch.allclose(after[..., 4:], before[..., 4:])


@MODES
def test_a_wrong_label_among_right_ones_is_corrected(exact_up_to):
    mask = torch.zeros(9, 9, dtype=torch.uint8)
    mask[4, 4] = 1
    unary = unary_of_labels(mask, num_labels=2, certainty=0.7)
    found = posteriors(torch.full((3, 9, 9), 0.5), unary, exact_up_to=exact_up_to)
    assert found.argmax(0).sum() == 0


@MODES
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 6)])
@pytest.mark.parametrize("labels", [1, 2])
def test_tiny_images_of_one_colour_give_distributions(exact_up_to, shape, labels, generator):
    unary = torch.rand(labels, *shape, generator=generator)
    found = posteriors(torch.zeros(3, *shape), unary, exact_up_to=exact_up_to)
    assert found.shape == unary.shape
    torch.testing.assert_close(found.sum(0), torch.ones(shape))


@MODES
def test_equal_inputs_give_equal_bytes_in_any_thread(exact_up_to):
    scenes = [scene(20, 24 + seed, seed=seed) for seed in range(4)]

    def refined(inputs):
        return posteriors(*inputs, exact_up_to=exact_up_to)

    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(refined, scenes))
    for found, inputs in zip(threaded, scenes, strict=True):
        assert torch.equal(found, refined(inputs))


def test_the_inputs_are_not_changed_and_the_dtype_is_kept():
    pixels, unary = scene(8, 9, seed=0)
    given = (pixels.double(), unary.double())
    copies = [tensor.clone() for tensor in given]
    assert posteriors(*given).dtype == torch.float64
    assert all(torch.equal(*pair) for pair in zip(given, copies, strict=True))


def places(height, width):
    """Columns and rows of one image's pixels, row by row."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y]).flatten(1)[None]


def filters(height, width):
    """The three filters on the pixels' places, 2 pixels wide; the grid knows no other features."""
    features = places(height, width) / 2
    grid = Grid(height, width, sigma=2.0, device=torch.device("cpu"))
    return features, [AllPairs(features), grid, Lattice(features)]


def test_a_normalised_filter_keeps_its_own_normalisation():
    features, all_filters = filters(5, 7)
    for unnormalised in all_filters:
        normalised = _Normalised(unnormalised, features, weight=4.0)
        sums = unnormalised(torch.ones(1, 1, 35))
        torch.testing.assert_close(normalised(sums.sqrt()), 4 * sums.sqrt())


def test_all_pairs_by_hand():
    points = torch.tensor([[[0.0, 3.0, 0.0], [0.0, 4.0, 1.0]]])  # distances 5, 1 and sqrt(18)
    sums = AllPairs(points)(torch.tensor([[[1.0, 2.0, 3.0]]]))
    far, near, between = math.exp(-12.5), math.exp(-0.5), math.exp(-9)
    expected = [1 + 2 * far + 3 * near, far + 2 + 3 * between, near + 2 * between + 3]
    assert sums.flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("height", "width", "sigma"), [(3, 150, 2.0), (70, 2, 3.0), (4, 5, 50.0)])
def test_the_grid_gives_the_sums_of_all_pairs(height, width, sigma, generator):
    values = torch.rand(3, 2, height * width, generator=generator)
    expected = AllPairs(places(height, width).expand(3, -1, -1) / sigma)(values)
    found = Grid(height, width, sigma=sigma, device=torch.device("cpu"))(values)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_lattice_blurs_like_a_gaussian_of_deviation_one():
    line = torch.arange(-5, 5, 0.01)
    middle = slice(300, 700, 7)
    found = Lattice(line[None, None])(torch.eye(1000)[None, middle])[0].T
    weights = found / found.sum(0)
    away = line[:, None] - line[middle]
    variances = (weights * away**2).sum(0)  # they depend on the place
    assert variances.mean() == pytest.approx(1, abs=0.01)
    assert variances.tolist() == pytest.approx([1] * len(variances), abs=0.3)
    bell = torch.exp(-(away**2) / 2)
    torch.testing.assert_close(weights, bell / bell.sum(0), rtol=0, atol=0.0008)  # of 0.004


def test_points_far_away_change_nothing_in_the_lattice(generator):
    near = 0.3 * torch.rand(5, 20, generator=generator)
    far = torch.cat([near, torch.full((5, 1), 30.0), torch.full((5, 1), -30.0)], dim=1)
    alone = Lattice(near[None])(torch.eye(20)[None])[0]
    together = Lattice(far[None])(torch.eye(22)[None])[0]
    torch.testing.assert_close(together[:20, :20], alone)
    assert together[20:, :20].abs().max() == 0


def test_clouds_in_one_place_do_not_see_each_other(generator):
    cloud = 0.3 * torch.rand(5, 20, generator=generator)
    for make in (AllPairs, Lattice):
        values = torch.zeros(2, 1, 20)
        values[0] = 1
        first, second = make(torch.stack([cloud, cloud]))(values)
        torch.testing.assert_close(first, make(cloud[None])(values[:1])[0])
        assert second.abs().max() == 0


def test_the_lattice_is_linear_map_by_map(generator):
    lattice = Lattice(2 * torch.rand(2, 3, 40, generator=generator))
    values = torch.rand(2, 3, 40, generator=generator)
    maps = [lattice(values[:, i : i + 1]) for i in range(3)]
    torch.testing.assert_close(lattice(values), torch.cat(maps, dim=1))
    torch.testing.assert_close(lattice(2 * values), 2 * lattice(values))


def test_clouds_of_many_points_are_filtered_as_alone(generator):
    points = CHUNK * 2 // 3  # together more than one chunk and one sort hold
    features = 5 * torch.rand(2, 3, points, generator=generator)
    values = torch.rand(2, 1, points, generator=generator)
    alone = [Lattice(features[i : i + 1])(values[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(Lattice(features)(values), torch.cat(alone))


def test_the_order_of_points_changes_nothing_in_the_lattice(generator):
    features = 3 * torch.rand(1, 5, 300, generator=generator)
    values = torch.rand(1, 2, 300, generator=generator)
    order = torch.randperm(300, generator=generator)
    found = Lattice(features[..., order])(values[..., order])
    torch.testing.assert_close(found, Lattice(features)(values)[..., order])


def test_ranks_count_the_larger_values_of_a_column():
    values = torch.tensor([[0.5, 0.0], [0.9, 0.0], [0.1, 0.0]])
    assert _ranks(values).T.tolist() == [[1, 0, 2], [0, 1, 2]]  # the first of equals is first


def test_kernels_too_narrow_for_the_lattice_are_refused():
    with pytest.raises(ValueError, match="too narrow"):
        Lattice(torch.tensor([[0.0, 1e6]]).expand(1, 5, 2))


def test_energies_of_labels():
    mask = torch.tensor([[0, 2]], dtype=torch.uint8)
    unary = unary_of_labels(mask, num_labels=3, certainty=0.7)
    assert torch.equal(unary_of_labels(mask[None], num_labels=3, certainty=0.7), unary[None])
    own, other = -math.log(0.7), -math.log(0.15)
    assert unary[:, 0, 0].tolist() == pytest.approx([own, other, other])
    assert unary[:, 0, 1].tolist() == pytest.approx([other, other, own])


def test_energies_of_one_label():
    unary = unary_of_labels(torch.zeros(2, 2, dtype=torch.long), num_labels=1, certainty=0.7)
    torch.testing.assert_close(unary, torch.full((1, 2, 2), -math.log(0.7)))


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_labels_that_do_not_exist_are_refused(label):
    with pytest.raises(ValueError, match="expected labels from 0 to 2"):
        unary_of_labels(torch.tensor([[0, label]]), num_labels=3, certainty=0.7)


@pytest.mark.parametrize("certainty", [0.0, 1.0, math.nan])
def test_certainties_that_give_infinite_energies_are_refused(certainty):
    with pytest.raises(ValueError, match="between 0 and 1"):
        unary_of_labels(torch.tensor([[0]]), num_labels=2, certainty=certainty)


def test_energies_of_probabilities_are_finite():
    unary = unary_of_probabilities(torch.tensor([[[0.0, 0.5]], [[1.0, 0.5]]]))
    half = math.log(2)
    assert unary.flatten().tolist() == pytest.approx([5 * math.log(10), half, 0, half])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(value):
    pixels, unary = scene(4, 5, seed=0)
    unary[1, 2, 3] = value
    with pytest.raises(ValueError, match="unary: expected finite"):
        posteriors(pixels, unary)
    pixels[1, 2, 3] = value
    with pytest.raises(ValueError, match="pixels: expected finite"):
        DenseCrf(pixels[None], kernels=IRN)


def test_a_unary_of_another_size_is_refused():
    pixels, unary = scene(4, 5, seed=0)
    with pytest.raises(ValueError, match=r"expected maps of .*4, 5.*, got .*5, 4"):
        posteriors(pixels, unary.transpose(1, 2))


@pytest.mark.parametrize(
    ("field", "value"),
    [("gaussian_sxy", 0.0), ("bilateral_srgb", math.nan), ("bilateral_weight", -1.0)],
)
def test_kernels_that_make_no_sense_are_refused(field, value):
    with pytest.raises(ValueError, match="CRF kernels"):
        replace(IRN, **{field: value})
