"""Augmentation and training batches."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.core.randomness import numpy_generator
from recam.data.augmentation import (
    UNKNOWN,
    Augmentation,
    augment,
    draw_view,
    recoloured,
    salient_view,
)
from recam.data.layout import load_weak_split
from recam.data.loading import LabelledImages, MaskedImages, SalientImages, training_batches
from recam.io.images import read_image, read_mask, write_mask, write_saliency

# Fewer cores than workers are slower, with the same result.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

MEAN, STD = (0.5, 0.25, 0.125), (0.5, 0.25, 0.125)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
VARIED = Augmentation(resize_min=6, resize_max=14, crop=10, mean=MEAN, std=STD)


def plain(*, size, crop):
    """An augmentation that keeps the size: only the flip and the crop are random."""
    return Augmentation(resize_min=size, resize_max=size, crop=crop, mean=MEAN, std=STD)


@pytest.fixture
def split(voc):
    """Five images with image-level labels."""
    return load_weak_split(voc, "train")


@pytest.fixture
def labelled(split):
    """The five images with labels."""
    return LabelledImages(split, VARIED, random_seed=0)


@pytest.fixture
def masked(split, voc):
    """The five images with masks."""
    return MaskedImages(split, voc / "SegmentationClass", VARIED, random_seed=0)


@pytest.fixture
def salient(split, tmp_path):
    """The five images with saliency maps: white on the upper half, rounded down."""
    for image_id, path in zip(split.ids, split.images, strict=True):
        height, width = read_image(path).shape[:2]
        grey = np.zeros((height, width), np.uint8)
        grey[: height // 2] = 255
        write_saliency(tmp_path / f"Saliency/{image_id}.png", grey)
    return SalientImages(split, tmp_path / "Saliency", VARIED, random_seed=0)


def gradient_image(height, width):
    """Draw an image whose red is the row and whose green is the column, times ten."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8) * 10
    return np.dstack([rows, columns, np.zeros_like(rows)])


def augmented(image, mask, augmentation, draw):
    return augment(image, mask, draw_view(image.shape[:2], augmentation, draw), augmentation)


def draws(count=20):
    return [np.random.default_rng(seed) for seed in range(count)]


def one_colour(folder, mode, size, colour):
    """Save one colour as a JPEG of the highest quality, so that decoding restores it."""
    path = folder / "picture.jpg"
    Image.new(mode, size, colour).save(path, quality=100)
    return path


def reference(image, mask, augmentation, draw):
    """``augment`` in small steps: pad on all sides, then crop."""
    crop, (height, width) = augmentation.crop, mask.shape
    low, high = augmentation.resize_min, augmentation.resize_max
    if augmentation.resize_unit == "percent":
        scale = draw.uniform(low / 100, high / 100)
    else:
        scale = draw.integers(low, high, endpoint=True) / max(height, width)
    size = [max(1, round(n * scale)) for n in (width, height)]
    pixels = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    ids = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    normal = (pixels / 255 - augmentation.mean) / augmentation.std
    if draw.random() < 0.5:
        normal, ids = np.fliplr(normal), np.fliplr(ids)
    normal = np.pad(normal, [(crop, crop), (crop, crop), (0, 0)])
    ids = np.pad(ids, crop, constant_values=IGNORE)
    for axis in (0, 1):
        ends = sorted([0, size[1 - axis] - crop])
        begin = crop + draw.integers(*ends, endpoint=True)
        normal = normal.take(range(begin, begin + crop), axis)
        ids = ids.take(range(begin, begin + crop), axis)
    return normal.transpose(2, 0, 1), ids


class Failing(LabelledImages):
    """Images that fail to load, since ``fail`` raises or kills the process."""

    def __init__(self, split, fail):
        super().__init__(split, VARIED, random_seed=0)
        self.fail = fail

    def __getitem__(self, key):
        self.fail()
        return super().__getitem__(key)


