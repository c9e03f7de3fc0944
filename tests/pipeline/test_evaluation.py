"""Evaluation of folders of maps and masks, by hand on images of four pixels."""

import numpy as np
import pytest

from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.io.images import write_mask
from recam.io.scores import ScoredClasses, save_scores
from recam.pipeline.evaluation import (
    GroundTruth,
    confusion_table,
    counts_table,
    curve_table,
    mask_metrics,
    per_class_table,
    score_maps,
    score_masks,
)

CLASSES = ("cat", "dog")


@pytest.fixture
def truth(tmp_path):
    """Two images of 2 x 2 pixels: a cat and an ignored pixel; a dog."""
    write_mask(tmp_path / "truth/a.png", np.array([[0, 1], [1, IGNORE]], dtype=np.uint8))
    write_mask(tmp_path / "truth/b.png", np.array([[0, 0], [0, 2]], dtype=np.uint8))
    return GroundTruth(ids=("a", "b"), masks=tmp_path / "truth", classes=CLASSES)


@pytest.fixture
def maps(tmp_path):
    """Maps that are right for background scores from 0.25 up to, but not at, 0.75."""
    save(tmp_path / "maps/a.npz", [[[0.25, 0.75], [1.0, 1.0]]], classes=[0])
    save(tmp_path / "maps/b.npz", [[[0.0, 0.25], [0.0, 1.0]]], classes=[1])
    return tmp_path / "maps"


def save(path, scores, *, classes):
    scored = ScoredClasses(scores=np.array(scores, dtype=np.float32), classes=np.array(classes))
    save_scores(path, scored)


def predict(folder, **masks):
    for name, mask in masks.items():
        write_mask(folder / f"{name}.png", np.array(mask, dtype=np.uint8))
    return folder


def test_maps_are_cut_at_the_threshold_given(maps, truth):
    assert score_maps(maps, truth, threshold=0.5).confusion.tolist() == [
        [4, 0, 0],
        [0, 2, 0],
        [0, 0, 1],
    ]


def test_a_threshold_that_is_too_low_takes_background_for_objects(maps, truth):
    assert score_maps(maps, truth, threshold=0.125).confusion.tolist() == [
        [2, 1, 1],
        [0, 2, 0],
        [0, 0, 1],
    ]


def test_the_curve_agrees_with_the_fixed_threshold(maps, truth):
    for threshold in (0.0, 0.25, 0.5, 0.75):
        scores = score_maps(maps, truth, threshold=threshold)
        fixed = scores.metrics(threshold=threshold)["miou"]
        assert 100 * scores.curve[round(100 * threshold)] == pytest.approx(fixed)


def test_the_oracle_is_the_first_best_threshold_of_the_sweep(maps, truth):
    metrics = score_maps(maps, truth, threshold=0.0).metrics(threshold=0.0)
    assert metrics["oracle_miou"] == pytest.approx(100)
    assert metrics["oracle_threshold"] == pytest.approx(0.25)
    assert metrics["threshold"] == 0.0
    # Half of the background is lost; 2 of 3 for the cat and 1 of 2 for the dog are right.
    assert metrics["miou"] == pytest.approx(100 * (2 / 4 + 2 / 3 + 1 / 2) / 3)


def test_maps_of_an_unknown_class_are_refused(maps, truth):
    save(maps / "b.npz", np.zeros((1, 2, 2)), classes=[2])
    with pytest.raises(UserError, match=r"b\.npz: expected class indices below 2, got"):
        score_maps(maps, truth, threshold=0.5)


def test_maps_of_another_size_than_the_ground_truth_are_refused(maps, truth):
    save(maps / "b.npz", np.zeros((1, 2, 3)), classes=[1])
    with pytest.raises(UserError, match=r"b\.png: is 2x2 pixels, its image 3x2"):
        score_maps(maps, truth, threshold=0.5)


def test_a_ground_truth_mask_with_an_unknown_id_is_refused(maps, truth):
    write_mask(truth.masks / "a.png", np.full((2, 2), 3, dtype=np.uint8))
    with pytest.raises(UserError, match=r"a\.png: mask id 3 is beyond the classes"):
        score_maps(maps, truth, threshold=0.5)


def test_masks_are_compared_with_the_ground_truth(tmp_path, truth):
    folder = predict(tmp_path / "seg", a=[[0, 1], [2, 2]], b=[[0, 0], [1, 0]])
    assert score_masks(folder, truth)[0].tolist() == [[3, 1, 0], [0, 1, 1], [1, 0, 0]]


