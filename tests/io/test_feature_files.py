"""Stored features: round trip, limit, damage, and folders of other networks."""

import os
import time

import numpy as np
import pytest

from recam.io.feature_files import FeatureFiles

FEATURES = np.arange(2 * 3 * 4, dtype=np.float16).reshape(2, 3, 4)
SIZE = 128 + FEATURES.nbytes + 4  # bytes of a file: header, numbers, CRC


def files(root, *, key="a", limit=100 * SIZE):
    return FeatureFiles(root, key=key, limit=limit)


def test_what_is_written_is_read(tmp_path):
    store = files(tmp_path)
    assert store.read("ab-1") is None
    assert store.write("ab-1", FEATURES)
    np.testing.assert_array_equal(store.read("ab-1"), FEATURES)
    assert files(tmp_path, key="b").read("ab-1") is None


@pytest.mark.parametrize("place", [0, 70, 130, -1])
def test_a_changed_byte_is_noticed(tmp_path, place):
    store = files(tmp_path)
    store.write("ab-1", FEATURES)
    path = tmp_path / "a/ab/ab-1.npy"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert store.read("ab-1") is None


@pytest.mark.parametrize("size", [0, 3, 50, SIZE - 5])
def test_a_cut_file_is_noticed_and_replaced(tmp_path, size):
    store = files(tmp_path)
    store.write("ab-1", FEATURES)
    path = tmp_path / "a/ab/ab-1.npy"
    path.write_bytes(path.read_bytes()[:size])
    assert store.read("ab-1") is None
    assert store.write("ab-1", FEATURES)
    np.testing.assert_array_equal(store.read("ab-1"), FEATURES)


@pytest.mark.parametrize("fit", [0, 1, 3])
def test_files_take_no_more_than_the_limit(tmp_path, fit):
    store = files(tmp_path, limit=fit * SIZE + SIZE // 2)
    written = [store.write(f"{number:02}-1", FEATURES) for number in range(5)]
    assert written == [True] * fit + [False] * (5 - fit)
    assert sum(p.stat().st_size for p in tmp_path.rglob("*.npy")) == fit * SIZE
    assert store.count() == fit
    assert store.is_full
    # A later training counts what is there.
    assert not files(tmp_path, limit=fit * SIZE + SIZE // 2).write("99-1", FEATURES)


def test_a_limit_of_zero_writes_nothing(tmp_path):
    store = files(tmp_path / "new", limit=0)
    store.touch()
    assert not store.write("ab-1", FEATURES)
    assert not (tmp_path / "new").exists()


def test_a_disk_that_takes_no_file_ends_nothing(tmp_path):
    (tmp_path / "root").write_text("in the way")
    store = files(tmp_path / "root")
    store.touch()
    assert not store.write("ab-1", FEATURES)
    assert store.read("ab-1") is None
    assert "root" in store.obstacle


def unused_since(folder, hours):
    then = time.time() - 3600 * hours
    os.utime(folder / ".used", (then, then))


def test_at_the_limit_the_least_recently_used_network_goes_first(tmp_path):
    for hours, key in ((3, "b"), (2, "c"), (0, "d")):
        files(tmp_path, key=key).write("ab-1", FEATURES)
        unused_since(tmp_path / key, hours)
    store = files(tmp_path, limit=3 * SIZE)
    assert store.write("ab-1", FEATURES)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["a", "c", "d"]
    assert store.write("ab-2", FEATURES)
    assert not store.write("ab-3", FEATURES)  # d was in use within the hour
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["a", "d"]
