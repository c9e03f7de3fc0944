"""A resumable folder appears when it is complete, and a killed run is resumed."""

import numpy as np

from recam.io.images import write_mask
from recam.io.resumable import ResumableFolder
from recam.io.scores import ScoredClasses, save_scores


def fill(folder, *names):
    for name in names:
        (folder.partial / name).write_text(name)


def test_a_folder_appears_only_when_it_is_finished(tmp_path):
    folder = ResumableFolder(tmp_path / "cams", key="k")
    fill(folder, "a.txt")
    assert not (tmp_path / "cams").exists()
    folder.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["cams"]
    assert [path.name for path in (tmp_path / "cams").iterdir()] == ["a.txt"]


def test_the_same_key_keeps_the_files_of_a_killed_run(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="k"), "a.txt")
    again = ResumableFolder(tmp_path / "cams", key="k")
    assert again.has("a.txt")
    assert not again.has("b.txt")


def test_a_file_that_a_killed_run_was_writing_is_dropped(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="a"), "1.txt", ".2.txt.123.tmp")
    folder = ResumableFolder(tmp_path / "cams", key="a")
    folder.finish()
    assert [file.name for file in (tmp_path / "cams").iterdir()] == ["1.txt"]


def test_another_key_deletes_the_files_of_a_killed_run(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="k"), "a.txt")
    assert not ResumableFolder(tmp_path / "cams", key="other").has("a.txt")


def test_a_finished_folder_replaces_the_old_one_and_all_in_it(tmp_path):
    (tmp_path / "cams").mkdir()
    (tmp_path / "cams/stale.txt").touch()
    folder = ResumableFolder(tmp_path / "cams", key="k")
    fill(folder, "a.txt")
    assert (tmp_path / "cams/stale.txt").exists()
    folder.finish()
    assert [path.name for path in (tmp_path / "cams").iterdir()] == ["a.txt"]


def test_a_finished_folder_is_filled_again_by_the_next_run(tmp_path):
    folder = ResumableFolder(tmp_path / "cams", key="k")
    fill(folder, "a.txt")
    folder.finish()
    assert not ResumableFolder(tmp_path / "cams", key="k").has("a.txt")


def test_folders_side_by_side_do_not_share_their_work(tmp_path):
    fill(ResumableFolder(tmp_path / "masks", key="k"), "a.png")
    assert not ResumableFolder(tmp_path / "scores", key="k").has("a.png")


def test_a_dropped_folder_leaves_nothing_and_takes_nothing_else(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="k"), "a.txt")
    (tmp_path / "propagated").mkdir()
    (tmp_path / "propagated/precious.txt").touch()
    folder = ResumableFolder(tmp_path / "propagated", key="k")
    fill(folder, "a.txt")
    folder.drop()
    assert not folder.partial.exists()
    assert not folder.has("a.txt")
    assert (tmp_path / "propagated/precious.txt").exists()
    assert ResumableFolder(tmp_path / "cams", key="k").has("a.txt")


def test_a_dropped_folder_is_filled_again_by_the_next_run(tmp_path):
    folder = ResumableFolder(tmp_path / "propagated", key="k")
    fill(folder, "a.txt")
    folder.drop()
    again = ResumableFolder(tmp_path / "propagated", key="k")
    assert not again.has("a.txt")
    fill(again, "b.txt")
    again.finish()
    assert [path.name for path in (tmp_path / "propagated").iterdir()] == ["b.txt"]


def test_a_file_that_was_damaged_after_a_kill_is_made_anew(tmp_path):
    folder = ResumableFolder(tmp_path / "cams", key="k")
    scores = ScoredClasses(scores=np.zeros((1, 2, 2), np.float32), classes=np.array([0]))
    for name in ("good.npz", "bad.npz"):
        save_scores(folder.partial / name, scores)
    for name in ("good.png", "bad.png"):
        write_mask(folder.partial / name, np.zeros((2, 2), np.uint8), num_classes=1)
    for name in ("bad.npz", "bad.png"):
        content = bytearray((folder.partial / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder.partial / name).write_bytes(content)
    again = ResumableFolder(tmp_path / "cams", key="k")
    kept = ("good.npz", "bad.npz", "good.png", "bad.png")
    assert [again.has(name) for name in kept] == [True, False, True, False]
