"""Localisation scores of folders of maps, by hand on images of four pixels."""

import numpy as np
import pytest

from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.data.boxes import write_boxes
from recam.io.images import write_mask
from recam.io.scores import ScoredClasses, save_scores
from recam.pipeline.evaluation import GroundTruth
from recam.pipeline.localisation import score_localisation

CLASSES = ("cat", "dog")


@pytest.fixture
def truth(tmp_path):
    """A cat in the left column, a dog in the last pixel, and an image without ground truth."""
    write_mask(tmp_path / "truth/a.png", np.array([[1, 0], [1, 0]], dtype=np.uint8))
    write_mask(tmp_path / "truth/b.png", np.array([[0, 0], [IGNORE, 2]], dtype=np.uint8))
    return GroundTruth(ids=("a", "b", "c"), masks=tmp_path / "truth", classes=CLASSES)


def save(folder, **maps):
    """Save the map of one class for each image."""
    for image_id, (class_index, scores) in maps.items():
        scored = ScoredClasses(
            scores=np.array([scores], np.float32), classes=np.array([class_index])
        )
        save_scores(folder / f"{image_id}.npz", scored)
    return folder


def test_perfect_maps_score_100(tmp_path, truth):
    maps = save(tmp_path / "maps", a=(0, [[1, 0], [1, 0]]), b=(1, [[0, 0], [0, 1]]))
    assert score_localisation(maps, truth) == {"pointing": 100, "box_accuracy": 100}


def test_maps_of_other_places_score_0(tmp_path, truth):
    maps = save(tmp_path / "maps", a=(0, [[0, 1], [0, 0]]), b=(1, [[1, 0], [0, 0]]))
    assert score_localisation(maps, truth) == {"pointing": 0, "box_accuracy": 0}


def test_scores_are_means_over_maps(tmp_path, truth):
    # The box of `a` holds half of the cat: a hit at 0.3 and 0.5. The dog is missed, on an ignored
    # pixel and on the next best, which is background.
    maps = save(tmp_path / "maps", a=(0, [[1, 0], [0, 0]]), b=(1, [[0.5, 0], [1, 0]]))
    found = score_localisation(maps, truth)
    assert found == pytest.approx({"pointing": 50, "box_accuracy": 100 * (1 + 1 + 0) / 3 / 2})


def test_a_class_that_the_mask_lacks_is_left_out(tmp_path, truth):
    maps = save(tmp_path / "maps", a=(1, [[1, 0], [0, 0]]), b=(1, [[0, 0], [0, 1]]))
    assert score_localisation(maps, truth) == {"pointing": 100, "box_accuracy": 100}


def test_boxes_stand_in_for_a_missing_mask(tmp_path, truth):
    write_boxes(truth.masks / "boxes.csv", {"c": {0: np.array([[0.0, 0, 2, 1]])}}, CLASSES)
    maps = save(
        tmp_path / "maps",
        a=(0, [[1, 0], [1, 0]]),
        b=(1, [[0, 0], [0, 1]]),
        c=(0, [[0, 0], [0, 1]]),
    )
    found = score_localisation(maps, truth)
    assert found == pytest.approx({"pointing": 200 / 3, "box_accuracy": 200 / 3})


def test_boxes_go_before_the_components_of_masks(tmp_path, truth):
    write_boxes(truth.masks / "boxes.csv", {"a": {0: np.array([[0.0, 0, 2, 2]])}}, CLASSES)
    maps = save(tmp_path / "maps", a=(0, [[1, 0], [1, 0]]), b=(1, [[0, 0], [0, 1]]))
    # The left column is half of the box of `a`: no hit at 0.7.
    found = score_localisation(maps, truth)
    assert found == pytest.approx({"pointing": 100, "box_accuracy": 100 * (1 + 1 + 1 / 2) / 3})


def test_without_ground_truth_there_are_no_scores(tmp_path, truth):
    none = GroundTruth(ids=("c",), masks=truth.masks, classes=CLASSES)
    assert score_localisation(tmp_path / "maps", none) == {}


def test_maps_of_another_size_than_the_mask_are_refused(tmp_path, truth):
    maps = save(tmp_path / "maps", a=(0, [[1, 0, 0], [1, 0, 0]]))
    with pytest.raises(UserError, match=r"a\.png: is 2x2 pixels, its image 3x2"):
        score_localisation(maps, truth)
