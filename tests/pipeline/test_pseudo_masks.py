"""From maps to masks by hand: batches of alike images, the cut, the histogram, Yen's threshold."""

import threading
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from recam.core.errors import UserError
from recam.core.labels import IGNORE, banded_mask
from recam.data.loading import pixels_of
from recam.io.images import read_mask, write_image
from recam.io.scores import ScoredClasses, load_scores, save_scores
from recam.pipeline.pseudo_masks import (
    MIB,
    Cut,
    alike_batches,
    cut_masks,
    in_threads,
    propagate_maps,
    score_histogram,
    yen_threshold,
)
from recam.refine.crf import CrfKernels
from recam.refine.crf_masks import Crf

CPU = torch.device("cpu")
KERNELS = CrfKernels(
    gaussian_sxy=3.0,
    gaussian_weight=3.0,
    bilateral_sxy=50.0,
    bilateral_srgb=5.0,
    bilateral_weight=10.0,
)


def unchanged(scores, pixels):
    """No refinement."""
    return scores


@pytest.fixture(autouse=True)
def _threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def made(tmp_path):
    """Make an image with its file of maps and give both paths."""
    (tmp_path / "cams").mkdir()

    def make(name, scores, classes, image):
        file, path = tmp_path / "cams" / f"{name}.npz", tmp_path / f"{name}.png"
        scored = ScoredClasses(
            scores=np.asarray(scores, np.float32), classes=np.array(classes, np.int64)
        )
        save_scores(file, scored)
        write_image(path, np.asarray(image, np.uint8))
        return file, path

    return make


@pytest.fixture
def sized(made):
    """Make an image of a height and width with a number of empty maps."""

    def make(name, height, width, count=1):
        black = np.zeros((height, width, 3))
        return made(name, np.zeros((count, height, width)), range(count), black)

    return make


def batches(pairs, *, batch_size=9, need=None, memory=MIB):
    """Names by batch."""
    found = alike_batches(dict(pairs), batch_size=batch_size, need=need, memory=memory)
    assert all(pair in pairs for batch in found for pair in batch)
    return sorted(["".join(file.stem for file, _ in batch) for batch in found])


# Batches of images of one size.


def test_images_of_one_size_and_number_of_classes_are_a_batch(sized):
    pairs = [
        sized("a", 2, 3),
        sized("b", 3, 2),  # as many pixels, but turned
        sized("c", 2, 3),
        sized("d", 2, 3, count=2),
        sized("e", 2, 3, count=0),
        sized("f", 3, 2),
    ]
    assert batches(pairs) == ["ac", "bf", "d", "e"]


def test_a_batch_has_no_more_images_than_allowed(sized):
    pairs = [sized(name, 2, 3) for name in "abcde"]
    assert batches(pairs, batch_size=2) == ["ab", "cd", "e"]
    assert batches(pairs, batch_size=5) == ["abcde"]
    assert batches(pairs, batch_size=1) == list("abcde")


def test_a_batch_has_no_more_images_than_memory_is_enough_for(sized):
    pairs = [sized(name, 2, 3) for name in "abcd"] + [sized(name, 1, 1) for name in "xyz"]

    def need(height, width, count):
        return 10 * height * width * count  # 60 for the larger ones, 10 for the others

    assert batches(pairs, need=need, memory=120) == ["ab", "cd", "xyz"]
    assert batches(pairs, need=need, memory=119) == ["a", "b", "c", "d", "xyz"]
    assert batches(pairs, need=need, memory=180, batch_size=2) == ["ab", "cd", "xy", "z"]
    assert batches(pairs, need=need, memory=180) == ["abc", "d", "xyz"]


def test_need_gets_height_width_and_number_of_classes_in_this_order(sized):
    need = {(2, 5, 3): 7, (5, 2, 3): 100}

    def look_up(height, width, count):
        return need[height, width, count]

    pairs = [sized(name, 2, 5, count=3) for name in "abc"]
    assert batches(pairs, need=look_up, memory=14) == ["ab", "c"]


def test_an_image_that_does_not_fit_into_memory_is_named_with_a_remedy(sized):
    pairs = [sized("small", 1, 1), sized("large", 2, 3)]

    def need(height, width, count):
        return 2 * MIB * height * width * count

    assert batches(pairs, need=need, memory=12 * MIB) == ["large", "small"]
    words = r"large\.png: .* needs 12 MiB, memory is 11; raise memory, or with irn lower irn_radius"
    with pytest.raises(UserError, match=words):
        batches(pairs, need=need, memory=12 * MIB - 1)


