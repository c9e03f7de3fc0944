"""Devices by name, and those that steps which run side by side leave to each other."""

import os
import tempfile
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from recam.core.errors import UserError
from recam.runtime.distributed import processes
from recam.runtime.threads import usable_cores

# Locks of GPUs that this process, or those it starts, work on; they end with it.
_held: list[FileLock] = []


@cache
def make_device(name: str, *, threads: int | None = None) -> torch.device:
    """``auto`` is a GPU where there is one, else the CPU, which works with so many threads.

    Of several GPUs one that no other step here has taken; of several processes that work together
    each has its own. The number of threads is the order of sums, and so part of what makes results
    the same; so is TF32, in which GPUs round the factors of products of single precision to 10
    bits: it is switched off. Asked again, a process gets the same device.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if threads:
        torch.set_num_threads(threads)
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device: got {name}, but torch sees no GPU; set device: auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if processes() > 1:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    elif name in ("auto", "cuda"):
        device = torch.device("cuda", take(1, of=torch.cuda.device_count())[0])
    else:
        device = torch.device(name)
    torch.cuda.set_device(device)
    return device


def how_many(devices: int | str, *, device: str) -> int:
    """The number of processes for ``devices: auto`` or a number, each with a device of its own.

    On a CPU each takes cores. Raises UserError where there are fewer than asked for.
    """
    on_gpus = device != "cpu" and torch.cuda.is_available()
    if on_gpus and ":" in device:
        there, what = 1, f"{device} is one GPU"
    else:
        there = torch.cuda.device_count() if on_gpus else usable_cores()
        what = f"there are {there} {'GPUs' if on_gpus else 'cores'}"
    if devices == "auto":
        return there if on_gpus else 1
    if int(devices) > there:
        raise UserError(f"devices: asked for {devices}, but {what}; lower devices")
    return int(devices)


def take(count: int, *, of: int, folder: Path | None = None) -> list[int]:
    """The numbers of so many GPUs of this machine, until this process ends.

    Those that no other process here has taken this way come first. Where too few are free some are
    shared: GPUs can be, as long as their memory lasts.
    """
    if of == 1:
        return [0]
    folder = folder or Path(tempfile.gettempdir())
    free: list[int] = []
    for number, name in enumerate(_names(of)):
        lock = FileLock(folder / f"recam-gpu-{name}.lock", timeout=0, mode=0o666)
        if len(free) < count and _is_ours(lock):
            free.append(number)
    return (free + [number for number in range(of) if number not in free])[:count]


def visible_gpus() -> list[str]:
    """The names, as in CUDA_VISIBLE_DEVICES, of the GPUs that torch sees."""
    return _names(torch.cuda.device_count())


def _names(count: int) -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return visible if len(visible) == count else [str(number) for number in range(count)]


def _is_ours(lock: FileLock) -> bool:
    try:
        lock.acquire()
    except (Timeout, OSError):
        return False
    _held.append(lock)
    return True


def loader_workers(device: torch.device) -> int:
    """Processes that load images: none on a CPU, which trains on all its cores; 8 beside a GPU."""
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes on this machine, by torchrun
    return 0 if device.type == "cpu" else min(8, max(1, usable_cores() // beside))
