"""The error of memory that ran out names the missing memory and the number to lower."""

import subprocess
import sys

import pytest
import torch
import yaml
from experiment import ROOT

sys.path.append(str(ROOT / "workflow/scripts"))
from recam.io.atomic import write_manifest
from recam.runtime.memory import lack_of_memory

GPU = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 15.77 GiB of "
    "which 512.00 MiB is free. Including non-PyTorch memory, this process has 15.2 GiB in use."
)


def sentence(error, **numbers):
    return lack_of_memory(error, numbers)


def test_a_gpu_error_names_the_missing_memory():
    assert sentence(
        RuntimeError(GPU), batch_size=16, crop=512, gradient_accumulation_steps=1, lr=0.1
    ) == (
        "out of memory: tried to allocate 2.50 GiB, 0.50 GiB free; "
        "raise gradient_accumulation_steps (1) or lower batch_size (16) or lower crop (512)"
    )


def test_numbers_that_cannot_be_lowered_are_not_named():
    words = sentence(RuntimeError(GPU), batch_size=1, scales=[1.0, 2.0])
    assert words.endswith("free; remove the largest of scales (2.0)")
    assert sentence(RuntimeError(GPU)).endswith("free; use a machine with more memory")


def test_a_cpu_error_names_the_missing_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 52)
    words = sentence(caught.value, batch_size=4)
    assert words.startswith("out of memory: tried to allocate 16777216.00 GiB, ")
    assert words.endswith(" GiB free; lower batch_size (4)")
    of_numpy = sentence(MemoryError("Unable to allocate 9.00 TiB for an array"), batch_size=4)
    assert of_numpy.startswith("out of memory: tried to allocate 9216.00 GiB, ")
    assert sentence(MemoryError(), batch_size=4) == (
        "out of memory: an allocation failed; lower batch_size (4)"
    )


def test_a_limit_of_the_process_is_called_a_limit():
    words = sentence(RuntimeError("you tried to allocate 1 bytes. Error code 12"), batch_size=4)
    said = "out of memory: tried to allocate 0.00 GiB, more than the limit of this process; lower"
    assert words.startswith(said)


def test_cuda_and_its_libraries_give_no_numbers():
    for words in ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling cublas"):
        assert sentence(RuntimeError(words), batch_size=4) == (
            "out of memory: an allocation failed; lower batch_size (4)"
        )


def test_other_errors_give_no_sentence():
    assert sentence(RuntimeError("shapes do not fit"), batch_size=4) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems ignore this limit")
def test_a_step_that_runs_out_of_memory_ends_with_one_line(voc, tmp_path):
    """Images of 100 GiB each; the step's libraries alone stay well below the limit."""
    write_manifest(voc / "images.sha256", [voc / "JPEGImages"])
    numbers = yaml.safe_load((ROOT / "params.yaml").read_text())["train_cam"]
    numbers |= {"backbone": "resnet18", "weights": "none", "batch_size": 4, "random_seed": 0}
    numbers["method"] = "cam"
    numbers |= dict.fromkeys(("resize_min", "resize_max", "crop"), 200_000)
    numbers |= {"device": "cpu", "devices": 1, "precision": "fp32", "data": voc}
    numbers |= {"checkpoint": tmp_path / "cam.pt", "curve": tmp_path / "curve.csv"}
    words = [sys.executable, ROOT / "workflow/scripts/train_cam.py"]
    for name, value in numbers.items():
        if value is not False:
            words += [f"--{name}", *([] if value is True else [str(value)])]
    limited = 'ulimit -v $((16 << 20)) && exec "$@"'
    run = subprocess.run(
        ["bash", "-c", limited, "bash", *words],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert run.returncode == 1
    assert len(run.stdout.splitlines()) == 1
    assert run.stdout.endswith(
        "train_cam: out of memory: an allocation failed; lower batch_size (4) or "
        "lower crop (200000) or lower resize_max (200000)\n"
    )