def test_images_without_a_class_need_nothing(sized):
    assert batches([sized("a", 2, 3, count=0)], need=lambda *_: 2 * MIB, memory=MIB) == ["a"]


def test_where_nothing_is_needed_the_least_memory_is_enough(sized):
    assert batches([sized(name, 200, 300) for name in "abc"], memory=1 * MIB) == ["abc"]


def test_no_image_is_no_batch():
    assert batches([]) == []


# Propagating maps.


def coloured(scores, pixels):
    """Scores where the image is red, for any green and blue."""
    return scores * pixels[:, :1]


RED = [[[255, 0, 0], [0, 255, 255]]]
CYAN = [[[0, 255, 255], [255, 0, 0]]]


def test_every_image_of_a_batch_gets_a_file_of_its_own_maps(made, tmp_path):
    batch = [
        made("a", [[[0.5, 0.25]], [[1.0, 0.75]]], [2, 7], RED),
        made("b", [[[0.5, 0.25]], [[1.0, 0.75]]], [1, 3], CYAN),
    ]
    propagate_maps(batch, tmp_path / "out", propagate=coloured, num_classes=20, device=CPU)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.npz", "b.npz"]
    one, other = (load_scores(tmp_path / f"out/{name}.npz") for name in "ab")
    assert one.scores.tolist() == [[[0.5, 0]], [[1, 0]]]
    assert other.scores.tolist() == [[[0, 0.25]], [[0, 0.75]]]
    assert (one.classes.tolist(), other.classes.tolist()) == ([2, 7], [1, 3])


def test_the_maps_given_are_left_as_they_are(made, tmp_path):
    file, path = made("a", [[[0.5, 0.25]]], [2], RED)
    before = file.read_bytes()
    propagate_maps([(file, path)], tmp_path / "out", propagate=coloured, num_classes=20, device=CPU)
    assert file.read_bytes() == before


def test_images_without_a_class_pass_and_are_not_propagated(made, tmp_path):
    def never(scores, pixels):
        raise AssertionError("there is nothing to propagate")

    batch = [made(name, np.zeros((0, 1, 2)), [], RED) for name in "ab"]
    propagate_maps(batch, tmp_path / "out", propagate=never, num_classes=20, device=CPU)
    for name in "ab":
        passed = load_scores(tmp_path / f"out/{name}.npz")
        assert passed.scores.shape == (0, 1, 2)
        assert passed.classes.tolist() == []


def test_maps_of_another_size_than_their_image_are_refused(made, tmp_path):
    batch = [
        made("a", np.zeros((1, 1, 2)), [0], RED),
        made("b", np.zeros((1, 2, 1)), [0], RED),  # as many pixels, but turned
    ]
    words = (
        r"b\.npz: expected maps of \(1, 2\) pixels, as its image, got \(2, 1\); make the cams again"
    )
    with pytest.raises(UserError, match=words):
        propagate_maps(
            batch,
            tmp_path / "out",
            propagate=unchanged,
            num_classes=20,
            device=CPU,
        )
    assert not (tmp_path / "out").exists()


def test_a_class_that_the_data_set_does_not_have_is_refused(made, tmp_path):
    batch = [made("a", np.zeros((2, 1, 2)), [0, 4], RED)]
    propagate_maps(batch, tmp_path / "out", propagate=unchanged, num_classes=5, device=CPU)
    words = r"a\.npz: expected class indices below 4, got 4; make the cams again"
    with pytest.raises(UserError, match=words):
        propagate_maps(
            batch,
            tmp_path / "other",
            propagate=unchanged,
            num_classes=4,
            device=CPU,
        )
    assert not (tmp_path / "other").exists()


def test_no_gradients_are_kept_during_propagation(made, tmp_path):
    weight = torch.ones((), requires_grad=True)
    kept = []

    def weighted(scores, pixels):
        weighted_scores = scores * weight
        kept.append(weighted_scores.requires_grad)
        return weighted_scores

    propagate_maps(
        [made("a", [[[0.5, 1]]], [0], RED)],
        tmp_path / "out",
        propagate=weighted,
        num_classes=20,
        device=CPU,
    )
    assert kept == [False]


def test_pixels_are_between_zero_and_one_with_the_colours_first():
    images = [np.array(image, np.uint8) for image in (RED, [[[0, 51, 255], [102, 0, 0]]])]
    expected = [[[[1, 0]], [[0, 1]], [[0, 1]]], [[[0, 0.4]], [[0.2, 0]], [[1, 0]]]]
    torch.testing.assert_close(pixels_of(images, CPU), torch.tensor(expected, dtype=torch.float32))


