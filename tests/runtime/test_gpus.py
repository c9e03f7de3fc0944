"""The number of GPUs that Snakemake may use."""

import os

import pytest

from recam.runtime.gpus import gpus_here

count = gpus_here.__wrapped__  # not the cached answer


@pytest.mark.parametrize(
    ("visible", "expected"), [("0", 1), ("0,1,3", 3), ("", 0), ("-1", 0), ("GPU-5c, GPU-7d", 2)]
)
def test_visible_devices_are_counted(monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count() == expected


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Put a program nvidia-smi that prints the given lines into an otherwise empty path."""

    def install(text):
        file = tmp_path / "nvidia-smi"
        file.write_text(f"#!/bin/sh\nprintf '{text}'\n")
        file.chmod(0o755)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + "/bin")
    return install


def test_a_machine_without_the_driver_has_no_gpu(program):
    assert count() == 0


def test_listed_gpus_are_counted(program):
    program("GPU 0: one (UUID: a)\\nGPU 1: two (UUID: b)\\n")
    assert count() == 2


def test_a_driver_that_sees_none_has_no_gpu(program):
    program("No devices were found\\n")
    assert count() == 0
