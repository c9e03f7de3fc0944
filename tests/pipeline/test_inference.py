"""Maps and masks of whole images: effects of scales, mirror images and batches."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from recam.core.errors import UserError
from recam.io.images import read_image
from recam.methods.cam import EPSILON, peak_normalised
from recam.methods.variant import both_views
from recam.models.backbones import Backbone
from recam.models.segmenters import Segmenter
from recam.pipeline.inference import (
    averaged_maps,
    equal_size_batches,
    maps_of_images,
    shrunk_size,
)
from recam.pipeline.segmentation import mask_of_probabilities, masks_of_images
from recam.refine.crf import CrfKernels, DenseCrf, unary_of_probabilities
from recam.refine.crf_masks import Crf

CPU = torch.device("cpu")
MEAN, STD = (0.5, 0.25, 0.0), (0.5, 0.25, 1.0)


@pytest.fixture
def pixelwise(generator):
    """Maps that depend on each pixel alone."""
    layer = nn.Conv2d(3, 2, kernel_size=1)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    return lambda images: layer(images).relu()


@pytest.fixture
def lopsided(generator):
    """Maps at stride 2 that depend on pixels to one side."""
    layer = nn.Conv2d(3, 2, kernel_size=(1, 3), stride=2)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    return lambda images: layer(images).relu()


@pytest.fixture
def images(generator):
    """Two images of 8 x 10 pixels."""
    return torch.randn(2, 3, 8, 10, generator=generator)


@pytest.fixture
def paths(tmp_path):
    """Seven images of three sizes, mixed; image i has the red value 10 i."""
    sizes = [(6, 4), (4, 6), (6, 4), (5, 5), (6, 4), (4, 6), (6, 4)]
    files = [tmp_path / f"{number}.png" for number in range(len(sizes))]
    for number, (file, size) in enumerate(zip(files, sizes, strict=True)):
        Image.new("RGB", size, (10 * number, 7, 9)).save(file)
    return files


def test_at_one_scale_pixelwise_maps_are_the_maps_themselves(pixelwise, images):
    averaged = averaged_maps(pixelwise, images, scales=(1.0,))
    torch.testing.assert_close(averaged, pixelwise(images))


def test_both_views_count_half(lopsided, images):
    mirrored = lopsided(images.flip(3)).flip(3)
    mean = (lopsided(images) + mirrored) / 2
    expected = functional.interpolate(mean, size=(8, 10), mode="bilinear")
    torch.testing.assert_close(averaged_maps(lopsided, images, scales=(1.0,)), expected)


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 1.5), (0.5, 2.0)])
def test_maps_of_the_mirror_image_are_the_mirrored_maps(lopsided, images, scales):
    averaged = averaged_maps(lopsided, images, scales=scales)
    of_mirror = averaged_maps(lopsided, images.flip(3), scales=scales)
    torch.testing.assert_close(of_mirror, averaged.flip(3), rtol=1e-4, atol=1e-5)


def test_scales_are_averaged(lopsided, images):
    each = [averaged_maps(lopsided, images, scales=(scale,)) for scale in (0.5, 1.0, 1.5)]
    together = averaged_maps(lopsided, images, scales=(0.5, 1.0, 1.5))
    torch.testing.assert_close(together, torch.stack(each).mean(dim=0))


@pytest.mark.parametrize("scale", [0.5, 1.5, 2.0])
def test_a_flat_image_has_the_same_maps_at_every_scale(pixelwise, scale):
    flat = torch.full((1, 3, 6, 8), 0.25)
    torch.testing.assert_close(
        averaged_maps(pixelwise, flat, scales=(scale,)), pixelwise(flat), rtol=1e-4, atol=1e-5
    )


def test_maps_have_the_size_of_the_images_whatever_the_scale(lopsided, images):
    assert averaged_maps(lopsided, images, scales=(0.75,)).shape == (2, 2, 8, 10)


def test_no_scale_is_refused(pixelwise, images):
    with pytest.raises(ValueError, match="scales: expected at least one, got none"):
        averaged_maps(pixelwise, images, scales=())


def test_every_map_peaks_at_one():
    maps = torch.tensor([[[0.0, 3.0]], [[50.0, 5.0]]])
    cams = peak_normalised(maps)
    assert cams.amax(dim=(1, 2)).tolist() == pytest.approx([1, 1], rel=1e-5)
    assert cams.max() <= 1
    assert cams[1, 0, 1].item() == pytest.approx(0.1, rel=1e-4)


def test_a_map_of_zeros_stays_zero():
    assert peak_normalised(torch.zeros(1, 2, 2)).tolist() == [[[0, 0], [0, 0]]]
    assert EPSILON > 0


def test_no_map_at_all_is_accepted():
    assert peak_normalised(torch.zeros(0, 2, 2)).shape == (0, 2, 2)


def test_normalising_by_hand():
    white = torch.ones(1, 3, 1, 1)
    assert TinyBackbone().normalise(white).flatten().tolist() == [1.0, 3.0, 1.0]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_every_image_is_in_one_batch(paths, batch_size):
    batches = list(equal_size_batches(paths, batch_size=batch_size))
    positions = [p for batch in batches for p in batch.positions]
    assert sorted(positions) == list(range(len(paths)))
    assert max(len(batch.positions) for batch in batches) <= batch_size


def test_batches_of_one_size_are_as_full_as_they_can_be(paths):
    batches = list(equal_size_batches(paths, batch_size=3))
    # Four images of one size, two of another, one of a third.
    assert sorted(len(batch.positions) for batch in batches) == [1, 1, 2, 3]


def test_a_position_names_the_image_that_was_read(paths):
    for batch in equal_size_batches(paths, batch_size=2):
        red = (batch.pixels[:, 0, 0, 0] * 255).round()
        assert red.tolist() == [10 * position for position in batch.positions]


def test_pixels_lie_between_zero_and_one(tmp_path):
    values = np.array([[[0, 51, 255]]], dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "image.png")
    (batch,) = equal_size_batches([tmp_path / "image.png"], batch_size=1)
    assert batch.pixels.flatten().tolist() == pytest.approx([0, 0.2, 1])


def test_no_image_gives_no_batch():
    assert not list(equal_size_batches([], batch_size=2))


def maps_by_position(maps, paths, *, batch_size):
    pairs = maps_of_images(
        both_views(maps),
        paths,
        np.ones((len(paths), 2), bool),
        scales=(1.0, 1.5),
        batch_size=batch_size,
        normalise=TinyBackbone().normalise,
        device=CPU,
    )
    return dict(pairs)


def test_batching_does_not_change_the_maps(lopsided, paths):
    alone = maps_by_position(lopsided, paths, batch_size=1)
    together = maps_by_position(lopsided, paths, batch_size=3)
    assert alone.keys() == together.keys() == set(range(len(paths)))
    for position, maps in alone.items():
        torch.testing.assert_close(together[position], maps)


def test_maps_have_the_sizes_of_their_images(lopsided, paths):
    maps = maps_by_position(lopsided, paths, batch_size=4)
    assert [tuple(maps[p].shape) for p in (0, 1, 3)] == [(2, 4, 6), (2, 6, 4), (2, 5, 5)]


def test_the_network_sees_normalised_images(paths):
    pairs = maps_of_images(
        both_views(lambda images: images[:, :1]),
        [paths[5]],
        np.ones((1, 1), bool),
        scales=(1.0,),
        batch_size=1,
        normalise=TinyBackbone().normalise,
        device=CPU,
    )
    ((_, maps),) = pairs
    assert maps.unique().tolist() == pytest.approx([(50 / 255 - 0.5) / 0.5])


def test_maps_are_made_without_gradients(pixelwise, paths):
    maps = maps_by_position(pixelwise, paths, batch_size=4)
    assert not any(m.requires_grad for m in maps.values())
    assert torch.is_grad_enabled()


def test_a_read_out_gets_the_classes_of_its_images(paths):
    labels = np.eye(len(paths), dtype=bool)
    found = maps_of_images(
        lambda images, present: present.float()[:, :, None, None].expand(-1, -1, *images.shape[2:]),
        paths,
        labels,
        scales=(1.0,),
        batch_size=4,
        normalise=TinyBackbone().normalise,
        device=CPU,
    )
    for position, maps in found:
        assert maps.amax(dim=(1, 2)).tolist() == [0.5 * (k == position) for k in range(len(paths))]


def test_an_image_that_is_missing_stops_the_pass(pixelwise):
    with pytest.raises(UserError, match=r"nowhere\.png: not a readable image"):
        maps_by_position(pixelwise, [Path("nowhere.png")], batch_size=1)


class TinyBackbone(Backbone):
    """One layer of stride 2 that depends on pixels to one side."""

    mean, std = MEAN, STD

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, kernel_size=(1, 3), stride=2, padding=(0, 1))

    def with_skip(self, images):
        features = self.layer(images)
        return features, features

    def levels(self, images):
        return list(self.with_skip(images))

    def freeze_stem(self):
        pass


class TinySegmenter(Segmenter):
    def __init__(self):
        super().__init__()
        self.backbone = TinyBackbone()

    def logits(self, images):
        return 10 * self.backbone(images)


@pytest.fixture
def segmenter(generator):
    """A segmenter of four classes, most of which noise has."""
    model = TinySegmenter().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model


@pytest.fixture
def noise(tmp_path):
    """Four images of noise, three of them 24 x 16 pixels and one 10 x 30."""
    random = np.random.default_rng(0)
    files = [tmp_path / f"noise{number}.png" for number in range(4)]
    for file, shape in zip(files, [(16, 24), (30, 10), (16, 24), (16, 24)], strict=True):
        Image.fromarray(random.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(file)
    return files


def masks_by_position(model, paths, **changes):
    options = {"scales": (1.0,), "batch_size": 2} | changes
    return dict(masks_of_images(model, paths, **options))


def probabilities_of(model, path, *, scales=(1.0,)):
    pixels = torch.from_numpy(read_image(path)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        images = model.backbone.normalise(pixels)
        return pixels[0], averaged_maps(model.maps, images, scales=scales)[0]


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.5)])
def test_a_mask_is_the_best_class_of_the_averaged_maps(segmenter, noise, scales):
    masks = masks_by_position(segmenter, noise, scales=scales)
    assert masks.keys() == {0, 1, 2, 3}
    for position, mask in masks.items():
        _, probabilities = probabilities_of(segmenter, noise[position], scales=scales)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, probabilities.argmax(dim=0).numpy())
        assert len(np.unique(mask)) > 1


def test_the_mask_of_a_mirror_image_is_the_mirrored_mask(segmenter, noise, tmp_path):
    mirrored = tmp_path / "mirrored.png"
    Image.fromarray(read_image(noise[0])[:, ::-1].copy()).save(mirrored)
    masks = masks_by_position(segmenter, [noise[0], mirrored], scales=(1.0, 1.5))
    np.testing.assert_array_equal(masks[1], masks[0][:, ::-1])


def test_a_crf_sees_the_pixels_and_the_probabilities(segmenter, noise):
    kernels = CrfKernels(
        gaussian_sxy=1.0,
        gaussian_weight=3.0,
        bilateral_sxy=20.0,
        bilateral_srgb=60.0,
        bilateral_weight=4.0,
    )
    masks = masks_by_position(segmenter, noise, crf=Crf(kernels=kernels, iterations=3))
    for position, mask in masks.items():
        pixels, probabilities = probabilities_of(segmenter, noise[position])
        field = DenseCrf(pixels[None], kernels=kernels)
        unary = unary_of_probabilities(probabilities)
        posteriors = field.posteriors(unary[None], iterations=3)
        np.testing.assert_array_equal(mask, posteriors[0].argmax(dim=0).numpy())
        assert (mask != probabilities.argmax(dim=0).numpy()).any()


def test_shrunk_images_get_masks_of_their_own_size(segmenter, noise):
    masks = masks_by_position(segmenter, noise, longest_side=12)
    assert [masks[position].shape for position in range(4)] == [
        (16, 24),
        (30, 10),
        (16, 24),
        (16, 24),
    ]


def test_a_limit_that_nothing_reaches_changes_nothing(segmenter, noise):
    free, limited = (masks_by_position(segmenter, noise, longest_side=n) for n in (None, 30))
    for position, mask in free.items():
        np.testing.assert_array_equal(limited[position], mask)


def test_a_large_flat_image_has_the_mask_of_a_small_one(segmenter, tmp_path):
    halves = np.zeros((8, 16, 3), dtype=np.uint8)
    halves[:, 8:] = 255
    small = Image.fromarray(halves)
    small.save(tmp_path / "small.png")
    small.resize((64, 32), Image.Resampling.NEAREST).save(tmp_path / "large.png")
    paths = [tmp_path / "small.png", tmp_path / "large.png"]
    masks = masks_by_position(segmenter, paths, longest_side=16)
    # Enlarged bilinearly: alike where no other class is near, at the middles of both halves.
    np.testing.assert_array_equal(masks[1][2::4, 14:20], np.tile(masks[0][:, 4:5], 6))


@pytest.mark.parametrize("size", [(3, 5), (7, 9), (31, 12), (2, 2)])
def test_enlarging_class_by_class_is_enlarging_all_and_taking_the_best(generator, size):
    probabilities = torch.randn(5, 3, 5, generator=generator).softmax(dim=0)
    mask = mask_of_probabilities(probabilities, size=size)
    enlarged = functional.interpolate(probabilities[None], size=size, mode="bilinear")[0]
    assert mask.equal(enlarged.argmax(dim=0).to(torch.uint8))


@pytest.mark.parametrize("size", [(2, 2), (4, 4)])
def test_the_first_of_equal_classes_wins(size):
    assert not mask_of_probabilities(torch.full((3, 2, 2), 1 / 3), size=size).any()


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [
        ((3000, 4000), 640, (480, 640)),
        ((4000, 3000), 640, (640, 480)),
        ((480, 640), 640, (480, 640)),
        ((1, 5000), 640, (1, 640)),
        ((3000, 4000), None, (3000, 4000)),
    ],
)
def test_shrunk_sizes_by_hand(size, limit, expected):
    assert shrunk_size(size, limit) == expected


def test_images_that_shrink_to_one_size_share_a_batch(tmp_path):
    for name, size in {"a": (40, 20), "b": (10, 5), "c": (80, 40)}.items():
        Image.new("RGB", size, (0, 51, 255)).save(tmp_path / f"{name}.png")
    (batch,) = equal_size_batches(sorted(tmp_path.glob("*.png")), batch_size=4, longest_side=10)
    assert batch.positions == (0, 1, 2)
    assert batch.stored == ((20, 40), (5, 10), (40, 80))
    flat = torch.tensor([0, 0.2, 1])[:, None, None].expand(3, 3, 5, 10)
    torch.testing.assert_close(batch.pixels, flat)


def photograph(path, size):
    """Save a JPEG of soft colours."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    waves = [127 * (1 + np.sin(rows / 40)), 127 * (1 + np.cos(columns / 50)), columns / 2]
    Image.fromarray(np.dstack(waves).astype(np.uint8)).save(path, quality=95)


