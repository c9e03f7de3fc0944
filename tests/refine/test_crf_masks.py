"""Uses of the dense CRF: refined score maps by hand, and confident pixels."""

import pytest
import torch

from recam.refine.crf import CrfKernels
from recam.refine.crf_masks import Crf, confident_labels, crf_refined

KERNELS = CrfKernels(
    gaussian_sxy=3.0,
    gaussian_weight=3.0,
    bilateral_sxy=50.0,
    bilateral_srgb=5.0,
    bilateral_weight=10.0,
)
STILL = Crf(kernels=KERNELS, iterations=0)  # scores become probabilities and back, no more
MOVING = Crf(kernels=KERNELS, iterations=10)
ALONE = Crf(
    kernels=CrfKernels(
        gaussian_sxy=3.0,
        gaussian_weight=0.0,
        bilateral_sxy=50.0,
        bilateral_srgb=5.0,
        bilateral_weight=0.0,
    ),
    iterations=10,
)  # no pixel hears of another


def grey(height, width):
    return torch.full((3, height, width), 0.5)


def halves(height, width):
    """Black on the left, white on the right."""
    pixels = torch.zeros(3, height, width)
    pixels[:, :, width // 2 :] = 1
    return pixels


def rows(*values):
    """One row of pixels for each map."""
    return torch.tensor(values)[:, None]


def sharp(scores, *, background=0.4, crf=STILL):
    pixels = grey(*scores.shape[1:])
    return crf_refined(scores[None], pixels[None], background=background, crf=crf)[0]


def chosen(scores, pixels, *, crf=STILL, foreground=0.6, background=0.3):
    choices = confident_labels(
        scores[None],
        pixels[None],
        foreground=foreground,
        background=background,
        certainty=0.7,
        crf=crf,
    )
    assert choices.dtype == torch.uint8
    return choices[0].tolist()


def test_before_any_iteration_a_score_is_divided_by_the_backgrounds_and_the_best():
    refined = sharp(rows([0.1, 0.4, 0.6], [0.2, 0.3, 0.9]))
    best = torch.tensor([0.2, 0.4, 0.9])
    expected = torch.tensor([[[0.1, 0.4, 0.6]], [[0.2, 0.3, 0.9]]]) / (0.4 + best)
    torch.testing.assert_close(refined, expected, rtol=1e-4, atol=1e-5)


def test_the_best_class_is_above_a_half_exactly_where_it_beats_the_background(generator):
    scores = torch.randint(0, 5, (3, 9, 11), generator=generator) / 5  # few values: many ties
    refined = sharp(scores).amax(dim=0)
    best = scores.amax(dim=0)
    level = best == 0.4
    assert torch.equal((refined > 0.5)[~level], (best > 0.4)[~level])
    assert refined[level].tolist() == pytest.approx([0.5] * int(level.sum()))
    assert 0 < level.sum() < level.numel()


def test_classes_keep_their_order(generator):
    scores = torch.rand(4, 6, 5, generator=generator)
    assert torch.equal(sharp(scores).argsort(dim=0), scores.argsort(dim=0))


def test_iterations_alone_change_no_score(generator):
    scores = torch.rand(2, 3, 4, generator=generator)
    torch.testing.assert_close(sharp(scores, crf=ALONE), sharp(scores))


def test_scores_stay_between_zero_and_one(generator):
    scores = torch.rand(3, 6, 7, generator=generator).round(decimals=1)
    for background in (0.0, 0.4, 1.0):
        for crf in (STILL, MOVING):
            refined = sharp(scores, background=background, crf=crf)
            assert refined.isfinite().all()
            assert refined.min() >= 0
            assert refined.max() <= 1


def test_without_a_class_nothing_is_refined():
    assert sharp(torch.zeros(0, 3, 4)).shape == (0, 3, 4)
    assert sharp(torch.zeros(0, 3, 4), crf=MOVING).shape == (0, 3, 4)


def test_where_neither_class_nor_background_has_a_score_they_draw_level():
    for crf in (STILL, MOVING):
        nothing = sharp(torch.zeros(2, 3, 4), background=0.0, crf=crf)
        assert nothing.flatten().tolist() == pytest.approx([0.5] * 24)


def test_a_class_without_a_score_gets_none_where_the_background_has_one():
    nothing = sharp(torch.zeros(1, 2, 2))
    assert nothing.flatten().tolist() == pytest.approx([0] * 4, abs=1e-4)


def test_a_background_without_a_score_loses():
    assert sharp(rows([0.05]), background=0.0).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("inside", "outside"), [(0.7, 0.3), (0.3, 0.7)])