# Cutting masks.


@pytest.fixture
def cut(tmp_path):
    """Cut the mask of an image; the mask and the scores that were saved with it."""

    def make(pair, *, background, margin, iterations=None):
        crf = None if iterations is None else Crf(kernels=KERNELS, iterations=iterations)
        (made,) = cut_batch([pair], Cut(background=background, margin=margin, crf=crf), tmp_path)
        return made

    return make


def cut_batch(batch, how, folder):
    """A mask and the scores that were saved with it, of every image of a batch."""
    scores, masks = folder / "scores", folder / "masks"
    cut_masks(batch, scores=scores, masks=masks, cut=how, num_classes=3, device=CPU)
    names = [file.stem for file, _ in batch]
    return [(read_mask(masks / f"{n}.png"), load_scores(scores / f"{n}.npz")) for n in names]


def strip(made, *maps, classes=(2,)):
    """One grey row of pixels."""
    return made("strip", [[row] for row in maps], classes, np.full((1, len(maps[0]), 3), 99))


def test_pixels_no_farther_from_the_backgrounds_score_than_the_margin_are_ignored(made, cut):
    pair = strip(made, [0.0, 0.43, 0.435, 0.48, 0.53, 0.535, 1.0])
    mask, scored = cut(pair, background=0.48, margin=0.05)
    assert mask.tolist() == [[0, 0, IGNORE, IGNORE, IGNORE, 3, 3]]
    assert scored.classes.tolist() == [2]
    np.testing.assert_array_equal(scored.scores, load_scores(pair[0]).scores)


def test_without_a_margin_no_pixel_is_ignored(made, cut):
    mask, _ = cut(strip(made, [0.475, 0.48, 0.485]), background=0.48, margin=0.0)
    assert mask.tolist() == [[0, 0, 3]]


def test_the_best_class_wins_the_pixel(made, cut):
    pair = strip(made, [0.9, 0.5, 0.1], [0.8, 0.7, 0.2], classes=(0, 19))
    mask, _ = cut(pair, background=0.4, margin=0.1)
    assert mask.tolist() == [[1, 20, 0]]


def test_a_pixel_without_a_score_stays_background_however_low_the_cut_is(made, cut):
    mask, _ = cut(strip(made, [0.0, 0.005, 0.1]), background=0.02, margin=0.05)
    assert mask.tolist() == [[0, IGNORE, 3]]


def test_after_a_crf_masks_are_cut_at_a_half(made, cut):
    pair = strip(made, [0.0, 0.3, 0.38, 0.42, 0.6, 1.0])
    mask, scored = cut(pair, background=0.4, margin=0.05, iterations=0)
    # s / (0.4 + s): 0, 0.43, 0.49, 0.51, 0.6 and 0.71, each rounded up to a 200th.
    assert mask.tolist() == [[0, 0, IGNORE, IGNORE, 3, 3]]
    expected = [s / (0.4 + s) for s in (0.0, 0.3, 0.38, 0.42, 0.6, 1.0)]
    np.testing.assert_allclose(scored.scores[0, 0], expected, atol=1 / 200 + 1e-4)


def test_rounds_of_a_crf_let_a_pixel_follow_those_of_its_colour(made, cut):
    scores = np.full((1, 8, 8), 0.9)
    scores[0, 3, 5] = 0.1
    pair = made("a", scores, [4], np.full((8, 8, 3), 99))
    before, _ = cut(pair, background=0.4, margin=0.0, iterations=0)
    after, _ = cut(pair, background=0.4, margin=0.0, iterations=10)
    assert before[3, 5] == 0
    assert (after == 5).all()


@pytest.mark.parametrize("count", [0, 2])
def test_images_of_a_batch_get_the_masks_that_they_get_alone(made, tmp_path, count):
    generator = np.random.default_rng(0)
    pairs = [
        made(
            name,
            generator.random((count, 9, 7)),
            range(first, first + count),  # other classes in each
            generator.integers(256, size=(9, 7, 3)),
        )
        for first, name in enumerate("abc")
    ]
    how = Cut(background=0.5, margin=0.05, crf=Crf(kernels=KERNELS, iterations=3))
    together = cut_batch(pairs, how, tmp_path)
    alone = [cut_batch([pair], how, tmp_path / "alone")[0] for pair in pairs]
    for (mask, scored), (expected, scored_alone) in zip(together, alone, strict=True):
        np.testing.assert_array_equal(mask, expected)
        np.testing.assert_array_equal(scored.classes, scored_alone.classes)
        np.testing.assert_allclose(scored.scores, scored_alone.scores, atol=1 / 200 + 1e-6)