def assert_same_batches(one, other):
    one, other = list(one), list(other)
    assert len(one) == len(other)
    for (images, targets), (other_images, other_targets) in zip(one, other, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(targets, other_targets)


def test_the_same_key_gives_the_same_crop_in_any_order(labelled):
    keys = [(epoch, index) for epoch in (1, 2) for index in range(len(labelled))]
    forward = {key: labelled[key] for key in keys}
    backward = {key: labelled[key] for key in reversed(keys)}
    assert all(torch.equal(forward[key][0], backward[key][0]) for key in keys)


def test_another_epoch_gives_another_crop(labelled):
    assert not torch.equal(labelled[1, 0][0], labelled[2, 0][0])


def test_another_seed_gives_other_crops(split, labelled):
    other = LabelledImages(split, VARIED, random_seed=1)
    assert not torch.equal(other[1, 0][0], labelled[1, 0][0])


@pytest.mark.parametrize("kind", ["labelled", "masked"])
def test_the_number_of_workers_changes_nothing(request, kind):
    dataset = request.getfixturevalue(kind)
    alone = training_batches(dataset, batch_size=2, workers=0)
    for workers in (1, 2, 3):
        helped = training_batches(dataset, batch_size=2, workers=workers)
        for epoch in (1, 2):
            assert_same_batches(alone(epoch), helped(epoch))


def test_an_epoch_can_be_repeated_after_others(labelled):
    batches = training_batches(labelled, batch_size=2, workers=0)
    first = list(batches(3))
    list(batches(4))
    assert_same_batches(batches(3), first)


def test_the_global_random_state_changes_nothing(labelled):
    batches = training_batches(labelled, batch_size=2, workers=0)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = list(batches(1))
        torch.manual_seed(2)
        assert_same_batches(batches(1), first)


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_the_global_random_state_alone(labelled, workers):
    before = torch.random.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002 that one is meant
    list(training_batches(labelled, batch_size=2, workers=workers)(1))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_an_epoch_shows_no_image_twice(labelled, batch_size):
    # No two of the five images have the same labels.
    batches = training_batches(labelled, batch_size=batch_size, workers=0)
    labels = torch.cat([targets for _, targets in batches(1)]).tolist()
    assert len(labels) == len(set(map(tuple, labels))) == 5 // batch_size * batch_size


def test_the_last_incomplete_batch_of_an_epoch_is_dropped(labelled):
    sizes = [len(images) for images, _ in training_batches(labelled, batch_size=2, workers=0)(1)]
    assert sizes == [2, 2]


def test_epochs_differ_in_their_order(labelled):
    batches = training_batches(labelled, batch_size=5, workers=0)
    orders = {tuple(map(tuple, next(batches(epoch))[1].tolist())) for epoch in range(1, 9)}
    assert len(orders) > 1


def test_fewer_images_than_a_batch_are_refused(labelled):
    with pytest.raises(UserError) as caught:
        training_batches(labelled, batch_size=6, workers=0)
    assert str(caught.value) == (
        "batch_size: expected at most 5, the number of images of the split, got 6; lower batch_size"
    )


def test_images_come_with_their_labels(labelled):
    assert [labelled[1, index][1].tolist() for index in range(3)] == [
        [True, False, False],
        [False, True, False],
        [True, True, False],
    ]


def test_batches_are_floats_and_bytes(masked):
    images, masks = next(training_batches(masked, batch_size=2, workers=0)(1))
    assert (images.dtype, images.shape) == (torch.float32, (2, 3, 10, 10))
    assert (masks.dtype, masks.shape) == (torch.uint8, (2, 10, 10))


@pytest.mark.parametrize("crop", [8, 16, 40])
@pytest.mark.parametrize(("unit", "low", "high"), [("pixels", 10, 30), ("percent", 50, 150)])
def test_augmentation_is_resize_flip_and_crop(crop, unit, low, high):
    augmentation = Augmentation(
        resize_min=low, resize_max=high, resize_unit=unit, crop=crop, **IMAGENET
    )
    for seed in range(40):
        sizes = np.random.default_rng((seed, 1))
        height, width = sizes.integers(1, 40, 2)
        image = sizes.integers(256, size=(height, width, 3), dtype=np.uint8)
        mask = sizes.integers(256, size=(height, width), dtype=np.uint8)
        found = augmented(image, mask, augmentation, np.random.default_rng(seed))
        expected = reference(image, mask, augmentation, np.random.default_rng(seed))
        np.testing.assert_allclose(found[0].numpy(), expected[0], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(found[1].numpy(), expected[1])


def test_sizes_in_percent_scale_each_image_by_its_own_size():
    augmentation = replace(VARIED, resize_min=50, resize_max=150, resize_unit="percent")
    generator = np.random.default_rng(0)
    for stored in ((20, 40), (300, 200)):
        sizes = np.array([draw_view(stored, augmentation, generator).size for _ in range(500)])
        assert (sizes.min(0) >= np.array(stored) * 0.5).all()
        assert (sizes.max(0) <= np.array(stored) * 1.5).all()
        np.testing.assert_allclose(sizes.mean(0), stored, rtol=0.05)


def test_a_mask_beside_it_does_not_change_the_image():
    image, mask = gradient_image(9, 7), np.zeros((9, 7), np.uint8)
    for seed in range(10):
        alone, ignored = augmented(image, None, VARIED, np.random.default_rng(seed))
        assert torch.equal(alone, augmented(image, mask, VARIED, np.random.default_rng(seed))[0])
        assert (ignored == IGNORE).all()


def test_images_lie_in_memory_as_batches_do(labelled):
    assert labelled[1, 0][0].is_contiguous()


def test_pixels_are_normalised():
    white = np.full((4, 4, 3), 255, dtype=np.uint8)
    image, _ = augmented(white, None, plain(size=4, crop=4), np.random.default_rng(0))
    assert image[:, 0, 0].tolist() == pytest.approx([1, 3, 7])


def test_outside_the_image_all_is_zero_after_normalisation_and_ignored():
    black, background = np.zeros((2, 4, 3), np.uint8), np.zeros((2, 4), np.uint8)
    image, mask = augmented(black, background, plain(size=4, crop=6), np.random.default_rng(0))
    outside = mask == IGNORE
    assert outside.sum() == 6 * 6 - 2 * 4
    assert (image[:, outside] == 0).all()
    assert (image[:, ~outside] == -1).all()  # black, normalised


def test_a_small_image_is_placed_anywhere_in_the_crop():
    image, mask = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8)
    placed = [augmented(image, mask, plain(size=1, crop=2), draw)[1] for draw in draws()]
    assert {tuple(m.flatten().tolist()) for m in placed} == {
        (0, 255, 255, 255),
        (255, 0, 255, 255),
        (255, 255, 0, 255),
        (255, 255, 255, 0),
    }


def test_a_crop_is_cut_from_anywhere_in_a_large_image():
    image = gradient_image(1, 4)
    mask = np.array([[0, 1, 2, 3]], dtype=np.uint8)
    cut = [augmented(image, mask, plain(size=4, crop=1), draw)[1].item() for draw in draws(40)]
    assert set(cut) == {0, 1, 2, 3}


def test_half_of_the_images_are_mirrored():
    mask = np.array([[1, 2]], dtype=np.uint8)
    image = gradient_image(1, 2)
    seen = [augmented(image, mask, plain(size=2, crop=2), draw)[1] for draw in draws(200)]
    mirrored = [2 in m[:, 0] for m in seen]
    assert 0.4 < np.mean(mirrored) < 0.6


@pytest.mark.parametrize("crop", [4, 8, 12])
def test_image_and_mask_move_alike(crop):
    image = gradient_image(8, 8)
    mask = (np.arange(8)[:, None] * 8 + np.arange(8)).astype(np.uint8)  # row and column
    for draw in draws():
        moved, moved_mask = augmented(image, mask, plain(size=8, crop=crop), draw)
        inside = moved_mask != IGNORE
        red, green = (moved[c] * STD[c] + MEAN[c] for c in (0, 1))
        rows, columns = (channel[inside] * 255 / 10 for channel in (red, green))
        expected = rows.round() * 8 + columns.round()
        assert torch.equal(expected.to(torch.uint8), moved_mask[inside])


@pytest.mark.parametrize("crop", [4, 8, 12])
def test_image_and_saliency_move_alike(crop):
    image = gradient_image(8, 8)
    saliency = image[:, :, 0] + image[:, :, 1]  # at most 140
    augmentation = plain(size=8, crop=crop)
    for draw in draws():
        view = draw_view((8, 8), augmentation, draw)
        moved, _ = augment(image, None, view, augmentation)
        found = salient_view(saliency, view, augmentation)
        red, green = (moved[c] * STD[c] + MEAN[c] for c in (0, 1))
        inside = found != UNKNOWN
        assert inside.sum() == min(crop, 8) ** 2
        torch.testing.assert_close(found[inside], (red + green)[inside])
        assert (moved[:, ~inside] == 0).all()


def test_resized_saliency_is_interpolated_between_its_values():
    view = draw_view((1, 2), plain(size=4, crop=4), np.random.default_rng(0))
    found = salient_view(np.array([[0, 255]], np.uint8), view, plain(size=4, crop=4))
    rows = found[found[:, 0] != UNKNOWN].sort(dim=1).values.tolist()
    assert rows == [pytest.approx([0, 0.25, 0.75, 1], abs=1 / 255)] * 2


def test_images_with_saliency_are_those_without_it(salient, labelled):
    for index in range(5):
        image, labels, saliency = salient[1, index]
        plain_image, plain_labels = labelled[1, index]
        assert torch.equal(image, plain_image)
        assert torch.equal(labels, plain_labels)
        assert (saliency.dtype, saliency.shape) == (torch.float32, (10, 10))
        assert set(saliency.unique().tolist()) > {0, 1}


def test_batches_carry_the_saliency(salient):
    images, labels, saliency = next(training_batches(salient, batch_size=5, workers=0)(1))
    assert (images.shape, labels.shape, saliency.shape) == ((5, 3, 10, 10), (5, 3), (5, 10, 10))


def test_saliency_of_another_size_or_none_is_refused(salient):
    write_saliency(salient.saliency / "0042.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(UserError, match=r"0042.png: is 4x3 pixels, its image 9x7; make them the"):
        salient[1, 4]
    (salient.saliency / "0042.png").unlink()
    with pytest.raises(UserError, match=r"0042.png: saliency map not found; add it"):
        salient[1, 4]


def test_the_longer_side_gets_the_random_length():
    image, mask = np.zeros((10, 20, 3), np.uint8), np.zeros((10, 20), np.uint8)
    varied = replace(VARIED, resize_min=8, resize_max=12, crop=40)
    sides = set()
    for draw in draws(40):
        inside = augmented(image, mask, varied, draw)[1] != IGNORE
        sides.add((int(inside.any(dim=1).sum()), int(inside.any(dim=0).sum())))
    assert sides == {(4, 8), (4, 9), (5, 10), (6, 11), (6, 12)}


def test_a_mask_gets_no_new_ids_when_resized():
    mask = np.array([[0, 200], [200, 0]], dtype=np.uint8)
    _, resized = augmented(
        np.zeros((2, 2, 3), np.uint8), mask, plain(size=9, crop=9), np.random.default_rng(0)
    )
    assert set(resized.flatten().tolist()) == {0, 200}


def test_a_thin_image_keeps_at_least_one_pixel():
    image, mask = augmented(
        np.zeros((1, 50, 3), np.uint8),
        np.zeros((1, 50), np.uint8),
        plain(size=5, crop=5),
        np.random.default_rng(0),
    )
    assert (mask == 0).sum() == 5
    assert image.shape == (3, 5, 5)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 51, [-0.6, -0.2, 0.6]),  # 51 is a fifth of 255
        ("CMYK", (0, 255, 255, 0), [1, -1, -1]),  # red
        ("CMYK", (0, 0, 0, 255), [-1, -1, -1]),  # black
    ],
)
def test_grey_and_cmyk_files_load_as_rgb(split, tmp_path, mode, colour, expected):
    file = one_colour(tmp_path, mode, (6, 6), colour)
    dataset = LabelledImages(replace(split, images=(file,)), plain(size=6, crop=6), random_seed=0)
    image = dataset[1, 0][0]
    assert image.amin(dim=(1, 2)).tolist() == pytest.approx(expected)
    assert image.amax(dim=(1, 2)).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("size", "shown"),
    [((1, 1), (4, 4)), ((1, 4000), (1, 4)), ((4000, 1), (4, 1))],
)
def test_tiny_and_thin_images_load(split, tmp_path, size, shown):
    file = one_colour(tmp_path, "L", size, 51)
    mask = tmp_path / "masks" / f"{split.ids[0]}.png"
    mask.parent.mkdir()
    Image.new("L", size, 2).save(mask)
    of_one = replace(split, images=(file,))
    dataset = MaskedImages(of_one, mask.parent, plain(size=4, crop=6), random_seed=0)
    image, ids = dataset[1, 0]
    inside = ids == 2
    width, height = inside.any(dim=0).sum(), inside.any(dim=1).sum()
    assert (width, height) == shown
    assert image[:, inside].mean(dim=1).tolist() == pytest.approx([-0.6, -0.2, 0.6])
    assert (image[:, ~inside] == 0).all()
    assert (ids[~inside] == IGNORE).all()


