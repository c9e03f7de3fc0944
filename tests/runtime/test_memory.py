"""Memory that ran out: how much was missing, and what to lower."""

import subprocess
import sys

import pytest
import torch
import yaml
from experiment import ROOT

sys.path.append(str(ROOT / "workflow/scripts"))
from recam.runtime.memory import lack_of_memory

GPU = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 15.77 GiB of "
    "which 512.00 MiB is free. Including non-PyTorch memory, this process has 15.2 GiB in use."
)


def told(error, **numbers):
    return lack_of_memory(error, numbers)


def test_a_gpu_says_by_how_much_it_was_too_small():
    assert told(
        RuntimeError(GPU), batch_size=16, crop=512, gradient_accumulation_steps=1, lr=0.1
    ) == (
        "out of memory: 2.50 GiB more were needed and 0.50 GiB were free, 2.00 GiB too few; "
        "raise gradient_accumulation_steps (1) or lower batch_size (16) or lower crop (512)"
    )


def test_what_cannot_be_lowered_is_not_named():
    words = told(RuntimeError(GPU), batch_size=1, scales=[1.0, 2.0])
    assert words.endswith("too few; leave out the largest of scales (2.0)")
    assert told(RuntimeError(GPU)).endswith("too few; use a machine with more")


def test_a_cpu_says_so_too():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 52)
    words = told(caught.value, batch_size=4)
    assert words.startswith("out of memory: 16777216.00 GiB more were needed and ")
    assert words.endswith(" GiB too few; lower batch_size (4)")
    of_numpy = told(MemoryError("Unable to allocate 9.00 TiB for an array"), batch_size=4)
    assert of_numpy.startswith("out of memory: 9216.00 GiB more were needed and ")
    assert told(MemoryError(), batch_size=4) == (
        "out of memory: more memory was needed than there is; lower batch_size (4)"
    )


def test_a_limit_of_the_process_is_not_called_a_lack():
    words = told(RuntimeError("you tried to allocate 1 bytes. Error code 12"), batch_size=4)
    said = "out of memory: 0.00 GiB more were needed than this process may have; lower batch_size"
    assert words.startswith(said)


def test_cuda_and_its_libraries_say_it_without_numbers():
    for words in ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling cublas"):
        assert told(RuntimeError(words), batch_size=4) == (
            "out of memory: more memory was needed than there is; lower batch_size (4)"
        )


def test_other_mistakes_are_not_taken_for_it():
    assert told(RuntimeError("shapes do not fit"), batch_size=4) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to such a limit")
def test_a_step_that_runs_out_of_it_says_so_in_one_line(voc, tmp_path):
    """Images of 100 GiB each, and a limit that the step's libraries alone stay well below."""
    (voc / "images.sha256").write_text("of no interest here\n")
    numbers = yaml.safe_load((ROOT / "params.yaml").read_text())["train_cam"]
    numbers |= {"backbone": "resnet18", "weights": "none", "batch_size": 4, "random_seed": 0}
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
        "train_cam: out of memory: more memory was needed than there is; lower batch_size (4) or "
        "lower crop (200000) or lower resize_max (200000)\n"
    )
