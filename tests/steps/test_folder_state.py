"""The state of a user's folder: every file of it counts, and each is looked at once."""

import hashlib
import os
from pathlib import Path

import pytest

from recam.steps.folder_state import state_of


def simple_state(folders):
    """The same hash in the plainest form: Path's own walk, order and suffixes."""
    files = sorted(file for folder in folders for file in Path(folder).rglob("*") if file.is_file())
    looks = [
        (
            str(file),
            file.read_bytes()
            if file.suffix in (".csv", ".txt")
            else (file.stat().st_size, file.stat().st_mtime_ns),
        )
        for file in files
    ]
    return hashlib.sha256(repr(looks).encode()).hexdigest()


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with sub-folders, links, a table, hidden files, and names that sort apart."""
    monkeypatch.chdir(tmp_path)
    for name in ("labels.csv", ".txt", "a/b.jpg", "a/c/d.png", "a.b/e.jpg", "a-b.jpg", "B.JPG"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / "photos/link.jpg").symlink_to("a/b.jpg")
    (tmp_path / "photos/nowhere.jpg").symlink_to("gone.jpg")
    (tmp_path / "photos/folder").symlink_to("a")
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/b.png").write_text("map")
    return tmp_path / "photos"


@pytest.mark.parametrize("folders", [["photos"], ["./photos/"], ["photos", "maps"], ["."]])
def test_it_is_the_hash_of_the_plain_form(photos, folders):
    assert state_of(folders) == simple_state(folders)
    absolute = [str(Path(folder).absolute()) for folder in folders]
    assert state_of([*absolute, *folders]) == simple_state([*absolute, *folders])


def test_no_folder_has_no_state():
    assert state_of([]) == ""


@pytest.mark.parametrize("name", ["labels.csv", "a/c/d.png", "new.jpg"])
def test_a_change_of_any_file_changes_it(photos, name):
    before = state_of(["photos"])
    time = (photos / "labels.csv").stat().st_mtime_ns
    (photos / name).write_text("changed")
    os.utime(photos / name, ns=(time, time + 1))
    assert state_of(["photos"]) != before


def test_a_table_counts_by_content_and_not_by_time(photos):
    before = state_of(["photos"])
    os.utime(photos / "labels.csv", ns=(0, 0))
    assert state_of(["photos"]) == before
    os.utime(photos / "a/b.jpg", ns=(0, 0))
    assert state_of(["photos"]) != before


def test_each_file_is_asked_for_once(photos, monkeypatch):
    asked = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **how: asked.append(path) or stat(path, **how))
    state_of(["photos"])
    assert len(asked) == len(set(asked)) == 9
