"""Files are written whole or not at all; checksums are those of sha256sum."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from recam.core.errors import UserError
from recam.io.atomic import (
    beside,
    read_manifest,
    replace_with,
    replacing,
    sha256,
    write_manifest,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_content(tmp_path):
    file = tmp_path / "file.txt"
    file.write_text("old")

    def fail():
        with replacing(file) as temporary:
            temporary.write_text("half of the n")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert file.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_an_interrupted_write_leaves_the_old_content(tmp_path):
    file = tmp_path / "file.txt"
    file.write_text("old")

    def stop():
        with replacing(file) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert file.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_the_old_content_stands_until_the_new_is_whole(tmp_path):
    file = tmp_path / "file.txt"
    file.write_text("old")
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert names(tmp_path) == ["file.txt"]


def test_missing_folders_are_made(tmp_path):
    write_text(tmp_path / "a/b/file.txt", "text")
    assert (tmp_path / "a/b/file.txt").read_text() == "text"


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    old, new = tmp_path / "here", tmp_path / "made"
    old.mkdir()
    (old / "old.txt").touch()
    new.mkdir()
    (new / "new.txt").touch()
    replace_with(old, new)
    assert names(tmp_path) == ["here"]
    assert names(old) == ["new.txt"]


def test_a_folder_takes_the_place_of_a_file(tmp_path):
    (tmp_path / "here").write_text("a file stood there")
    (tmp_path / "made").mkdir()
    replace_with(tmp_path / "here", tmp_path / "made")
    assert (tmp_path / "here").is_dir()


def test_a_folder_takes_the_place_of_a_link_and_leaves_its_target(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious.txt").touch()
    (tmp_path / "here").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "made").mkdir()
    replace_with(tmp_path / "here", tmp_path / "made")
    assert not (tmp_path / "here").is_symlink()
    assert names(tmp_path / "elsewhere") == ["precious.txt"]


def test_a_file_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "made").write_text("new")
    replace_with(tmp_path / "here", tmp_path / "made")
    assert (tmp_path / "here").read_text() == "new"


def test_a_checksum_is_the_sha256_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    # The example of FIPS 180-2.
    assert sha256(tmp_path / "file") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@pytest.fixture
def manifest(tmp_path):
    """The checksums of a folder, a folder in it, and a file beside it."""
    (tmp_path / "b/inner").mkdir(parents=True)
    for name in ("b/two.txt", "b/inner/one.txt", "a file.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "b/.hidden").write_text("not part of the result")
    write_manifest(tmp_path / "all.sha256", [tmp_path / "b", tmp_path / "a file.txt"])
    return tmp_path / "all.sha256"


def test_a_manifest_lists_every_file_in_order(manifest):
    expected = [
        f"{hashlib.sha256(name.encode()).hexdigest()}  {name}"
        for name in ("a file.txt", "b/inner/one.txt", "b/two.txt")
    ]
    assert manifest.read_text().splitlines() == expected


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    for name in ("plain.jpg", "two words.jpg", "line\u2028separator.jpg"):
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path / "all.sha256", [tmp_path])
    assert read_manifest(tmp_path / "all.sha256") == {
        file.name: sha256(file) for file in tmp_path.glob("*.jpg")
    }
    (tmp_path / "all.sha256").write_bytes(b"\n")
    with pytest.raises(UserError, match="expected a line with a SHA-256"):
        read_manifest(tmp_path / "all.sha256")


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_sha256sum_agrees_with_a_manifest(manifest):
    command = ["sha256sum", "--check", "--strict", manifest.name]
    done = subprocess.run(command, cwd=manifest.parent, capture_output=True, text=True, check=True)
    assert done.stdout.count(": OK") == 3


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_sha256sum_sees_a_changed_file(manifest):
    (manifest.parent / "b/two.txt").write_text("changed")
    command = ["sha256sum", "--check", "--status", manifest.name]
    assert subprocess.run(command, cwd=manifest.parent, check=False).returncode == 1


def test_files_to_be_moved_lie_on_the_disk_of_the_target_of_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "far")
    assert beside(tmp_path / "data") == tmp_path / ".far.new"
    assert beside(tmp_path / "new") == tmp_path / ".new.new"


def test_they_lie_within_the_root_of_a_disk():
    root = Path("/proc")  # a file system of its own on every Linux
    if not root.is_mount():
        pytest.skip("no root of a disk is known here")
    assert beside(root) == root / ".new"


def dead_process():
    """The number of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def test_the_next_write_deletes_what_a_killed_process_left_of_the_same_file(tmp_path):
    mine = tmp_path / f".file.txt.{dead_process()}.tmp"
    others = [tmp_path / f".other.txt.{dead_process()}.tmp", tmp_path / ".file.txt.word.tmp"]
    running = tmp_path / f".file.txt.{os.getppid()}.tmp"
    for file in (mine, running, *others):
        file.touch()
    write_text(tmp_path / "file.txt", "whole")
    assert names(tmp_path) == sorted(["file.txt", *(file.name for file in (running, *others))])


def test_a_folder_is_listed_once_however_many_files_are_written(tmp_path, monkeypatch):
    listed = []
    scandir, listdir = os.scandir, os.listdir
    monkeypatch.setattr(os, "scandir", lambda *path: listed.append(path) or scandir(*path))
    monkeypatch.setattr(os, "listdir", lambda *path: listed.append(path) or listdir(*path))
    for number in range(20):
        write_text(tmp_path / f"{number}.txt", "text")
    assert len(listed) == 1
