"""Changes of a finished experiment, and their undoing, for `make matrix`."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import experiment

Change = Callable[[Path], AbstractContextManager[None]]


@contextmanager
def set_aside(path: Path) -> Iterator[Path]:
    """Move a file or folder away and back; its times stay, by which engines recognise it."""
    parent = path.parent.stat()
    with tempfile.TemporaryDirectory(dir=path.parents[len(path.parents) - 2]) as folder:
        away = Path(folder, path.name)
        path.rename(away)
        try:
            yield away
        finally:
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            away.rename(path)
            os.utime(path.parent, ns=(parent.st_atime_ns, parent.st_mtime_ns))


def replaced(name: str, text: Callable[[bytes], bytes]) -> Change:
    """Other content of a file, or of the first file of a folder."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        path = folder / name
        if path.is_dir():
            path = min(p for p in path.rglob("*") if p.is_file() and p.name[0] != ".")
        with set_aside(path) as away:
            path.write_bytes(text(away.read_bytes()))
            yield

    return change


def params_replaced(edit: Callable[[dict], object]) -> Change:
    """params.yaml with other numbers."""

    def text(old: bytes) -> bytes:
        params = yaml.safe_load(old)
        edit(params)
        return yaml.safe_dump(params, sort_keys=False).encode()

    return replaced("params.yaml", text)


def another_shape(edit: Callable[[dict], object]) -> Change:
    """Other replicates or methods, and a rewritten dvc.yaml."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        with replaced("dvc.yaml", bytes)(folder), params_replaced(edit)(folder):
            written = experiment.engines(folder, "write")
            _require(written)
            yield

    return change


def deleted(name: str) -> Change:
    """A deleted output."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        with set_aside(folder / name):
            yield

    return change


def touched(name: str) -> Change:
    """A new time of a file, or of all files in a folder, with the same content."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        path = folder / name
        files = [path, *(path.rglob("*") if path.is_dir() else [])]
        times = {file: file.stat() for file in files}
        for file in files:
            os.utime(file)
        yield
        for file, stat in reversed(times.items()):
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    return change


def checked_out(name: str) -> Change:
    """A lost output that DVC restored, or git if git keeps it."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        with set_aside(folder / name):
            by_git = name == "results/metrics.json" or re.fullmatch(r"results/[^/]*\.csv", name)
            words = ["git", "checkout", "--", name] if by_git else ["dvc", "checkout", name]
            done = experiment.command(folder, *words)
            _require(done)
            yield

    return change


def _require(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise RuntimeError(done.stdout)
