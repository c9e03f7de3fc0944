"""Checks of training masks."""

from pathlib import Path

import numpy as np
import pytest

from recam.checks.masks import absent_class_warnings, check_masks, mask_warnings, remedy_for
from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.data.layout import WeakSplit
from recam.io.images import write_image, write_mask

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def split(tmp_path):
    """Two images of 10 x 20 pixels, of a cat and of a cat and a dog."""
    images = tuple(tmp_path / f"images/{name}.png" for name in ("a", "b"))
    for path in images:
        write_image(path, np.zeros((10, 20, 3), np.uint8))
    labels = np.array([[True, False, False], [True, True, False]])
    return WeakSplit(name="train", ids=("a", "b"), images=images, labels=labels, classes=CLASSES)


@pytest.fixture
def folder(tmp_path):
    """Masks: of 400 pixels 40 are a cat, 100 are ignored, the others background."""
    folder = tmp_path / "pseudo"
    first, second = np.zeros((2, 10, 20), np.uint8)
    first[:2] = 1
    second[5:] = IGNORE
    write_mask(folder / "a.png", first)
    write_mask(folder / "b.png", second)
    return folder


def test_the_masks_are_counted(split, folder):
    seen = check_masks(split, folder)
    assert seen.foreground == pytest.approx(40 / 300)
    assert seen.ignored == pytest.approx(100 / 400)
    assert seen.shown.tolist() == [True, False, False]


def test_a_class_that_no_mask_shows_gives_a_warning(split, folder):
    dog, owl = absent_class_warnings(split, check_masks(split, folder))
    assert dog.startswith(
        "class dog is in no mask of split train (1 of its images are labelled with it)"
    )
    assert owl.startswith(
        "class owl is in no mask of split train (0 of its images are labelled with it)"
    )


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((20, 10), np.uint8), "b.png: is 10x20 pixels, its image 20x10"),
        (np.full((10, 20), 4, np.uint8), "b.png: mask id 4 is beyond the classes; expected 0..3"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(split, folder, mask, words):
    write_mask(folder / "b.png", mask)
    with pytest.raises(UserError, match=words):
        check_masks(split, folder)


def test_a_mask_that_was_cut_off_is_named(split, folder):
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"b\.png: damaged .*: make_pseudo makes it anew"):
        check_masks(split, folder)


def test_missing_masks_are_counted(split, folder):
    (folder / "a.png").unlink()
    with pytest.raises(
        UserError, match=r"each of the 2 images of split train, 1 are missing \(first: a\)"
    ):
        check_masks(split, folder)


@pytest.mark.parametrize(("value", "ignored"), [(0, "0.0"), (IGNORE, "100.0")])
def test_empty_masks_are_refused(split, folder, value, ignored):
    for name in ("a", "b"):
        write_mask(folder / f"{name}.png", np.full((10, 20), value, np.uint8))
    words = (
        f"pseudo: expected masks with foreground pixels, got none \\({ignored} % of the pixels are "
        "ignored\\); lower the background score in make_pseudo"
    )
    with pytest.raises(UserError, match=words):
        check_masks(split, folder)


def test_a_segmenters_own_masks_have_a_remedy_of_their_own():
    words = "lower train_seg.self_training_confidence, or set train_seg.self_training to none"
    assert remedy_for(Path("results/seed0/cam/.own_masks.partial")) == words


def test_nearly_empty_masks_give_a_warning(split, tmp_path):
    for image, size in zip(split.images, ((100, 20), (100, 10)), strict=True):
        write_image(image, np.zeros((*size, 3), np.uint8))
        mask = np.zeros(size, np.uint8)
        mask[0, 0] = 1
        write_mask(tmp_path / f"SegmentationClass/{image.name}", mask)
    folder = tmp_path / "SegmentationClass"
    warnings = mask_warnings(split, folder, check_masks(split, folder))
    words = "only 0.067 % of the pixels that are not ignored are foreground; correct them"
    assert warnings[0] == f"{folder}: {words}"
    assert len(warnings) == 3  # and two classes that no mask shows


def test_missing_ground_truth_has_a_remedy_of_its_own(split, tmp_path):
    with pytest.raises(UserError, match="add them or remove supervised from methods"):
        check_masks(split, Path(tmp_path / "SegmentationClass"))


@pytest.mark.parametrize(
    ("folder", "remedy"),
    [
        ("pseudo", "lower the background score in make_pseudo"),
        ("SegmentationClass", "correct them"),
    ],
)
def test_the_remedy_depends_on_the_origin_of_the_masks(folder, remedy):
    assert remedy_for(Path("data") / folder) == remedy