def test_a_crf_looks_at_the_image(made, cut):
    image = np.zeros((8, 12, 3))
    image[:, 6:] = 255
    scores = np.full((1, 8, 12), 0.2)
    scores[:, :, 6:] = 0.9
    mask, _ = cut(made("a", scores, [0], image), background=0.4, margin=0.0, iterations=10)
    np.testing.assert_array_equal(mask, image[:, :, 0] / 255)


def test_the_numbers_of_a_cut_have_its_threshold():
    make = partial(Cut, background=0.4, margin=0.1)
    plain = make(crf=None)
    crf = make(crf=Crf(kernels=KERNELS, iterations=1))
    assert plain.numbers() == {"background": 0.4, "threshold": 0.4, "margin": 0.1}
    assert crf.numbers() == {"background": 0.4, "threshold": 0.5, "margin": 0.1}


@pytest.mark.parametrize("iterations", [None, 3])
def test_a_mask_is_cut_from_its_saved_scores(made, cut, iterations):
    generator = np.random.default_rng(0)
    noise = generator.random((3, 9, 7))
    pair = made("a", noise, [1, 5, 6], generator.integers(256, size=(9, 7, 3)))
    mask, saved = cut(pair, background=0.55, margin=0.1, iterations=iterations)
    middle = 0.55 if iterations is None else 0.5
    low, high = middle - 0.1, middle + 0.1
    expected = banded_mask(saved.scores, saved.classes, background=low, foreground=high)
    np.testing.assert_array_equal(mask, expected)
    assert {0, 2, 6, 7} <= set(np.unique(mask))


def test_a_mask_is_cut_from_scores_as_they_were_rounded(made, cut, tmp_path):
    file, path = strip(made, [0.0, 0.0])
    np.savez(
        file, scores=np.array([[[0.482, 0.484]]]), classes=np.array([2])
    )  # not in steps of 1/200
    mask, saved = cut((file, path), background=0.483, margin=0.0)
    np.testing.assert_allclose(saved.scores, [[[0.485, 0.485]]])
    assert mask.tolist() == [[3, 3]]


@pytest.mark.parametrize("iterations", [None, 3])
def test_an_image_without_a_class_is_background(made, cut, iterations):
    pair = made("a", np.zeros((0, 2, 3)), [], np.zeros((2, 3, 3)))
    mask, scored = cut(pair, background=0.0, margin=0.5, iterations=iterations)
    assert mask.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert scored.scores.shape == (0, 2, 3)


def test_pillow_opens_a_mask_as_a_palette_image(made, cut, tmp_path):
    cut(strip(made, [0.1, 0.9]), background=0.5, margin=0.0)
    with Image.open(tmp_path / "masks/strip.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "P", (2, 1))
        assert np.asarray(image).tolist() == [[0, 3]]


# The background's score from a histogram.


def test_best_scores_are_counted_by_level(made):
    pairs = [
        made("a", [[[0.0, 0.005, 0.01]], [[0.0, 0.0, 0.015]]], [0, 1], np.zeros((1, 3, 3))),
        made("b", [[[0.5], [0.015]], [[1.0], [0.02]]], [0, 1], np.zeros((2, 1, 3))),
    ]
    counts = score_histogram(file for file, _ in pairs)
    # Best are 0, 0.005 and 0.015; 1 and 0.02.
    assert {level: n for level, n in enumerate(counts.tolist()) if n} == {0: 1, 1: 1, 2: 2, 100: 1}
    assert len(counts) == 101


def test_images_without_a_class_do_not_count(made):
    file, _ = made("a", np.zeros((0, 2, 3)), [], np.zeros((2, 3, 3)))
    assert score_histogram([file]).tolist() == [0] * 101
    assert score_histogram([]).tolist() == [0] * 101


def counts_of(pixels):
    """A histogram from a few levels and their numbers of pixels."""
    counts = np.zeros(101, np.int64)
    counts[list(pixels)] = list(pixels.values())
    return counts


LOW = {19: 100, 20: 100, 21: 100}
HIGH = {79: 60, 80: 60, 81: 60}


def test_two_bumps_are_cut_between_them():
    # Scores above 0.21 are those of the upper one: 3 x 3 levels, to 2 x 4 if cut below or above.
    assert yen_threshold(counts_of(LOW | HIGH)) == 0.21
    assert yen_threshold(counts_of({20: 7, 80: 3})) == 0.2


def test_how_many_pixels_there_are_makes_no_difference():
    few, many = counts_of(LOW | HIGH), 1000 * counts_of(LOW | HIGH)
    assert yen_threshold(few) == yen_threshold(many)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [({0: 9}, 0.0), ({50: 1}, 0.5), ({100: 9}, 1.0), ({0: 5, 100: 5}, 0.0)],
    ids=["nothing", "one pixel", "all on top", "two ends"],
)
def test_a_histogram_of_few_levels_has_a_threshold_within_its_range(pixels, expected):
    assert yen_threshold(counts_of(pixels)) == expected


