"""The key of unfinished work: code, files and numbers that it depends on, and nothing else."""

import sys

import experiment
import pytest

from recam.steps import code
from recam.steps.command import fingerprint
from recam.steps.sections.train_irn import TrainIrn

SCRIPT = "from _helper import rate\n\nprint(rate)\n"
HELPER = "rate = 0.1\n"


@pytest.fixture
def step(tmp_path, monkeypatch):
    """A step of a small project that is running, and an input."""
    scripts = tmp_path / "workflow/scripts"
    scripts.mkdir(parents=True)
    (tmp_path / "src/recam").mkdir(parents=True)
    (scripts / "step.py").write_text(SCRIPT)
    (scripts / "_helper.py").write_text(HELPER)
    (tmp_path / "input").write_text("input")
    monkeypatch.setattr(sys, "argv", [str(scripts / "step.py")])
    return tmp_path


def key(step, *groups):
    """The key in a new process, whose caches of code are empty."""
    for cached in (code._facts, code._known, code._imported_by):
        cached.cache_clear()
    return fingerprint(*groups, inputs=(step / "input",))


def test_comments_keep_work_and_other_changes_of_code_do_not(step):
    before = key(step)
    helper = step / "workflow/scripts/_helper.py"
    helper.write_text(HELPER + "# a comment\n")
    assert key(step) == before
    helper.write_text("rate = 0.5\n")
    assert key(step) != before
    helper.write_text(HELPER)
    (step / "workflow/scripts/step.py").write_text(SCRIPT + "print()\n")
    assert key(step) != before


def test_another_input_makes_another_key(step):
    before = key(step)
    (step / "input").write_text("other")
    assert key(step) != before


def test_a_replaced_file_of_weights_makes_another_key(step):
    sections = experiment.small_params()
    weights = step / "weights.pt"
    weights.write_text("before")
    numbers = TrainIrn(**sections["train_irn"] | {"weights": str(weights)})
    before = key(step, numbers)
    assert key(step, numbers) == before
    weights.write_text("after")
    assert key(step, numbers) != before
