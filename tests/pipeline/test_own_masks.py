"""A segmenter's masks of its own training images, worked out by hand."""

import numpy as np
import pytest
import torch
from tiny_networks import CLASSES, SEGMENTER

from recam.catalogue.segmenters import make_segmenter
from recam.core.labels import IGNORE
from recam.data.layout import WeakSplit
from recam.data.loading import pixels_of
from recam.io.images import read_image, read_mask, write_image
from recam.io.resumable import ResumableFolder
from recam.pipeline.own_masks import OwnMasks, own_mask, write_own_masks
from recam.pipeline.segmentation import probabilities_of_images
from recam.refine.crf import CrfKernels
from recam.refine.crf_masks import Crf

KERNELS = CrfKernels(
    gaussian_sxy=1.0,
    gaussian_weight=3.0,
    bilateral_sxy=67.0,
    bilateral_srgb=3.0,
    bilateral_weight=4.0,
)
CAT, DOG = [True, False, False], [False, True, False]
BOTH, NONE = [True, True, False], [False, False, False]
# Probabilities of background, cat, dog and hen in four pixels.
GRID = torch.tensor(
    [[0.1, 0.2, 0.0, 0.7], [0.4, 0.4, 0.2, 0.0], [0.2, 0.4, 0.4, 0.0], [0.8, 0.1, 0.0, 0.1]]
).T.reshape(4, 1, 4)


def numbers_of(*, confidence=0.0, iterations=0):
    crf = Crf(kernels=KERNELS, iterations=iterations)
    return OwnMasks(scales=(1.0,), batch_size=2, confidence=confidence, crf=crf)


def mask_of(grid, present, **numbers):
    pixels = torch.zeros(1, 3, *grid.shape[1:])
    return own_mask(grid, pixels, np.array(present), numbers=numbers_of(**numbers))


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (CAT, [1, 0, 1, 0]),  # the hen of the first pixel is absent; the second one is a tie
        (DOG, [0, 0, 2, 0]),
        (BOTH, [1, 0, 1, 0]),  # the third pixel is a tie of cat and dog
        (NONE, [0, 0, 0, 0]),
    ],
)
def test_only_present_classes_compete_and_a_tie_goes_to_the_lower_id(present, expected):
    assert mask_of(GRID, present).tolist() == [expected]


def test_confidence_is_the_probability_among_present_classes():
    """With a cat alone the pixels have 2/3 cat, 1/2 background, 2/3 cat and 8/9 background."""
    assert mask_of(GRID, CAT, confidence=0.5).tolist() == [[1, 0, 1, 0]]
    assert mask_of(GRID, CAT, confidence=0.6).tolist() == [[1, IGNORE, 1, 0]]
    assert mask_of(GRID, CAT, confidence=0.7).tolist() == [[IGNORE, IGNORE, IGNORE, 0]]
    assert mask_of(GRID, CAT, confidence=1.0).tolist() == [[IGNORE] * 4]


def test_a_pixel_whose_present_ids_have_no_probability_is_uncertain_background():
    grid = torch.tensor([0.0, 0.0, 0.0, 1.0]).reshape(4, 1, 1)
    assert mask_of(grid, CAT).tolist() == [[0]]
    assert mask_of(grid, CAT, confidence=0.1).tolist() == [[IGNORE]]


def test_an_image_without_a_class_is_confident_background():
    assert mask_of(GRID, NONE, confidence=1.0).tolist() == [[0] * 4]


def test_the_crf_overrules_a_pixel_that_is_then_ignored_from_half_confidence_on():
    grid = torch.tensor([0.2, 0.8]).reshape(2, 1, 1).repeat(1, 5, 5)
    grid[:, 2, 2] = torch.tensor([0.6, 0.4])
    four = torch.cat([grid, torch.zeros(2, 5, 5)])
    assert mask_of(four, CAT)[2, 2] == 0
    assert (mask_of(four, CAT, iterations=5) == 1).all()
    ignored = mask_of(four, CAT, iterations=5, confidence=0.5) == IGNORE
    assert np.argwhere(ignored).tolist() == [[2, 2]]


@pytest.fixture
def split(tmp_path):
    """Three noisy images of two sizes."""
    random = np.random.default_rng(0)
    images = tuple(tmp_path / f"images/{name}.png" for name in "abc")
    for path, size in zip(images, ((32, 40), (40, 32), (32, 40)), strict=True):
        write_image(path, random.integers(256, size=(*size, 3), dtype=np.uint8))
    return WeakSplit(
        name="train",
        ids=("a", "b", "c"),
        images=images,
        labels=np.array([CAT, BOTH, NONE]),
        classes=CLASSES,
    )


def test_masks_are_written_for_every_image_that_lacks_one(split, tmp_path):
    torch.manual_seed(0)
    model, numbers = make_segmenter(SEGMENTER), numbers_of(confidence=0.4, iterations=1)
    folder = ResumableFolder(tmp_path / "own_masks", key="key")
    write_own_masks(model, split, folder, numbers=numbers, precision=torch.float32)
    grids = {
        each.position: each.probabilities
        for each in probabilities_of_images(model, split.images, scales=(1.0,), batch_size=2)
    }
    for index, image_id in enumerate(split.ids):
        pixels = pixels_of([read_image(split.images[index])], torch.device("cpu"))
        expected = own_mask(grids[index], pixels, split.labels[index], numbers=numbers)
        assert (read_mask(folder.partial / f"{image_id}.png") == expected).all()
    kept = (folder.partial / "a.png").stat().st_mtime_ns
    (folder.partial / "b.png").unlink()
    write_own_masks(model, split, folder, numbers=numbers, precision=torch.float32)
    assert folder.has("b.png")
    assert (folder.partial / "a.png").stat().st_mtime_ns == kept
