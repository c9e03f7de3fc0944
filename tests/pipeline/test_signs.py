"""Signs without ground truth, by hand on masks of ten pixels."""

import json
from pathlib import Path

import numpy as np
import pytest

from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.data.layout import WeakSplit
from recam.io.images import write_mask
from recam.io.scores import ScoredClasses, save_scores
from recam.pipeline.signs import (
    PseudoMasks,
    count_masks,
    evenly_spaced,
    foreground_miou,
    signs_of_run,
)

LABELS = [[True, False, False], [True, True, False], [False, False, False], [False, True, False]]


def split(name="train", labels=LABELS):
    ids = tuple("abcd"[: len(labels)])
    return WeakSplit(
        name=name,
        ids=ids,
        images=tuple(Path(f"{image_id}.jpg") for image_id in ids),
        labels=np.array(labels),
        classes=("cat", "dog", "hen"),
    )


def write(folder, *rows):
    """Masks of one row of ten pixels, for the images a, b, ..."""
    for image_id, row in zip("abcd", rows, strict=False):
        write_mask(folder / f"{image_id}.png", np.array([row], dtype=np.uint8))
    return folder


@pytest.fixture
def pseudo(tmp_path):
    """Cats in a and b, no dog in b, nothing in c; d is background and ignored pixels."""
    return write(
        tmp_path / "pseudo",
        [1] * 5 + [0] * 5,
        [1] * 3 + [0] * 7,
        [0] * 10,
        [0] * 6 + [IGNORE] * 4,
    )


def signs(predictions, pseudo, **more):
    masks = PseudoMasks(folder=pseudo, compared=("a", "b"), **more)
    return signs_of_run(predictions, masks, maps_split=split(), seg_split=split())


def test_pseudo_masks_are_compared_with_the_labels(tmp_path, pseudo):
    predictions = write(tmp_path / "seg", *[[0] * 10] * 4)
    found = signs(predictions, pseudo)
    assert found.values["pseudo_foreground"] == pytest.approx(100 * 8 / 36, abs=1e-4)
    assert found.values["ignored"] == 10  # 4 of 40
    assert found.values["empty_images"] == pytest.approx(100 / 3, abs=1e-4)  # d; c has no label
    assert found.values["missing_labels"] == 50  # the dogs of b and d, of four labels
    assert found.values["unseen_classes"] == 50  # dog, of cat and dog; hen has no label
    assert found.classes["unseen_classes"] == ["dog"]


def test_predictions_are_compared_with_pseudo_masks_on_some_images(tmp_path, pseudo):
    seg = write(tmp_path / "seg", [1] * 4 + [0] * 6, [2] * 2 + [0] * 8, [2] * 10, [2] * 10)
    found = signs(seg, pseudo)
    assert found.values["predicted_foreground"] == pytest.approx(100 * 26 / 40)
    assert found.values["unpredicted_classes"] == 0
    assert found.values["agreement"] == 25  # 4 of 8 cat pixels agree, no dog: (1/2 + 0) / 2
    assert found.values["predicted_of_pseudo"] == 75  # 6 against 8 pixels


def test_pseudo_masks_are_compared_with_those_of_cam(tmp_path, pseudo):
    cam = write(tmp_path / "cam", [1] * 10, [0] * 10)
    found = signs(pseudo, pseudo, of_cam=cam)
    assert found.values["cam_agreement"] == pytest.approx(100 * 5 / 13, abs=1e-4)
    assert found.values["agreement"] == 100


def test_the_foreground_is_compared_with_that_above_the_threshold_of_yen(tmp_path, pseudo):
    scores = np.array([[[1.0] * 4 + [0.1] * 6]], dtype=np.float32)  # two levels: 4 of 10 pixels
    for image_id in "ab":
        scored = ScoredClasses(scores=scores, classes=np.array([0]))
        save_scores(tmp_path / f"cams/{image_id}.npz", scored)
    found = signs(pseudo, pseudo, cams=tmp_path / "cams")
    assert found.values["pseudo_of_yen"] == 100  # 5 and 3 pixels against 4 and 4


def test_the_upper_bound_has_signs_of_its_predictions_only(tmp_path, pseudo):
    found = signs_of_run(pseudo, PseudoMasks(folder=None), maps_split=split(), seg_split=split())
    assert set(found.values) == {"predicted_foreground", "unpredicted_classes"}


def test_without_labels_and_pixels_signs_have_no_value(tmp_path):
    ignored = write(tmp_path / "pseudo", [IGNORE] * 10)
    nothing = split(labels=[[False] * 3])
    masks = PseudoMasks(folder=ignored, compared=("a",))
    found = signs_of_run(ignored, masks, maps_split=nothing, seg_split=nothing)
    assert found.values == {"ignored": 100}


def test_background_does_not_lift_the_agreement_of_empty_masks():
    assert foreground_miou(np.array([[90, 0], [10, 0]])) == 0
    assert np.isnan(foreground_miou(np.array([[90, 0], [0, 0]])))


def test_compared_images_are_evenly_spaced():
    assert evenly_spaced(tuple("abcdefgh"), 4) == tuple("aceg")
    assert evenly_spaced(tuple("abc"), 9) == tuple("abc")
    assert evenly_spaced(tuple("abc"), 0) == ()


def test_signs_are_written_as_json(tmp_path, pseudo):
    found = signs(pseudo, pseudo)
    found.write(tmp_path / "signs.json")
    written = json.loads((tmp_path / "signs.json").read_text())
    assert written == {"values": found.values, "classes": found.classes}


def test_a_missing_mask_and_an_unknown_class_are_refused(tmp_path, pseudo):
    (pseudo / "c.png").unlink()
    with pytest.raises(UserError, match=r"c\.png: not found; delete the folder"):
        count_masks(pseudo, split())
    write(pseudo, [4] * 10)
    with pytest.raises(UserError, match=r"a\.png: mask id 4 is beyond the classes"):
        count_masks(pseudo, split())
