"""Several processes on one step: the numbers of one process, and clear errors."""

import os
import signal
import subprocess
import sys
from functools import partial
from itertools import islice

import pytest
import torch
import yaml
from experiment import ROOT, quick_environment
from together import made, model_config_of, trained, write_noise

from recam.catalogue.methods import make_classifier
from recam.io.atomic import write_manifest
from recam.io.checkpoints import save_checkpoint
from recam.runtime.distributed import all_reduce_sum, is_first, processes, shard

SMALL = {
    "backbone": "resnet18",
    "weights": "none",
    "epochs": 1,
    "batch_size": 4,
    "lr": 0.001,
    "resize_min": 48,
    "resize_max": 60,
    "crop": 48,
    "scales": [1.0, 1.5],
}
MACHINE = {"device": "cpu", "devices": 2, "precision": "fp32", "threads": 1}
# A step whose first process would never notice by itself that another has exited.
PATIENT_STEP = '''
"""A step."""
import os, sys, threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
sys.path.insert(0, {scripts!r})
from _library import run
from recam.steps.launch import distributed
from recam.steps.paths import Out
from recam.steps.sections.machine import Machine
from recam.steps.sections.pictures import Draw
from recam.runtime.distributed import is_first, wait_for_all

@dataclass(frozen=True, kw_only=True)
class Paths:
    made: Annotated[Path, Out("nothing")]

@distributed
def main(paths: Paths, numbers: Draw, machine: Machine) -> None:
    os.write(1, f"at work: {{os.getpid()}}\\n".encode())  # in one piece
    wait_for_all()
    if is_first():
        threading.Event().wait()
    {of_the_other}

run(main)
'''


@pytest.fixture
def data(tmp_path):
    """Eight noisy images with masks."""
    root = tmp_path / "data"
    write_noise(root)
    return root


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(data, tmp_path):
    """ReCAM in parts of a batch; a segmenter and IRN, whose losses judge some pixels only."""
    masks = data / "SegmentationClass"
    (tmp_path / "alone").mkdir()
    alone = trained(data, masks, tmp_path / "alone")
    words = ["python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    out = tmp_path / "together.pt"
    run = subprocess.run(
        [*words, ROOT / "tests/together.py", data, masks, out],
        env=quick_environment() | {"OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    together = torch.load(out)
    assert set(alone) == set(together)
    for kind, tensors in alone.items():
        assert len(tensors) > 20
        for name, expected in tensors.items():
            close = {"rtol": 1e-4, "atol": 1e-4}
            torch.testing.assert_close(
                together[kind][name], expected, **close, msg=f"{kind} {name}"
            )


@pytest.fixture
def step(data):
    """Run a step as a user would, on the CPU with few and small images; return the process."""

    def run(name, **arguments):
        params = yaml.safe_load((ROOT / "params.yaml").read_text())[name]
        params |= {key: value for key, value in SMALL.items() if key in params}
        given = params | MACHINE | {"data": data} | arguments
        # Processes that a step starts recognise it as their parent, which a fork is not.
        python = "python" if given["devices"] == 1 else sys.executable
        words = [python, ROOT / f"workflow/scripts/{name}.py"]
        for key, value in given.items():
            values = value if isinstance(value, list) else [value]
            if value is not False:
                words += [f"--{key}", *([] if value is True else map(str, values))]
        return subprocess.run(
            words,
            env=quick_environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    write_manifest(data / "images.sha256", [data / "JPEGImages"])
    return run


@pytest.fixture
def train(step, tmp_path):
    """Run train_cam; return the finished process."""
    out = tmp_path / "out"
    paths = {"checkpoint": out / "cam.pt", "curve": out / "curve.csv", "log": out / "cam.log"}
    return partial(step, "train_cam", method="cam", random_seed=0, min_steps=0, **paths)


@pytest.mark.slow
def test_a_step_starts_its_processes_itself_and_reports_and_logs_once(train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECAM_WATCH", "tensorboard")
    run = train(frozen_batch_norm=True)
    assert run.returncode == 0, run.stdout
    assert run.stdout.count("epoch 1/1: bce") == run.stdout.count("done in") == 1
    assert (tmp_path / "out/cam.log").read_text() == run.stdout
    assert (tmp_path / "out/cam.pt").is_file()
    pytest.importorskip("tensorboard")
    assert len(list(tmp_path.glob("logs/watch/*/out/train_cam/events.*"))) == 1


def test_an_error_of_all_processes_is_reported_once(train, tmp_path):
    run = train(frozen_batch_norm=True, batch_size=3)
    assert run.returncode == 1
    assert len(run.stdout.splitlines()) == 1
    words = "batch_size: expected a multiple of the 2 devices that share a batch, got 3"
    assert words in run.stdout
    assert (tmp_path / "out/cam.log").read_text() == run.stdout
    assert not (tmp_path / "out/cam.pt").exists()


@pytest.mark.slow
def test_cams_made_by_two_processes_are_those_of_one_to_the_byte(step, data, tmp_path):
    checkpoint, classes = tmp_path / "cam.pt", ("cat", "dog")
    tensors = made(make_classifier, "cam", classes).state_dict()
    save_checkpoint(checkpoint, tensors, model_config_of("cam", classes))
    alone, together = (
        {"checkpoint": checkpoint, "cams": out / "cams", "manifest": out / "cams.sha256"}
        for out in (tmp_path / "alone", tmp_path / "together")
    )
    for paths, devices in ((alone, 1), (together, 2)):
        run = step("make_cams", method="cam", **paths, devices=devices)
        assert run.returncode == 0, run.stdout
    checksums = alone["manifest"].read_text()
    assert len(checksums.splitlines()) == 8
    assert together["manifest"].read_text() == checksums


@pytest.fixture
def patient(tmp_path):
    """The command line of a step of two processes, the first of which waits for ever."""

    def words(of_the_other):
        scripts = str(ROOT / "workflow/scripts")
        script = tmp_path / "step.py"
        script.write_text(PATIENT_STEP.format(scripts=scripts, of_the_other=of_the_other))
        made = str(tmp_path / "made")
        machine = [f"--{name}={value}" for name, value in MACHINE.items()]
        return [sys.executable, script, "--made", made, "--examples=1", *machine]

    return words


def test_processes_end_when_the_step_that_started_them_is_killed(patient):
    """Its output ends when the last of them exits, since they share it."""
    pipe = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(patient("wait_for_all()"), **pipe) as starter:
        lines = iter(starter.stdout.readline, "")
        at_work = (int(line.split()[-1]) for line in lines if "at work" in line)
        others = list(islice(at_work, 2))
        starter.kill()
        try:
            said, _ = starter.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            for pid in others:
                os.kill(pid, signal.SIGKILL)
            raise
    assert len(others) == 2
    assert len(said.splitlines()) == 1
    assert "devices: the process that started the others was killed" in said


def test_a_process_that_fails_alone_ends_the_step(patient):
    """The only other output is its traceback."""
    run = subprocess.run(
        patient("raise ValueError('of one process only')"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=60,
    )
    assert run.returncode == 1
    assert run.stdout.count("at work") == 2
    assert run.stdout.count("Traceback") == 1
    assert "ValueError: of one process only" in run.stdout


def test_alone_a_process_does_everything():
    assert processes() == 1
    assert is_first()
    assert shard([3, 1, 2]) == [3, 1, 2]
    values = torch.tensor([1.0, 2.0])
    assert all_reduce_sum(values) is values
