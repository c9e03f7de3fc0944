"""What is told before and while a segmenter trains: masks that do not do, and a collapse."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from recam.data.layout import WeakSplit
from recam.errors import UserError
from recam.files import write_image, write_mask
from recam.labels import IGNORE
from recam.models.segmenters import Segmenter
from recam.preflight import MasksSeen, Watch, look_at_masks, never_shown

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
    seen = look_at_masks(split, folder)
    assert seen.foreground == pytest.approx(40 / 300)
    assert seen.ignored == pytest.approx(100 / 400)
    assert seen.shown.tolist() == [True, False, False]


def test_a_class_that_no_mask_shows_is_told_with_its_images(split, folder):
    dog, owl = never_shown(split, look_at_masks(split, folder))
    assert dog.startswith(
        "class dog is in none of the masks of split train (images labelled with it: 1)"
    )
    assert owl.startswith(
        "class owl is in none of the masks of split train (images labelled with it: 0)"
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
        look_at_masks(split, folder)


def test_a_mask_that_was_cut_off_is_named(split, folder):
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"b\.png: not a readable mask .*; replace it"):
        look_at_masks(split, folder)


def test_a_missing_mask_is_told_with_what_to_do(split, folder):
    (folder / "a.png").unlink()
    with pytest.raises(UserError, match=r"no mask for 1 of the 2 images of split train \(first: a"):
        look_at_masks(split, folder)


@pytest.mark.parametrize(("value", "ignored"), [(0, "0.0"), (IGNORE, "100.0")])
def test_empty_masks_are_refused(split, folder, value, ignored):
    for name in ("a", "b"):
        write_mask(folder / f"{name}.png", np.full((10, 20), value, np.uint8))
    words = f"only 0.00 % of the pixels to learn from show a class, and {ignored} % are ignored"
    with pytest.raises(UserError, match=words):
        look_at_masks(split, folder)


class Constant(Segmenter):
    """Calls every pixel by the same id."""

    def __init__(self, answer):
        super().__init__()
        self.backbone = nn.Identity()
        self.answer = answer

    def logits(self, images):
        """High for the answer, low for the others."""
        logits = torch.zeros(len(images), len(CLASSES) + 1, *images.shape[2:])
        logits[:, self.answer] = 1
        return logits


def watched(answer, *, foreground=0.2):
    """A watch over a network that was shown one mask: 30 of 100 judged pixels are a cat."""
    model = Constant(answer)
    mask = torch.zeros((1, 20, 10), dtype=torch.uint8)
    mask[0, :3], mask[0, 10:] = 1, IGNORE
    model.loss(torch.zeros(1, 3, 20, 10), mask)
    shown = np.ones(len(CLASSES), bool)
    return Watch(model, MasksSeen(foreground=foreground, ignored=0.0, shown=shown))


def test_a_network_that_calls_everything_background_is_stopped():
    with pytest.raises(UserError) as caught:
        watched(answer=0)(550, 20_000)
    assert str(caught.value) == (
        "after 550 of 20000 steps the segmenter calls 0.00 % of the pixels something else than "
        "background, its masks 30.00 %; its learning rate is too high, most likely: lower lr_head, "
        "lr_head_bias and lr"
    )


def test_where_masks_are_almost_empty_they_are_the_cause():
    with pytest.raises(UserError, match="there is little in its masks: lower the background"):
        watched(answer=0, foreground=0.01)(550, 20_000)


@pytest.mark.parametrize(
    ("answer", "step", "steps"), [(0, 500, 20_000), (0, 50, 100), (2, 550, 20_000)]
)
def test_a_young_network_or_one_that_finds_something_goes_on(answer, step, steps):
    watched(answer)(step, steps)


def test_only_what_was_found_since_the_last_look_counts():
    watch = watched(answer=2)
    watch(50, 20_000)
    watch.model.answer = 0
    mask = torch.ones((1, 20, 10), dtype=torch.uint8)
    watch.model.loss(torch.zeros(1, 3, 20, 10), mask)
    assert watch.model.foreground.shares() == (1.0, 0.0)
    watch(1_000, 20_000)  # nothing was seen since


def test_the_file_of_a_folder_of_true_masks_is_told_apart(split, tmp_path):
    with pytest.raises(UserError, match="add them, or take supervised off methods"):
        look_at_masks(split, Path(tmp_path / "SegmentationClass"))
