"""The saliency rule by hand, and masks that it cuts."""

import numpy as np
import pytest
import torch
from PIL import Image

from recam.core.errors import UserError
from recam.io.images import read_mask
from recam.io.scores import ScoredClasses, load_scores, save_scores
from recam.pipeline.pseudo_masks import Cut, cut_masks
from recam.pipeline.saliency import Saliency, is_salient

CPU = torch.device("cpu")


def grey(*rows):
    return np.array(rows, np.uint8)


def test_saliency_at_most_a_fifth_of_the_maximum_is_background():
    saliency = grey((200, 40), (41, 0))  # the maximum is 200: the cut is at 40
    expected = np.array([[True, False], [True, False]])
    np.testing.assert_array_equal(is_salient(saliency, threshold=0.2), expected)


def test_the_cut_follows_the_maximum_of_each_map():
    half = grey((100, 20), (21, 0))
    np.testing.assert_array_equal(
        is_salient(half, threshold=0.2), is_salient(2 * half, threshold=0.2)
    )


def test_a_black_map_has_no_object_and_the_highest_threshold_leaves_none():
    assert not is_salient(grey((0, 0)), threshold=0.0).any()
    assert not is_salient(grey((9, 255)), threshold=1.0).any()


@pytest.fixture
def pair(tmp_path):
    """Maps of one class on 2 x 2 pixels, and folders for saliency, scores and masks."""
    for folder in ("maps", "saliency", "scores", "masks"):
        (tmp_path / folder).mkdir()
    file, image = tmp_path / "maps/a.npz", tmp_path / "a.png"
    scores = np.array([[[0.9, 0.9], [0.5, 0.1]]], np.float32)
    save_scores(file, ScoredClasses(scores=scores, classes=np.array([2])))
    Image.new("RGB", (2, 2)).save(image)
    return file, image


def cut(pair, saliency):
    root = pair[1].parent
    numbers = Cut(background=0.5, margin=0.05, crf=None, saliency=saliency)
    folders = {"scores": root / "scores", "masks": root / "masks"}
    cut_masks([pair], **folders, cut=numbers, num_classes=3, device=CPU)
    return read_mask(root / "masks/a.png"), load_scores(root / "scores/a.npz").scores


def saliency_of(pair, saliency, threshold=0.2):
    folder = pair[1].parent / "saliency"
    Image.fromarray(np.asarray(saliency)).save(folder / "a.png")
    return Saliency(source="folder", folder=folder, threshold=threshold)


def test_without_saliency_a_pixel_in_the_margin_is_ignored(pair):
    mask, _ = cut(pair, None)
    np.testing.assert_array_equal(mask, [[3, 3], [255, 0]])


def test_pixels_without_saliency_are_background_also_in_the_margin(pair):
    mask, scores = cut(pair, saliency_of(pair, grey((255, 51), (0, 255))))
    np.testing.assert_array_equal(mask, [[3, 0], [0, 0]])
    np.testing.assert_allclose(scores, [[[0.9, 0.0], [0.0, 0.1]]])


def test_a_map_that_is_salient_everywhere_changes_no_byte(pair):
    files = [pair[1].parent / name for name in ("masks/a.png", "scores/a.npz")]
    cut(pair, None)
    before = [file.read_bytes() for file in files]
    cut(pair, saliency_of(pair, grey((255, 255), (60, 52))))
    assert [file.read_bytes() for file in files] == before


def test_the_source_is_recorded_only_where_maps_were_used(pair):
    assert "saliency" not in Cut(background=0.5, margin=0.0, crf=None).numbers()
    used = Cut(background=0.5, margin=0.0, crf=None, saliency=saliency_of(pair, grey((1, 1))))
    assert used.numbers()["saliency"] == "folder"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("L", (3, 2)), r"a.png: is 3x2 pixels, its image 2x2; make them the same size"),
        (Image.new("RGB", (2, 2)), r"a.png: expected an 8-bit grey PNG .*, got mode RGB; convert"),
        (Image.new("I;16", (2, 2)), r"a.png: expected an 8-bit grey PNG .*, got mode I;16"),
        (Image.new("P", (2, 2)), r"a.png: expected an 8-bit grey PNG .*, got mode P"),
    ],
)
def test_a_wrong_map_is_named(pair, image, message):
    folder = pair[1].parent / "saliency"
    image.save(folder / "a.png")
    with pytest.raises(UserError, match=message):
        cut(pair, Saliency(source="folder", folder=folder, threshold=0.2))


def test_a_damaged_map_is_named(pair):
    folder = pair[1].parent / "saliency"
    (folder / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"a\.png: not a readable saliency map .*; replace or"):
        cut(pair, Saliency(source="folder", folder=folder, threshold=0.2))


def test_missing_maps_are_counted_before_anything_is_cut(pair):
    saliency = saliency_of(pair, grey((1, 1)))
    saliency.require(["a"])
    with pytest.raises(UserError, match=r"for each of 3 images, 2 are missing \(first: b.png\)"):
        saliency.require(["a", "b", "c"])
