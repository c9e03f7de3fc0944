"""What steps leave on disk comes back, and what others left there is refused."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from recam.core.errors import UserError
from recam.io.checkpoints import (
    ModelConfig,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
)
from recam.io.resumable import ResumableFolder
from recam.io.scores import ScoredClasses, load_classes, load_scores, save_scores

BLUEPRINT = ModelConfig(
    method="recam",
    backbone="resnet18",
    output_stride=16,
    classes=("cat", "dog"),
    frozen_batch_norm=True,
    frozen_stem=False,
    weight=0.5,
    rates=(1, 2),
)


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def png():
    """Give the bytes of a small image."""
    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, format="PNG")
    return buffer.getvalue()


def zipped():
    """Give the bytes of an archive that holds a text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "text")
    return buffer.getvalue()


def npy():
    """Give the bytes of a single array, saved by NumPy without the archive around it."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, 2, 2), np.float16))
    return buffer.getvalue()


FOREIGN = {
    "empty": b"",
    "text": b"epoch,loss\n1,0.5\n",
    "bytes": bytes(range(256)),
    "image": png(),
    "archive": zipped(),
    "array": npy(),
    "pickle": pickle.dumps([1, 2, 3]),
}


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path, generator):
    tensors = {"weight": torch.randn(2, 3, generator=generator), "steps": torch.tensor(7)}
    save_checkpoint(tmp_path / "model.pt", tensors, BLUEPRINT)
    loaded, model_config = load_checkpoint(tmp_path / "model.pt")
    assert model_config == BLUEPRINT
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_the_order_of_memory_is_no_part_of_a_checkpoint(tmp_path, generator):
    plain = torch.randn(2, 3, 4, 4, generator=generator)
    for name, tensor in {
        "plain": plain,
        "last": plain.to(memory_format=torch.channels_last),
    }.items():
        save_checkpoint(tmp_path / f"{name}/model.pt", {"weight": tensor}, BLUEPRINT)
    one, other = ((tmp_path / f"{name}/model.pt").read_bytes() for name in ("plain", "last"))
    assert one == other


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match=r"model\.pt: not found; run the step that makes it"):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_something_else_is_no_checkpoint(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.pt: (damaged, or )?not a"):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "content",
    [{"weight": torch.zeros(2)}, {"format": "recam-checkpoint-0"}, {}, [torch.zeros(2)]],
    ids=["state dict", "other format", "empty", "list"],
)
def test_tensors_of_another_project_are_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"model\.pt: not a checkpoint of ours; give one that a"):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("load", [load_checkpoint, load_state])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, load):
    torch.save({"format": Malicious(tmp_path / "made")}, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"model\.pt: damaged, or not a file of plain tensors"):
        load(tmp_path / "model.pt")
    assert not (tmp_path / "made").exists()


def test_a_truncated_checkpoint_is_refused(tmp_path):
    save_checkpoint(tmp_path / "model.pt", {"weight": torch.zeros(99)}, BLUEPRINT)
    content = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"model\.pt: damaged"):
        load_checkpoint(tmp_path / "model.pt")


def test_a_state_comes_back_as_it_was_saved(tmp_path):
    state = {"key": "k", "curve": [(1, "bce", 0.5)], "model": {"w": torch.ones(2)}}
    save_state(tmp_path / "state.pt", state)
    loaded = load_state(tmp_path / "state.pt")
    assert (loaded["key"], loaded["curve"]) == (state["key"], state["curve"])
    assert torch.equal(loaded["model"]["w"], torch.ones(2))


def test_no_state_is_none(tmp_path):
    assert load_state(tmp_path / "state.pt") is None


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


def test_what_was_saved_once_is_saved_again_without_a_change(tmp_path):
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
    with pytest.raises(UserError, match=r"a\.npz: not a file of score maps; delete it and run its"):
        load_scores(tmp_path / "a.npz")


def test_objects_in_a_score_file_are_refused_and_not_run(tmp_path):
    objects = np.array([Malicious(tmp_path / "made")], dtype=object)
    np.savez(tmp_path / "a.npz", scores=objects, classes=np.array([0]))
    with pytest.raises(UserError, match=r"a\.npz: not a file of score maps"):
        load_scores(tmp_path / "a.npz")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 2)])
def test_scores_that_do_not_match_their_classes_are_refused(tmp_path, shape):
    np.savez(tmp_path / "a.npz", scores=np.zeros(shape), classes=np.array([0]))
    with pytest.raises(UserError, match=r"a\.npz: has .* scores for 1 classes; delete it"):
        load_scores(tmp_path / "a.npz")


def fill(folder, *names):
    for name in names:
        (folder.partial / name).write_text(name)


def test_a_folder_appears_only_when_it_is_finished(tmp_path):
    folder = ResumableFolder(tmp_path / "cams", key="k")
    fill(folder, "a.npz")
    assert not (tmp_path / "cams").exists()
    folder.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["cams"]
    assert [path.name for path in (tmp_path / "cams").iterdir()] == ["a.npz"]


def test_the_same_key_keeps_what_a_killed_run_left(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="k"), "a.npz")
    again = ResumableFolder(tmp_path / "cams", key="k")
    assert again.has("a.npz")
    assert not again.has("b.npz")


def test_a_file_that_a_killed_run_was_writing_is_dropped(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="a"), "1.npz", ".2.npz.123.tmp")
    folder = ResumableFolder(tmp_path / "cams", key="a")
    folder.finish()
    assert [file.name for file in (tmp_path / "cams").iterdir()] == ["1.npz"]


def test_another_key_drops_what_a_killed_run_left(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="k"), "a.npz")
    assert not ResumableFolder(tmp_path / "cams", key="other").has("a.npz")


def test_a_finished_folder_replaces_the_old_one_and_all_in_it(tmp_path):
    (tmp_path / "cams").mkdir()
    (tmp_path / "cams/stale.npz").touch()
    folder = ResumableFolder(tmp_path / "cams", key="k")
    fill(folder, "a.npz")
    assert (tmp_path / "cams/stale.npz").exists()
    folder.finish()
    assert [path.name for path in (tmp_path / "cams").iterdir()] == ["a.npz"]


def test_a_finished_folder_is_filled_anew_by_the_next_run(tmp_path):
    folder = ResumableFolder(tmp_path / "cams", key="k")
    fill(folder, "a.npz")
    folder.finish()
    assert not ResumableFolder(tmp_path / "cams", key="k").has("a.npz")


def test_folders_side_by_side_do_not_share_their_work(tmp_path):
    fill(ResumableFolder(tmp_path / "masks", key="k"), "a.png")
    assert not ResumableFolder(tmp_path / "scores", key="k").has("a.png")


def test_a_dropped_folder_leaves_nothing_and_takes_nothing_else(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="k"), "a.npz")
    (tmp_path / "spread").mkdir()
    (tmp_path / "spread/precious.txt").touch()
    folder = ResumableFolder(tmp_path / "spread", key="k")
    fill(folder, "a.npz")
    folder.drop()
    assert not folder.partial.exists()
    assert not folder.has("a.npz")
    assert (tmp_path / "spread/precious.txt").exists()
    assert ResumableFolder(tmp_path / "cams", key="k").has("a.npz")


def test_a_dropped_folder_is_filled_anew_by_the_next_run(tmp_path):
    folder = ResumableFolder(tmp_path / "spread", key="k")
    fill(folder, "a.npz")
    folder.drop()
    again = ResumableFolder(tmp_path / "spread", key="k")
    assert not again.has("a.npz")
    fill(again, "b.npz")
    again.finish()
    assert [path.name for path in (tmp_path / "spread").iterdir()] == ["b.npz"]


@pytest.mark.parametrize("change", [lambda b: b.pop("radius"), lambda b: b.update(depth=3)])
def test_a_checkpoint_of_another_version_is_named(tmp_path, change):
    path = tmp_path / "model.pt"
    save_checkpoint(path, {"weight": torch.zeros(2)}, BLUEPRINT)
    content = torch.load(path, weights_only=True)
    change(content["model_config"])
    torch.save(content, path)
    with pytest.raises(UserError, match=r"model\.pt: made by another version of recam; run the"):
        load_checkpoint(path)
