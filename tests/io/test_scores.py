"""Score maps come back from disk in steps of 1/200, and other files are refused."""

import numpy as np
import pytest
from foreign import FOREIGN, Malicious

from recam.core.errors import UserError
from recam.io.scores import ScoredClasses, load_classes, load_scores, save_scores


def test_scores_are_rounded_up_to_a_200th(tmp_path):
    scores = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    save_scores(tmp_path / "a.npz", ScoredClasses(scores=scores, classes=np.array([3, 200])))
    loaded = load_scores(tmp_path / "a.npz")
    assert loaded.scores.dtype == np.float32
    up = loaded.scores - scores
    assert up.min() >= 0
    assert up.max() < 1 / 200
    assert loaded.classes.tolist() == [3, 200]


def test_a_saved_score_is_above_just_the_thresholds_that_it_was_above_before(tmp_path):
    levels = np.arange(201, dtype=np.float32) / 200
    near = [np.nextafter(levels, np.float32(limit)) for limit in (0, 1)]
    scores = np.concatenate([levels, *near]).clip(0, 1)[None, None]
    save_scores(tmp_path / "a.npz", ScoredClasses(scores=scores, classes=np.array([0])))
    loaded = load_scores(tmp_path / "a.npz").scores
    for threshold in np.arange(201) / 200:
        t = float(threshold)
        np.testing.assert_array_equal(loaded > t, scores > t)


def test_saved_scores_are_saved_again_without_a_change(tmp_path):
    scores = np.array([[[0, 0.25, 0.5, 1]]], dtype=np.float32)
    save_scores(tmp_path / "a.npz", ScoredClasses(scores=scores, classes=np.array([0])))
    np.testing.assert_array_equal(load_scores(tmp_path / "a.npz").scores, scores)


def test_an_image_without_classes_keeps_its_size(tmp_path):
    nothing = ScoredClasses(
        scores=np.zeros((0, 3, 4), np.float32), classes=np.array([], dtype=np.int64)
    )
    save_scores(tmp_path / "a.npz", nothing)
    loaded = load_scores(tmp_path / "a.npz")
    assert loaded.scores.shape == (0, 3, 4)
    assert len(loaded.classes) == 0


def test_a_score_map_takes_no_more_than_a_byte_a_pixel(tmp_path):
    noise = np.random.default_rng(0).random((2, 50, 40), dtype=np.float32)  # nothing to compress
    save_scores(tmp_path / "a.npz", ScoredClasses(scores=noise, classes=np.array([0, 1])))
    assert (tmp_path / "a.npz").stat().st_size < 2 * 50 * 40 + 1000


def test_float_maps_of_ones_own_are_taken_as_they_are(tmp_path):
    scores = np.array([[[0, 0.123, 1]]])
    np.savez(tmp_path / "a.npz", scores=scores, classes=np.array([5]))
    loaded = load_scores(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded.scores, scores.astype(np.float32))
    assert load_classes(tmp_path / "a.npz").tolist() == loaded.classes.tolist() == [5]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_neither_saved_nor_loaded(tmp_path, value):
    scores = np.array([[[0.5, value]]], dtype=np.float32)
    with pytest.raises(UserError, match=r"a\.npz: expected finite scores, got NaN or infinity"):
        save_scores(tmp_path / "a.npz", ScoredClasses(scores=scores, classes=np.array([0])))
    assert not (tmp_path / "a.npz").exists()
    np.savez(tmp_path / "a.npz", scores=scores, classes=np.array([0]))
    with pytest.raises(UserError, match=r"in 50\.0% of the pixels; the network that made them"):
        load_scores(tmp_path / "a.npz")


@pytest.mark.parametrize("values", [(-0.1, 0.5), (0.5, 2.0)])
def test_maps_that_are_not_normalised_are_refused(tmp_path, values):
    np.savez(tmp_path / "a.npz", scores=np.array([[values]]), classes=np.array([0]))
    with pytest.raises(UserError, match=r"a\.npz: expected scores in \[0, 1\], got"):
        load_scores(tmp_path / "a.npz")


def test_missing_scores_are_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.npz: not found; run the step that makes it"):
        load_scores(tmp_path / "a.npz")


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_something_else_is_no_score_file(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(
        UserError, match=r"a\.npz: damaged, or not a file of score maps; replace it"
    ):
        load_scores(tmp_path / "a.npz")


def test_objects_in_a_score_file_are_refused_and_not_run(tmp_path):
    objects = np.array([Malicious(tmp_path / "made")], dtype=object)
    np.savez(tmp_path / "a.npz", scores=objects, classes=np.array([0]))
    with pytest.raises(UserError, match=r"a\.npz: damaged, or not a file of score maps"):
        load_scores(tmp_path / "a.npz")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 2)])
def test_scores_that_do_not_match_their_classes_are_refused(tmp_path, shape):
    np.savez(tmp_path / "a.npz", scores=np.zeros(shape), classes=np.array([0]))
    with pytest.raises(
        UserError, match=r"a\.npz: expected one score map for each of 1 classes, got .*; replace it"
    ):
        load_scores(tmp_path / "a.npz")