def test_a_lone_pixel_on_top_of_millions_does_not_change_the_cut():
    counts = np.zeros(101, np.int64)
    counts[1:91] = 100_000
    alone = yen_threshold(counts)
    counts[97] = 1
    assert yen_threshold(counts) == alone == 0.45


def yen_by_definition(counts):
    """Yen, Chang & Chang, equations 5 to 7: -log(G(t) G'(t)) + 2 log(P(t) (1 - P(t)))."""
    total = int(counts.sum())
    shares = [int(count) / total for count in counts]
    best, found = -np.inf, None
    for cut in range(100):
        below, above = shares[: cut + 1], shares[cut + 1 :]
        if sum(below) > 0 and sum(above) > 0:
            alike = sum(p * p for p in below) * sum(p * p for p in above)
            criterion = -np.log(alike) + 2 * np.log(sum(below) * sum(above))
            if criterion > best + 1e-9:
                best, found = criterion, cut / 100
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_the_one_of_the_definition(seed):
    counts = np.random.default_rng(seed).integers(1, 1000, size=101)
    assert yen_threshold(counts) == yen_by_definition(counts)


def test_without_a_pixel_there_is_no_threshold():
    with pytest.raises(
        UserError, match=r"threshold: yen expects an image with a class, got none; set fixed"
    ):
        yen_threshold(counts_of({}))


# Work in threads.


def test_results_are_those_of_map_in_the_order_of_the_items():
    torch.set_num_threads(2)
    items = [[i] * (i % 3) for i in range(50)]
    assert list(in_threads(sum, items, what="sums")) == [sum(item) for item in items]


def test_a_slow_item_comes_before_those_that_overtook_it():
    torch.set_num_threads(2)
    overtaken = threading.Event()

    def work(item):
        if item == ["slow"]:
            assert overtaken.wait(timeout=60)
        elif item == ["last"]:
            overtaken.set()
        return item

    items = [["slow"], ["fast"], ["last"]]
    assert list(in_threads(work, items, what="items")) == items


def test_as_many_items_at_once_as_torch_had_threads_each_with_one():
    torch.set_num_threads(3)
    together = threading.Barrier(3, timeout=60)

    def work(_):
        together.wait()
        return torch.get_num_threads()

    assert list(in_threads(work, [[0], [1], [2]], what="items")) == [1, 1, 1]


class ReadList(list):
    """A list that sets ``read`` at the end of its second iteration, with all items submitted."""

    def __init__(self, items):
        super().__init__(items)
        self.counted, self.read = threading.Event(), threading.Event()

    def __iter__(self):
        yield from super().__iter__()
        (self.read if self.counted.is_set() else self.counted).set()


def test_no_more_items_at_once_than_torch_had_threads():
    torch.set_num_threads(2)
    items = ReadList([i] for i in range(8))
    before = set(threading.enumerate())

    def work(_):
        assert items.read.wait(timeout=60)
        return len(set(threading.enumerate()) - before)

    assert list(in_threads(work, items, what="items")) == [2] * 8


def test_no_item_gives_nothing():
    assert list(in_threads(str, [], what="nothing")) == []


def test_torch_has_its_threads_again_afterwards():
    torch.set_num_threads(2)
    assert list(in_threads(str, [[1]], what="items")) == ["[1]"]
    assert torch.get_num_threads() == 2


def test_an_error_is_passed_on_and_torch_has_its_threads_again():
    torch.set_num_threads(2)

    def work(item):
        if item == [1]:
            raise UserError("item 1 is broken")
        return item

    with pytest.raises(UserError, match="item 1 is broken"):
        list(in_threads(work, [[0], [1], [2]], what="items"))
    assert torch.get_num_threads() == 2
