"""Maps of whole images: what scales, mirror images and batches may and may not change."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from recam.errors import UserError
from recam.inference import (
    averaged_maps,
    equal_size_batches,
    maps_of_images,
    normalise,
)
from recam.maps import EPSILON, peak_normalised

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
    """Maps at stride 2 that look at what lies to one side."""
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
    with pytest.raises(ValueError, match="at least one scale is needed"):
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


def test_no_map_at_all_is_no_fault():
    assert peak_normalised(torch.zeros(0, 2, 2)).shape == (0, 2, 2)


def test_normalising_by_hand():
    white = torch.ones(1, 3, 1, 1)
    assert normalise(white, mean=MEAN, std=STD).flatten().tolist() == [1.0, 3.0, 1.0]


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
        maps,
        paths,
        scales=(1.0, 1.5),
        batch_size=batch_size,
        mean=MEAN,
        std=STD,
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
        lambda images: images[:, :1],
        [paths[5]],
        scales=(1.0,),
        batch_size=1,
        mean=MEAN,
        std=STD,
        device=CPU,
    )
    ((_, maps),) = pairs
    assert maps.unique().tolist() == pytest.approx([(50 / 255 - 0.5) / 0.5])


def test_maps_are_made_without_gradients(pixelwise, paths):
    maps = maps_by_position(pixelwise, paths, batch_size=4)
    assert not any(m.requires_grad for m in maps.values())
    assert torch.is_grad_enabled()


def test_an_image_that_is_missing_stops_the_pass(pixelwise):
    with pytest.raises(UserError, match=r"nowhere\.png: not a readable image"):
        maps_by_position(pixelwise, [Path("nowhere.png")], batch_size=1)
