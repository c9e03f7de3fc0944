"""Several processes on one step: the numbers of one, and plain words where they cannot be."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from experiment import ROOT
from PIL import Image
from together import trained

from recam.labels import IGNORE
from recam.share import is_first, mine, processes, summed


@pytest.fixture
def data(tmp_path):
    """Eight noisy images of 60 x 48 pixels; masks of which some are almost wholly ignored."""
    random = np.random.default_rng(0)
    root = tmp_path / "data"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    rows = ["id,cat,dog"]
    for number in range(8):
        pixels = random.integers(0, 256, (48, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{number}.png")
        mask = np.full((48, 60), IGNORE, np.uint8)
        rows_known = 48 if number % 2 else 6  # so the parts of a batch differ in what they judge
        mask[:rows_known, :30], mask[:rows_known, 30:] = number % 3, 0
        Image.fromarray(mask).save(root / f"SegmentationClass/{number}.png")
        rows.append(f"{number},{number % 2},{int(number % 3 == 0)}")
    (root / "classes.txt").write_text("cat\ndog\n")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join("01234567") + "\n")
    return root


def test_two_processes_give_the_numbers_of_one(data, tmp_path):
    """ReCAM in parts of a batch; a segmenter and IRN, whose losses judge some pixels only."""
    masks = data / "SegmentationClass"
    (tmp_path / "alone").mkdir()
    alone = trained(data, masks, tmp_path / "alone")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    out = tmp_path / "together.pt"
    run = subprocess.run(
        [*words, ROOT / "tests/together.py", data, masks, out],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
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
def train(data, tmp_path):
    """Run train_cam as a user would, on the CPU with few and small images; what it said."""

    def run(**changes):
        params = yaml.safe_load((ROOT / "params.yaml").read_text())["train_cam"]
        small = {"backbone": "resnet18", "weights": "none", "epochs": 1, "batch_size": 4}
        small |= {"resize_min": 48, "resize_max": 60, "crop": 48, "threads": 1, "lr": 0.001}
        machine = {"device": "cpu", "devices": 2, "precision": "fp32", "random_seed": 0}
        out = tmp_path / "out"
        paths = {"data": data, "checkpoint": out / "cam.pt", "curve": out / "curve.csv"}
        paths |= {"log": out / "cam.log"}
        words = [sys.executable, ROOT / "workflow/scripts/train_cam.py"]
        for name, value in (params | small | machine | paths | changes).items():
            if value is not False:
                words += [f"--{name}", *([] if value is True else [str(value)])]
        return subprocess.run(
            words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )

    (data / "images.sha256").write_text("of no interest here\n")
    return run


def test_a_step_starts_its_processes_itself_and_is_told_and_logged_once(train, tmp_path):
    run = train(frozen_batch_norm=True)
    assert run.returncode == 0, run.stdout
    assert run.stdout.count("epoch 1/1: bce") == run.stdout.count("done in") == 1
    assert (tmp_path / "out/cam.log").read_text() == run.stdout
    assert (tmp_path / "out/cam.pt").is_file()


def test_a_mistake_that_all_processes_find_is_told_once(train, tmp_path):
    run = train(frozen_batch_norm=True, batch_size=3)
    assert run.returncode == 1
    assert len(run.stdout.splitlines()) == 1
    words = "batch_size: expected a multiple of the 2 devices that share a batch, got 3"
    assert words in run.stdout
    assert (tmp_path / "out/cam.log").read_text() == run.stdout
    assert not (tmp_path / "out/cam.pt").exists()


def test_alone_a_process_does_everything():
    assert processes() == 1
    assert is_first()
    assert mine([3, 1, 2]) == [3, 1, 2]
    values = torch.tensor([1.0, 2.0])
    assert summed(values) is values
