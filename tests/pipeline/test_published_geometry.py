"""Maps in the authors' geometry, against a naive form written from the description."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from recam.io.images import read_image
from recam.methods.cam import EPSILON, Cam, peak_normalised
from recam.methods.variant import both_views
from recam.models.backbones import Backbone
from recam.pipeline.cams import GEOMETRIES
from recam.pipeline.published_geometry import resized_bytes, summed

SCALES = (1.0, 0.5, 1.5, 2.0)
LABELS = np.array([[True, False, True], [True, True, False]])
CPU = torch.device("cpu")


class TinyBackbone(Backbone):
    """Two convolutions, at stride 16 in all."""

    channels = 5
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    level_strides = (4, 16)

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, kernel_size=5, stride=4, padding=2)
        self.second = nn.Conv2d(8, self.channels, kernel_size=5, stride=4, padding=2)

    def levels(self, images):
        early = self.first(images).relu()
        return [early, self.second(early).relu()]

    def with_skip(self, images):
        return tuple(self.levels(images))

    def freeze_stem(self):
        raise NotImplementedError


@pytest.fixture
def cam(generator):
    """A classifier of three classes with random weights."""
    model = Cam(TinyBackbone(), channels=5, num_classes=3)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return model.eval()


@pytest.fixture
def paths(tmp_path, generator):
    """Two photographs of 45 x 70 pixels: smooth noise with some hard edges."""
    files = []
    for number in range(2):
        coarse = torch.randint(0, 256, (6, 8, 3), generator=generator, dtype=torch.uint8)
        image = Image.fromarray(coarse.numpy()).resize((70, 45), Image.Resampling.BICUBIC)
        pixels = np.array(image)
        pixels[10:30, 20:50] = 255 - pixels[10:30, 20:50]
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(files[-1])
    return files


def interpolated(grid, rows, columns):
    """Bilinear enlargement to rows x columns, one pixel at a time; corners are not aligned."""
    height, width = grid.shape
    enlarged = np.zeros((rows, columns))
    for y in range(rows):
        for x in range(columns):
            v = max((y + 0.5) * height / rows - 0.5, 0)
            u = max((x + 0.5) * width / columns - 0.5, 0)
            top, left = int(v), int(u)
            below, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = grid[top, left] * (1 - u % 1) + grid[top, right] * (u % 1)
            lower = grid[below, left] * (1 - u % 1) + grid[below, right] * (u % 1)
            enlarged[y, x] = upper * (1 - v % 1) + lower * (v % 1)
    return enlarged


def grid_of(cam, pixels, index):
    """The map of one class and one view; ``pixels`` are bytes (H, W, 3)."""
    normal = (pixels / 255 - np.array(cam.backbone.mean)) / np.array(cam.backbone.std)
    image = torch.from_numpy(normal.transpose(2, 0, 1).copy()).float()[None]
    features = cam.backbone(image)[0].double().numpy()
    weights = cam.classifier[index].detach().double().numpy()
    return np.maximum(np.einsum("c,chw->hw", weights, features), 0)


def naive_map(cam, image, index):
    """The description, step by step, for one image and one class; the peak is 1."""
    height, width = image.shape[:2]
    total = np.zeros((height, width))
    for scale in SCALES:
        size = (int(np.round(width * scale)), int(np.round(height * scale)))
        resized = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        plain = grid_of(cam, resized, index)
        mirrored = np.fliplr(grid_of(cam, np.fliplr(resized), index))
        whole = (math.ceil(height / 16) * 16, math.ceil(width / 16) * 16)
        total += interpolated(plain + mirrored, *whole)[:height, :width]
    return total / (total.max() + EPSILON)


def cams_of(cam, paths, geometry):
    maps = GEOMETRIES[geometry](
        both_views(cam.maps),
        paths,
        LABELS,
        scales=SCALES,
        batch_size=2,
        normalise=cam.backbone.normalise,
        device=CPU,
    )
    return {position: peak_normalised(of_image).numpy() for position, of_image in maps}


def test_maps_are_those_of_the_description(cam, paths):
    cams = cams_of(cam, paths, "published")
    with torch.no_grad():
        for position, path in enumerate(paths):
            image = read_image(path)
            for index in range(3):
                expected = naive_map(cam, image, index)
                np.testing.assert_allclose(cams[position][index], expected, rtol=0, atol=1e-4)


def test_stretched_maps_are_others(cam, paths):
    published, stretched = (cams_of(cam, paths, name) for name in ("published", "image"))
    assert np.abs(published[0] - stretched[0]).max() > 0.05


def test_cells_are_16_pixels_apart():
    grid = torch.zeros(1, 1, 2, 3)
    grid[..., 1] = 1.0  # the second column of cells; its centre is at 16 + 7.5 pixels
    maps = summed(
        lambda images, present: grid,  # noqa: ARG005 a read-out
        torch.zeros(1, 3, 20, 40),
        torch.ones(1, 1, dtype=torch.bool),
        scales=(1.0,),
        normalise=lambda pixels: pixels,
    )
    assert maps.shape == (1, 1, 20, 40)
    expected = [1 - abs(x - 23.5) / 16 if 7.5 <= x <= 39.5 else 0 for x in range(40)]
    np.testing.assert_allclose(maps[0, 0], np.tile(expected, (20, 1)), atol=1e-6)


def test_images_are_resized_as_bytes():
    steep = torch.zeros(1, 3, 4, 4)
    steep[..., 2:] = 1.0
    resized = resized_bytes(steep, 1.5) * 255
    assert (resized.min(), resized.max()) == (0, 255)  # the filter's overshoot is cut off
    torch.testing.assert_close(resized, resized.round(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("length", "expected"), [(5, 2), (7, 4), (1, 1)])
def test_half_pixels_are_rounded_to_even_sizes(length, expected):
    assert resized_bytes(torch.zeros(1, 3, length, 8), 0.5).shape == (1, 3, expected, 4)


def test_no_scale_is_refused(cam):
    image, present = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="scales: expected at least one, got none"):
        summed(both_views(cam.maps), image, present, scales=(), normalise=cam.backbone.normalise)
