"""The table of experiments: numbers by commit, and those that are not of their parameters."""

import hashlib
import subprocess
import sys

import pytest
import yaml
from experiment import ROOT, command, commit, dvc

sys.path.insert(0, str(ROOT / "workflow"))

from experiments import Row, stale, table

METRICS = b'{"seg": {"cam": {"miou": 40.0}}}\n'
MD5 = hashlib.md5(METRICS).hexdigest()  # noqa: S324 DVC's checksum
STEP = """\
import json, sys
from pathlib import Path
from recam.report.details import write_results

lr = float(sys.argv[1])
metrics = {"seg": {"cam": {"split": "val", "miou": 40 + 100 * lr, "miou_std": 0.0}}}
out = Path("results")
write_results(metrics, replicates=1, chosen=out / "metrics.json", every=out / "details.csv")
"""


def lock(**changes):
    """The lock of a guard, a training, a scoring of its checkpoint, and a step after both."""
    outs = {"path": "results/metrics.json", "md5": MD5}
    return {
        "stages": {
            "check_graph": {
                "params": {"params.yaml": {"methods": ["cam"], "draw": 2, "train": {"lr": 0.1}}},
                "outs": [{"path": "code.txt", "md5": "c"}],
            },
            "train": {
                "params": {"params.yaml": {"train": {"lr": 0.1}, "machine.threads": 1}},
                "deps": [{"path": "code.txt", "md5": "c"}, {"path": "own", "md5": "o"}],
                "outs": [{"path": "net.pt", "md5": "n"}],
            },
            "score": {"deps": [{"path": "net.pt", "md5": "n"}], "outs": [outs]},
            "draw": {"params": {"params.yaml": {"draw": 2}}, "outs": [{"path": "p", "md5": "p"}]},
        }
        | changes
    }


PARAMS = {"methods": ["cam"], "draw": 2, "train": {"lr": 0.1}, "machine": {"threads": 1}}


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, []),
        ({"draw": 3}, []),  # read by a later step only
        ({"train": {"lr": 0.2}}, ["train.lr"]),
        ({"train": {"lr": 0.1, "epochs": 3}}, ["train.epochs"]),
        ({"train": {}}, ["train.lr"]),
        ({"machine": {"threads": 2, "watch": "x"}}, ["machine.threads"]),
        ({"methods": ["cam", "recam"]}, ["methods"]),
    ],
)
def test_numbers_are_stale_where_a_step_before_them_read_another_value(change, reasons):
    assert stale(lock(), PARAMS | change, METRICS) == reasons


def test_numbers_are_stale_where_a_file_before_them_was_made_anew():
    again = lock(train={"outs": [{"path": "net.pt", "md5": "other"}]})
    assert stale(again, PARAMS, METRICS) == ["net.pt"]


def test_numbers_that_were_not_recorded_are_stale():
    assert stale(lock(), PARAMS, b"{}") == ["results/metrics.json"]
    assert stale({}, PARAMS, METRICS) == ["dvc.lock"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Two commits: one with its numbers, one whose parameter changed without a run."""
    folder = tmp_path_factory.mktemp("repository")
    for words in ("init --quiet", "config user.email us@example.org", "config user.name us"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    dvc(folder, "init", "--quiet")
    (folder / "results").mkdir()
    (folder / "step.py").write_text(STEP)
    stage = {
        "cmd": f"{sys.executable} step.py ${{train.lr}}",
        "params": ["train"],
        "outs": [{"results/details.csv": {"cache": False}}],
        "metrics": [{"results/metrics.json": {"cache": False}}],
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"summarize": stage}}))
    (folder / "params.yaml").write_text("train: {lr: 0.1}\n")
    run = dvc(folder, "repro")
    assert run.returncode == 0, run.stdout
    commit(folder, "first")
    (folder / "params.yaml").write_text("train: {lr: 0.2}\n")
    commit(folder, "second")
    return folder


def shown(folder, *options):
    run = command(folder, "python", ROOT / "workflow/experiments.py", *options)
    return run.returncode, run.stdout


def test_a_commit_without_its_run_is_stale_and_the_one_before_is_not(repository):
    code, text = shown(repository, "-n", 2)
    assert code == 0, text
    heads, names, here, second, first = text.splitlines()
    assert heads.split() == ["mIoU,", "%", "seg"]
    assert names.split() == ["cam", "numbers", "changed"]
    assert here.split() == ["workspace", "50.0", "stale:", "train.lr"]
    assert second.split()[1:] == ["50.0", "stale:", "train.lr"]
    assert first.split()[1:] == ["50.0"]


def test_a_run_makes_the_numbers_those_of_the_parameters(repository):
    assert dvc(repository, "repro").returncode == 0
    assert shown(repository)[1].splitlines()[2].split() == ["workspace", "60.0"]


def test_a_wrong_option_is_one_sentence(repository):
    code, text = shown(repository, "--nonsense")
    assert code == 1
    assert text == "`dvc exp show` failed: unrecognized arguments: --nonsense\n"


def test_a_narrow_terminal_shows_the_later_stages():
    metrics = {stage: {"cam": {"miou": 1.5}, "recam": {}} for stage in ("cams", "pseudo", "seg")}
    rows = [Row(title="a", metrics=metrics, status="", changed="lr=2")]
    assert table(rows, width=90) == (
        "mIoU, %  cams         pseudo         seg\n"
        "          cam  recam     cam  recam  cam  recam  numbers  changed\n"
        "a         1.5            1.5         1.5                  lr=2\n"
    )
    assert table(rows, width=60).splitlines()[0] == "mIoU, %  pseudo         seg"
    assert table(rows, width=1).splitlines()[0] == "mIoU, %  seg"