def test_a_pixel_that_differs_from_all_around_it_of_its_colour_follows_them(inside, outside):
    scores = torch.full((1, 8, 8), outside)
    scores[0, 3, 2] = inside
    refined = sharp(scores, crf=MOVING)
    assert ((sharp(scores) > 0.5) == (scores > 0.4)).all()  # before
    assert ((refined > 0.5) == (outside > 0.4)).all()


def test_regions_of_different_colours_keep_their_own_scores():
    scores = torch.full((1, 8, 12), 0.2)
    scores[:, :, 6:] = 0.8
    scores[0, 4, 3], scores[0, 4, 9] = 0.8, 0.2  # one wrong pixel on each side
    near = CrfKernels(
        gaussian_sxy=1.0,
        gaussian_weight=0.1,
        bilateral_sxy=50.0,
        bilateral_srgb=5.0,
        bilateral_weight=10.0,
    )
    crf = Crf(kernels=near, iterations=10)
    refined = crf_refined(scores[None], halves(8, 12)[None], background=0.4, crf=crf)[0]
    assert ((refined > 0.5) == (halves(8, 12)[:1] == 1)).all()


def test_maps_in_another_order_give_results_in_that_order(generator):
    scores, order = torch.rand(3, 6, 7, generator=generator), [2, 0, 1]
    refined = sharp(scores, crf=MOVING)
    torch.testing.assert_close(sharp(scores[order], crf=MOVING), refined[order])


def test_the_scores_given_are_not_changed(generator):
    scores = torch.rand(2, 4, 5, generator=generator)
    before = scores.clone()
    sharp(scores, crf=MOVING)
    chosen(scores, grey(4, 5), crf=MOVING)
    assert torch.equal(scores, before)


def test_confident_pixels_are_above_one_score_or_below_the_other():
    first = [0.7, 0.0, 0.5, 0.2, 0.6, 0.3]
    second = [0.1, 0.9, 0.4, 0.1, 0.0, 0.1]
    # Above 0.6 the class; up to 0.3 background; between, and at 0.6 itself, ignored.
    assert chosen(rows(first, second), halves(1, 6)) == [[1, 2, 255, 0, 255, 0]]


def test_with_equal_scores_all_pixels_are_confident():
    scores = rows([0.1, 0.5, 0.9])
    assert chosen(scores, grey(1, 3), foreground=0.5, background=0.5) == [[0, 0, 1]]


def test_an_image_without_maps_is_confident_background():
    for crf in (STILL, MOVING):
        assert chosen(torch.zeros(0, 2, 3), grey(2, 3), crf=crf) == [[0, 0, 0]] * 2


def test_a_map_without_confident_pixels_gives_no_object():
    scores = rows([0.1, 0.35, 0.55, 0.2])
    assert chosen(scores, halves(1, 4)) == [[0, 255, 255, 0]]


def test_maps_that_are_confident_everywhere_leave_no_background():
    scores = torch.stack([torch.full((4, 6), 0.7), torch.full((4, 6), 0.9)])
    for crf in (STILL, MOVING):
        assert chosen(scores, halves(4, 6), crf=crf) == [[2] * 6] * 4


def test_an_image_of_one_pixel_is_a_choice_too():
    for crf in (STILL, MOVING):
        single = [chosen(torch.full((1, 1, 1), s), grey(1, 1), crf=crf) for s in (0.1, 0.5, 0.9)]
        assert single == [[[0]], [[255]], [[1]]]
        assert sharp(torch.full((1, 1, 1), 0.8), crf=crf).shape == (1, 1, 1)


def test_a_pixel_among_confident_ones_of_its_colour_becomes_confident():
    scores = torch.full((1, 8, 8), 0.9)
    scores[0, 4, 4] = 0.1
    assert chosen(scores, grey(8, 8), crf=STILL)[4][4] == 0
    assert chosen(scores, grey(8, 8), crf=MOVING) == [[1] * 8] * 8


def test_halves_of_two_colours_become_object_and_background():
    scores = torch.full((1, 8, 12), 0.1)
    scores[:, :, 6:] = 0.9
    scores[0, 2, 8], scores[0, 5, 3] = 0.1, 0.9  # one wrong pixel on each side
    expected = [[0] * 6 + [1] * 6] * 8
    assert chosen(scores, halves(8, 12), crf=STILL) != expected
    crf = Crf(
        kernels=CrfKernels(
            gaussian_sxy=1.0,
            gaussian_weight=0.1,
            bilateral_sxy=50.0,
            bilateral_srgb=5.0,
            bilateral_weight=10.0,
        ),
        iterations=10,
    )
    assert chosen(scores, halves(8, 12), crf=crf) == expected
