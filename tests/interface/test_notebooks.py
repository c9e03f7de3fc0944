"""The notebooks of the pages run from the first to the last cell, and hold small pictures."""

import shutil
from pathlib import Path

import nbformat
import pytest
from experiment import environment
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs/notebooks").glob("*.ipynb"))
LARGEST = 300_000  # bytes of a notebook


def printed(notebook, folder, monkeypatch):
    """Run a copy in a folder; return what its cells print."""
    folder.mkdir(parents=True)
    path = Path(shutil.copy(notebook, folder))
    monkeypatch.setenv("PATH", environment()["PATH"])
    # IPython keeps its history and profile in the home folder.
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    return "".join(output["text"] for output in outputs if output.get("name") == "stdout")


def test_quick_start_compares_the_maps_of_a_finished_run(tree, monkeypatch):
    (notebook,) = (path for path in NOTEBOOKS if path.stem == "quick_start")
    text = printed(notebook, tree / "docs/notebooks", monkeypatch)
    assert "not found" not in text
    lines = text.splitlines()
    scores = {line.split()[0]: float(line.split()[1]) for line in lines[-2:]}
    assert scores.keys() == {"cam", "recam"}
    assert all(0 < score < 100 for score in scores.values())


@pytest.mark.slow
def test_the_resnet_is_reactivated(tmp_path, monkeypatch):
    (notebook,) = (path for path in NOTEBOOKS if path.stem == "reactivate")
    monkeypatch.setenv("RECAM_FEW_STEPS", "1")
    text = printed(notebook, tmp_path / "notebooks", monkeypatch)
    assert "layer: layer4\n" in text
    assert [line.split()[0] for line in text.splitlines()[-2:]] == ["before", "after"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pages_show_stored_outputs(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert path.stat().st_size < LARGEST
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/jpeg" in output.get("data", {})]
    assert len(pictures) >= 2
    assert not any(output["output_type"] == "error" for output in outputs)
    ran = [cell["execution_count"] for cell in book.cells if cell["cell_type"] == "code"]
    assert ran == list(range(1, len(ran) + 1))
