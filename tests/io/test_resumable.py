"""A resumable folder appears when it is complete, and a killed run is resumed."""

from recam.io.resumable import ResumableFolder


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


def test_the_same_key_keeps_the_files_of_a_killed_run(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="k"), "a.npz")
    again = ResumableFolder(tmp_path / "cams", key="k")
    assert again.has("a.npz")
    assert not again.has("b.npz")


def test_a_file_that_a_killed_run_was_writing_is_dropped(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="a"), "1.npz", ".2.npz.123.tmp")
    folder = ResumableFolder(tmp_path / "cams", key="a")
    folder.finish()
    assert [file.name for file in (tmp_path / "cams").iterdir()] == ["1.npz"]


def test_another_key_deletes_the_files_of_a_killed_run(tmp_path):
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


def test_a_finished_folder_is_filled_again_by_the_next_run(tmp_path):
    folder = ResumableFolder(tmp_path / "cams", key="k")
    fill(folder, "a.npz")
    folder.finish()
    assert not ResumableFolder(tmp_path / "cams", key="k").has("a.npz")


def test_folders_side_by_side_do_not_share_their_work(tmp_path):
    fill(ResumableFolder(tmp_path / "masks", key="k"), "a.png")
    assert not ResumableFolder(tmp_path / "scores", key="k").has("a.png")


def test_a_dropped_folder_leaves_nothing_and_takes_nothing_else(tmp_path):
    fill(ResumableFolder(tmp_path / "cams", key="k"), "a.npz")
    (tmp_path / "propagated").mkdir()
    (tmp_path / "propagated/precious.txt").touch()
    folder = ResumableFolder(tmp_path / "propagated", key="k")
    fill(folder, "a.npz")
    folder.drop()
    assert not folder.partial.exists()
    assert not folder.has("a.npz")
    assert (tmp_path / "propagated/precious.txt").exists()
    assert ResumableFolder(tmp_path / "cams", key="k").has("a.npz")


def test_a_dropped_folder_is_filled_again_by_the_next_run(tmp_path):
    folder = ResumableFolder(tmp_path / "propagated", key="k")
    fill(folder, "a.npz")
    folder.drop()
    again = ResumableFolder(tmp_path / "propagated", key="k")
    assert not again.has("a.npz")
    fill(again, "b.npz")
    again.finish()
    assert [path.name for path in (tmp_path / "propagated").iterdir()] == ["b.npz"]
