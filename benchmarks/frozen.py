"""Seconds of train_cam with a frozen backbone and stored features, beside training as usual.

``python benchmarks/frozen.py --data data``: one epoch of the default on a finished download step.
Three trainings run one after the other: as usual; frozen, with no feature stored; frozen with
another learning rate and the features of the one before. CPU seconds leave out other programs.
Then one view is read from a file, and computed by ``vit_small_patch16_224`` with random weights.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from commands import command, machine_of, numbers_of, seconds_of

from recam.io.feature_files import FeatureFiles
from recam.models.timm_networks import create_timm
from recam.steps.command import FEATURE_CACHE

LIMIT = "4"  # GiB
SHORT = {"epochs": 1, "min_steps": 0, "threads": 1}
ROUNDS = 20
SIDE, PATCH, CHANNELS = 224, 16, 384  # of vit_small_patch16_224


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data set in VOC layout")
    data = parser.parse_args().data.resolve()
    os.environ[FEATURE_CACHE] = LIMIT
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data").symlink_to(data)
        _trainings(Path(folder))
    print()
    with tempfile.TemporaryDirectory() as folder:
        _lookup(Path(folder))


def _trainings(folder: Path) -> None:
    params = numbers_of()
    lr = params["train_cam"]["lr_classifier"]
    forms = {
        "as usual": {},
        "frozen, nothing stored": {"frozen_backbone": True},
        "frozen, features stored": {"frozen_backbone": True, "lr_classifier": lr / 2},
    }
    print("| train_cam | CPU seconds | seconds | last held-out bce |\n| --- | ---: | ---: | ---: |")
    for name, numbers in forms.items():
        paths = {
            "data": folder / "data",
            "checkpoint": folder / "run/classifier.pt",
            "curve": folder / "run/curve.csv",
            "method": "cam",
            "random_seed": 0,
        }
        used = _cpu_seconds()
        took = seconds_of(
            command("train_cam", machine_of(params), params["train_cam"], SHORT, paths, numbers)
        )
        lines = (folder / "run/curve.csv").read_text().splitlines()
        loss = next(line for line in reversed(lines) if ",held-out bce," in line).split(",")[2]
        print(f"| {name} | {_cpu_seconds() - used:.1f} | {took:.1f} | {float(loss):.3f} |")
        shutil.rmtree(folder / "run")
    files = list((folder / ".cache").rglob("*.npy"))
    size = sum(file.stat().st_size for file in files) / 2**20
    print(f"\n{len(files)} views stored, {size:.0f} MiB")


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _lookup(folder: Path) -> None:
    """A view read and checked, beside a forward pass of one image on one thread."""
    torch.set_num_threads(1)
    network = create_timm("vit_small_patch16_224", output_stride=PATCH).eval()
    image, cells = torch.randn(1, 3, SIDE, SIDE), SIDE // PATCH
    files = FeatureFiles(folder, key="key", limit=2**30)
    files.write("view", np.ones((CHANNELS, cells, cells), np.float16))
    with torch.no_grad():
        passed = _milliseconds(lambda: network.forward_features(image))
    read = _milliseconds(lambda: files.read("view"))
    print(f"one view: {read:.2f} ms read, {passed:.0f} ms computed, 1 : {passed / read:.0f}")


def _milliseconds(run: Callable[[], object]) -> float:
    """The least CPU time of some runs."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1000 * min(times)


if __name__ == "__main__":
    main()
