"""Tests for a GPU: `pytest tests/gpu`; with `RECAM_TEST_DEVICE=cpu` they run without one."""

import os

import pytest
import torch

from recam.runtime.devices import make_device


@pytest.fixture(scope="session")
def device():
    """The device that RECAM_TEST_DEVICE names; without one a GPU, or the test is skipped."""
    name = os.environ.get("RECAM_TEST_DEVICE", "cuda")
    if name != "cpu" and not torch.cuda.is_available():
        pytest.skip("needs a GPU; RECAM_TEST_DEVICE=cpu tries it on the CPU")
    return make_device(name)