def test_a_large_jpeg_is_shrunk_as_if_it_were_decoded_in_full(tmp_path):
    photograph(tmp_path / "large.jpg", (303, 401))
    paths = [tmp_path / "large.jpg"]
    (batch,) = equal_size_batches(paths, batch_size=1, longest_side=40)
    whole = torch.from_numpy(read_image(paths[0])).permute(2, 0, 1)[None].float() / 255
    expected = functional.interpolate(whole, size=(30, 40), mode="bicubic", antialias=True)
    torch.testing.assert_close(batch.pixels, expected, rtol=0, atol=4 / 255)
    assert batch.stored == ((303, 401),)


@pytest.mark.parametrize(("name", "side"), [("image.png", 40), ("image.jpg", 120)])
def test_an_image_that_is_not_decoded_smaller_is_shrunk_as_before(tmp_path, name, side):
    photograph(tmp_path / "image.jpg", (300, 400))
    Image.open(tmp_path / "image.jpg").save(tmp_path / name, quality=95)
    (batch,) = equal_size_batches([tmp_path / name], batch_size=1, longest_side=side)
    whole = torch.from_numpy(read_image(tmp_path / name)).permute(2, 0, 1)[None]
    size = (side * 3 // 4, side)
    shrunk = functional.interpolate(whole, size=size, mode="bicubic", antialias=True)
    assert torch.equal(batch.pixels, shrunk.float() / 255)


def test_a_broken_image_is_raised_where_its_batch_would_have_come(noise):
    noise[3].write_bytes(noise[3].read_bytes()[:-300])
    seen = []
    with pytest.raises(UserError, match=r"noise3\.png: not a readable image"):
        seen.extend(batch.positions for batch in equal_size_batches(noise, batch_size=2))
    assert seen == [(0, 2)]


def test_an_error_is_collected_with_its_batch_and_the_rest_of_the_batch_is_given(noise):
    noise[0].write_bytes(noise[0].read_bytes()[:-300])
    noise[3].write_bytes(noise[3].read_bytes()[:-300])
    errors: list[UserError] = []
    batches = equal_size_batches(noise, batch_size=2, errors=errors)
    found = [(batch.positions, len(errors)) for batch in batches]
    assert found == [((2,), 1), ((1,), 2)]


def test_a_pass_that_is_left_early_leaves_no_thread(paths):
    before = threading.active_count()
    batches = equal_size_batches(paths, batch_size=1)
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before


def test_broken_images_are_noted_and_the_others_done(segmenter, noise):
    noise[0].write_bytes(noise[0].read_bytes()[:-300])  # its head is whole
    noise[1].unlink()
    errors: list[UserError] = []
    masks = masks_by_position(segmenter, noise, errors=errors)
    assert masks.keys() == {2, 3}
    assert sorted(str(error).split(":")[0] for error in errors) == [str(noise[0]), str(noise[1])]


def test_without_a_place_to_note_them_broken_images_stop_the_pass(segmenter, noise):
    noise[0].write_bytes(noise[0].read_bytes()[:-300])
    with pytest.raises(UserError, match=r"noise0\.png: not a readable image"):
        masks_by_position(segmenter, noise)