def test_pixels_predicted_as_ignored_are_not_judged(tmp_path, truth):
    folder = predict(tmp_path / "seg", a=[[IGNORE, 1], [IGNORE, 2]], b=[[0, 0], [0, IGNORE]])
    assert score_masks(folder, truth)[0].tolist() == [[3, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_metrics_are_percent():
    metrics = mask_metrics(np.array([[6, 2], [0, 2]]))
    assert metrics == pytest.approx(
        {
            "miou": 100 * (6 / 8 + 2 / 4) / 2,
            "correct": 80,
            "object_for_object": 0,
            "object_for_background": 20,
            "background_for_object": 0,
        }
    )


def test_the_table_of_classes_leaves_an_absent_class_empty():
    confusion = np.array([[3, 0, 1], [0, 0, 0], [0, 0, 4]])
    table = per_class_table({"seg": confusion, "cams": np.zeros_like(confusion)}, CLASSES)
    assert table.to_csv(index=False) == (
        "stage,class,iou\nseg,background,75.0\nseg,cat,\nseg,dog,80.0\n"
    )


def test_the_table_of_confusions_has_a_row_for_each_pair():
    table = confusion_table({"cams": np.array([[3, 1], [2, 4]])}, ("cat",))
    assert table.to_csv(index=False) == (
        "stage,truth,prediction,pixels\n"
        "cams,background,background,3\n"
        "cams,background,cat,1\n"
        "cams,cat,background,2\n"
        "cams,cat,cat,4\n"
    )


def test_the_table_of_a_curve_names_each_threshold():
    table = curve_table({"cams": np.array([0.5, 0.25]), "pseudo": np.array([1.0])})
    assert table.to_csv(index=False) == (
        "stage,threshold,miou\ncams,0.0,50.0\ncams,0.01,25.0\npseudo,0.0,100.0\n"
    )


def test_images_without_ground_truth_are_not_scored(tmp_path, maps, truth):
    (truth.masks / "a.png").unlink()
    (maps / "a.npz").unlink()  # nor looked for
    assert truth.scored_ids() == ["b"]
    scores = score_maps(maps, truth, threshold=0.125)
    assert scores.confusion.tolist() == [[2, 0, 1], [0, 0, 0], [0, 0, 1]]
    # 2 of 3 pixels of background and 1 of 2 of the dog are right; no cat is judged.
    assert scores.metrics(threshold=0.125)["miou"] == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    assert scores.metrics(threshold=0.125)["oracle_miou"] == pytest.approx(100)
    folder = predict(tmp_path / "seg", b=[[0, 0], [1, 0]])
    assert score_masks(folder, truth)[0].tolist() == [[2, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_without_a_judged_pixel_there_are_no_numbers(tmp_path, maps, truth):
    write_mask(truth.masks / "a.png", np.full((2, 2), IGNORE, dtype=np.uint8))
    (truth.masks / "b.png").unlink()
    for ids in (["a"], []):
        assert truth.scored_ids() == ids
        scores = score_maps(maps, truth, threshold=0.5)
        assert scores.metrics(threshold=0.5) == {"threshold": 0.5}
        assert len(scores.curve) == 0
        confusion, _ = score_masks(predict(tmp_path / "seg", a=[[0, 1], [1, 0]]), truth)
        assert mask_metrics(confusion) == {}
        (truth.masks / "a.png").unlink(missing_ok=True)


def test_tables_of_nothing_have_their_columns():
    nothing = {"cams": np.zeros((3, 3), dtype=np.int64)}
    assert per_class_table(nothing, CLASSES).to_csv(index=False) == "stage,class,iou\n"
    words = "stage,truth,prediction,pixels\n"
    assert confusion_table(nothing, CLASSES).to_csv(index=False) == words
    for curves in ({"cams": np.empty(0)}, {}):
        assert curve_table(curves).to_csv(index=False) == "stage,threshold,miou\n"


def test_a_broken_link_to_a_mask_is_refused(maps, truth):
    (truth.masks / "a.png").rename(truth.masks.parent / "a.png")
    (truth.masks / "a.png").symlink_to(truth.masks / "elsewhere/a.png")
    with pytest.raises(UserError, match=r"truth/a\.png: is a link to .*, which does not exist"):
        score_maps(maps, truth, threshold=0.5)


def test_a_missing_folder_of_ground_truth_is_refused(maps, truth):
    truth.masks.rename(truth.masks.with_name("truths"))
    with pytest.raises(UserError, match=r"truth: ground truth folder not found; create it"):
        score_maps(maps, truth, threshold=0.5)


def test_every_image_is_counted_by_itself(maps, truth):
    scores = score_maps(maps, truth, threshold=0.125)
    table = counts_table({"cams": scores.counts})
    assert table.to_csv(index=False).splitlines() == [
        "stage,image,truth,prediction,pixels",
        "cams,a,0,1,1",
        "cams,a,1,1,2",  # the fourth pixel is ignored
        "cams,b,0,0,2",
        "cams,b,0,2,1",
        "cams,b,2,2,1",
    ]
