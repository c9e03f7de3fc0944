"""Receipts: every change to a step's outputs is noticed, whatever the times of files say."""

import os
from pathlib import Path

import pytest

from recam.core.errors import UserError
from recam.io.atomic import write_manifest
from recam.io.receipts import altered, write_receipt


@pytest.fixture
def step(tmp_path, monkeypatch):
    """A step's outputs: a file, a folder with a list of checksums, a folder without."""
    monkeypatch.chdir(tmp_path)
    for name in ("run/net.pt", "run/cams/1.npz", "run/cams/2.npz", "run/figures/a.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())
    write_manifest(Path("run/cams.sha256"), [Path("run/cams")])
    outputs = [Path("run", name) for name in ("net.pt", "cams", "cams.sha256", "figures")]
    receipt = Path("logs/step.sha256")
    write_receipt(receipt, outputs, {Path("logs/code.txt"): "0" * 64})
    return receipt, outputs


def rewritten(path: Path, content: bytes) -> None:
    """Other content under the old time."""
    stat = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_untouched_outputs_are_as_they_were_written(step):
    assert altered(*step) == []
    os.utime("run/net.pt", ns=(0, 0))
    Path("run/cams/.snakemake_timestamp").touch()
    assert altered(*step) == []


@pytest.mark.parametrize(
    "name", ["run/net.pt", "run/cams/2.npz", "run/figures/a.png", "run/cams.sha256"]
)
def test_another_byte_under_the_old_time_is_noticed(step, name):
    content = Path(name).read_bytes()
    rewritten(Path(name), bytes([content[0] ^ 1]) + content[1:])
    assert Path(name) in altered(*step)


@pytest.mark.parametrize("name", ["run/net.pt", "run/cams/2.npz", "run/figures/a.png"])
def test_a_missing_file_is_noticed(step, name):
    Path(name).unlink()
    assert altered(*step) == [Path(name)]


@pytest.mark.parametrize("name", ["run/cams/3.npz", "run/figures/deep/b.png"])
def test_a_foreign_file_is_noticed(step, name):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).touch()
    assert altered(*step) == [Path(name)]


def test_a_file_and_its_line_changed_together_are_noticed_by_the_list(step):
    Path("run/cams/1.npz").write_bytes(b"other")
    write_manifest(Path("run/cams.sha256"), [Path("run/cams")])
    assert altered(*step) == [Path("run/cams.sha256")]


def test_a_file_known_before_the_step_is_compared_where_it_is_asked_for(step):
    receipt, outputs = step
    code = Path("logs/code.txt")
    code.write_text("other code")
    assert altered(receipt, [*outputs, code]) == [code]


def test_a_data_set_has_several_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data/images/1.jpg", "data/masks/1.png", "data/check/report.md"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    for name in ("images", "masks"):
        write_manifest(Path(f"data/{name}.sha256"), [Path("data", name)])
    receipt = Path("receipt.sha256")
    write_receipt(receipt, [Path("data"), Path("data/check/report.md")], {})
    outputs = [Path("data", name) for name in ("images", "masks", "check/report.md")]
    assert len(receipt.read_text().splitlines()) == 3
    assert altered(receipt, outputs) == []
    Path("data/masks/1.png").write_text("drawn over")
    assert altered(receipt, outputs) == [Path("data/masks/1.png")]


def test_without_a_receipt_nothing_is_known(step):
    receipt, outputs = step
    receipt.unlink()
    assert altered(receipt, outputs) == sorted(outputs)


def test_a_broken_list_is_named(step):
    Path("run/cams.sha256").write_bytes(b"\xff no checksum")
    with pytest.raises(UserError, match=r"run/cams\.sha256: damaged"):
        altered(*step)
