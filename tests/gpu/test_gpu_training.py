"""Training on a device: a resumed run, and runs of one and of two processes."""

import os
import subprocess
import sys

import pytest
import torch
from experiment import ROOT
from together import KINDS, made, trained, write_noise

from recam.catalogue.methods import make_classifier
from recam.pipeline.optimizer import Recipe
from recam.pipeline.training import train

pytestmark = pytest.mark.gpu

EPOCHS, STEPS = 3, 2
# Sums on a GPU have no fixed order, and two processes add in another order than one.
CLOSE = {"rtol": 1e-3, "atol": 1e-3}


@pytest.fixture(scope="module")
def made_data(tmp_path_factory):
    """A data set and the folder of its masks."""
    root = tmp_path_factory.mktemp("gpu") / "data"
    write_noise(root)
    return root, root / "SegmentationClass"


@pytest.fixture(scope="module")
def alone(device, made_data, tmp_path_factory):
    """By kind of network, its tensors and losses after a run of this process alone."""
    return trained(*made_data, tmp_path_factory.mktemp("alone"), device=device)


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_that_train_together_end_like_one_alone(
    processes, device, alone, made_data, tmp_path
):
    if device.type == "cuda" and processes > torch.cuda.device_count():
        pytest.skip(f"needs {processes} GPUs")
    out = tmp_path / "together.pt"
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    run = subprocess.run(
        [sys.executable, *words, ROOT / "tests/together.py", *made_data, out, device.type],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    together = torch.load(out, map_location="cpu")
    assert set(together) == set(KINDS)
    for kind, tensors in alone.items():
        assert_close(together[kind], tensors)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_a_killed_run_ends_like_an_unbroken_one(precision, device, tmp_path):
    def fit(some_batches, state):
        model = made(make_classifier, "recam", ("cat", "dog"))
        recipe = Recipe(
            epochs=EPOCHS,
            learning_rates={"": 0.001},
            momentum=0.9,
            weight_decay=1e-4,
            precision=precision,
        )
        given = {"steps_per_epoch": STEPS, "recipe": recipe, "device": device, "key": "key"}
        curve = train(model, some_batches, state=tmp_path / state, **given)
        return {**model.state_dict(), **{f"{e.epoch} {e.loss}": e.value for e in curve}}

    def killed_in_epoch_2(epoch):
        for batch in batches(epoch):
            yield batch
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(killed_in_epoch_2, "killed.pt")
    assert_close(fit(batches, "killed.pt"), fit(batches, "unbroken.pt"))


def batches(epoch):
    """Random batches that depend on the epoch only."""
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(STEPS):
        images = torch.randn(4, 3, 64, 64, generator=generator)
        yield [images, torch.rand(4, 2, generator=generator) < 0.5]


def assert_close(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        pair = (torch.as_tensor(found[name]).cpu(), torch.as_tensor(value).cpu())
        torch.testing.assert_close(*pair, **CLOSE, msg=name)