@pytest.fixture
def large(split, tmp_path):
    """A data set of one JPEG, soft stripes of 401 x 303 pixels, and its mask: views are small."""
    rows, columns = np.mgrid[:303, :401]
    waves = [127 * (1 + np.sin(rows / 40)), 127 * (1 + np.cos(columns / 50)), rows / 2]
    image = np.dstack(waves).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "large.jpg", quality=95)
    mask = (rows // 100 + columns // 150).astype(np.uint8) % 4
    write_mask(tmp_path / f"masks/{split.ids[0]}.png", mask)
    augmentation = Augmentation(resize_min=20, resize_max=30, crop=24, mean=MEAN, std=STD)
    of_one = replace(split, images=(tmp_path / "large.jpg",))
    return MaskedImages(of_one, tmp_path / "masks", augmentation, random_seed=0)


def in_full(dataset, epoch):
    """Decode all of the only image and show it as the data set does."""
    image, mask = read_image(dataset.split.images[0]), read_mask(dataset.masks / "2007_000032.png")
    draw = numpy_generator(dataset.random_seed, "augment", epoch, 0)
    return augmented(image, mask, dataset.augmentation, draw)


def test_a_large_jpeg_that_is_decoded_smaller_is_shown_as_if_it_were_not(large):
    for epoch in range(10):
        (image, ids), (image_in_full, ids_in_full) = large[epoch, 0], in_full(large, epoch)
        # An eighth of the standard deviation 0.125 is 4 of 255 levels.
        torch.testing.assert_close(image, image_in_full, rtol=0, atol=0.125)
        assert not torch.equal(image, image_in_full)
        assert torch.equal(ids, ids_in_full)


def test_a_jpeg_less_than_four_times_as_large_is_decoded_in_full(large):
    large.augmentation = replace(large.augmentation, resize_min=101, resize_max=300)
    for epoch in range(10):
        (image, ids), (image_in_full, ids_in_full) = large[epoch, 0], in_full(large, epoch)
        assert torch.equal(image, image_in_full)
        assert torch.equal(ids, ids_in_full)


def test_a_mask_has_the_size_of_the_file_however_it_is_decoded(large):
    write_mask(large.masks / "2007_000032.png", np.zeros((76, 101), np.uint8))  # a quarter
    with pytest.raises(UserError, match=r"is 101x76 pixels, its image 401x303; make them the same"):
        large[1, 0]


def test_least_above_most_is_refused():
    with pytest.raises(UserError) as caught:
        replace(VARIED, resize_min=15)
    assert str(caught.value) == (
        "resize_min: expected at most resize_max (14), got 15; lower resize_min or raise resize_max"
    )


def test_an_unreadable_image_is_named(labelled, voc):
    (voc / "JPEGImages/2007_000033.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"2007_000033\.png: not a readable image"):
        labelled[1, 1]


def test_a_truncated_image_is_named(labelled, voc, generator):
    file = voc / "JPEGImages/2007_000033.png"
    noise = torch.randint(256, (40, 40, 3), generator=generator, dtype=torch.uint8)
    Image.fromarray(noise.numpy()).save(file)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"2007_000033\.png: not a readable image"):
        labelled[1, 1]


def test_a_missing_mask_is_named(masked, voc):
    (voc / "SegmentationClass/2007_000032.png").unlink()
    with pytest.raises(UserError, match=r"2007_000032\.png: mask not found; add it"):
        masked[1, 0]


def test_a_mask_of_another_size_is_refused(masked, voc):
    mask = Image.new("L", (11, 8))
    mask.save(voc / "SegmentationClass/2007_000032.png")
    with pytest.raises(UserError, match=r"2007_000032\.png: is 11x8 pixels, its image 12x8; make"):
        masked[1, 0]


def test_a_mask_id_beyond_the_classes_is_refused(masked, voc):
    Image.new("L", (12, 8), 4).save(voc / "SegmentationClass/2007_000032.png")
    with pytest.raises(
        UserError,
        match=r"2007_000032\.png: mask id 4 is beyond the classes; expected 0\.\.3 or 255; correct",
    ):
        masked[1, 0]


def test_ignored_pixels_are_no_id_beyond_the_classes(masked, voc):
    Image.new("L", (12, 8), IGNORE).save(voc / "SegmentationClass/2007_000032.png")
    assert (masked[1, 0][1] == IGNORE).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_has_the_same_message_with_workers(masked, voc, workers):
    mask = voc / "SegmentationClass/2007_000032.png"
    mask.unlink()
    with pytest.raises(UserError) as caught:
        list(training_batches(masked, batch_size=5, workers=workers)(1))
    assert str(caught.value) == (f"{mask}: mask not found; add it, or remove its id from the split")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "a worker that loads images was killed"),
        (signal.SIGBUS, r"ran out of shared memory \(/dev/shm\)"),
    ],
)
def test_a_killed_worker_raises_a_user_error(split, number, words):
    dataset = Failing(split, lambda: os.kill(os.getpid(), number))
    with pytest.raises(UserError, match=words):
        list(training_batches(dataset, batch_size=5, workers=1)(1))


