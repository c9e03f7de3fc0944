"""Devices by name."""

import torch

from recam.cores import usable_cores
from recam.errors import UserError


def make_device(name: str, *, threads: int | None = None) -> torch.device:
    """``auto`` is the GPU where there is one, else the CPU, which works with so many threads.

    The number of threads is the order of sums, and so part of what makes results the same.
    """
    if threads:
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device: got {name}, but torch sees no GPU; set device: auto or cpu")
    return torch.device(name)


def loader_workers(device: torch.device) -> int:
    """Processes that load images: none on a CPU, which trains on all its cores; 8 beside a GPU."""
    return 0 if device.type == "cpu" else min(8, usable_cores())