@pytest.mark.parametrize(
    ("fault", "expected", "words"),
    [
        # torch's message in a worker if /dev/shm is full
        ("unable to allocate shared memory(shm) for file </torch_1>", UserError, r"\(/dev/shm\)"),
        # DataLoader's message for any exception in a worker
        ("Caught RuntimeError in DataLoader worker process 0", RuntimeError, "^Caught Runtime"),
    ],
)
def test_only_workers_killed_by_the_system_raise_a_user_error(split, fault, expected, words):
    def fail():
        raise RuntimeError(fault)

    with pytest.raises(expected, match=words):
        list(training_batches(Failing(split, fail), batch_size=5, workers=0)(1))


# Colours


def test_colours_are_scaled_from_zero_from_the_mean_and_from_grey():
    image = np.array([[[10, 20, 30], [50, 60, 70]]], np.uint8)
    assert recoloured(image, 2.0, 1.0, 1.0).tolist() == [[[20, 40, 60], [100, 120, 140]]]
    # Pillow's grey is 0.299 R + 0.587 G + 0.114 B: 18 and 58, with mean 38.
    assert recoloured(image, 1.0, 0.0, 1.0).tolist() == [[[38, 38, 38], [38, 38, 38]]]
    assert recoloured(image, 1.0, 1.0, 0.0).tolist() == [[[18, 18, 18], [58, 58, 58]]]
    assert recoloured(image, 1.0, 1.0, 1.0).tolist() == image.tolist()


def test_colours_change_within_their_range_and_nothing_else_does():
    coloured = replace(VARIED, colour=0.25)
    for draw, same in zip(draws(), draws(), strict=True):
        with_colours, without = draw_view((8, 12), coloured, draw), draw_view((8, 12), VARIED, same)
        assert with_colours.colours is not None
        assert all(0.75 <= factor <= 1.25 for factor in with_colours.colours)
        assert replace(with_colours, colours=None) == without


def test_without_colour_an_image_keeps_its_colours():
    assert draw_view((8, 12), VARIED, np.random.default_rng(0)).colours is None
