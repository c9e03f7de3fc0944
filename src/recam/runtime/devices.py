"""Device selection, and locks so that concurrent steps use different GPUs."""

import os
import tempfile
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from recam.core.errors import UserError
from recam.runtime.distributed import processes
from recam.runtime.threads import usable_cores

# Locks on the GPUs of this process and of its children; they end with this process.
_held: list[FileLock] = []


@cache
def make_device(name: str, *, threads: int | None = None) -> torch.device:
    """The device called ``name``: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    ``auto`` is a GPU if torch sees one, otherwise the CPU. Among several GPUs, ``auto`` and
    ``cuda`` choose one that no concurrent step has locked; in a process group each process has its
    own. Further calls in a process return the same device. Raises UserError if ``name`` needs a GPU
    and torch sees none.

    Two settings fix floating-point rounding: ``threads`` of the CPU, since their number is the
    order of sums, and TF32, which rounds float32 factors to 10 bits of mantissa and is switched
    off.
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
    """The number of processes for ``devices``: ``auto`` or a number.

    Each process has a GPU of its own, or cores of the CPU; ``auto`` is every GPU, or one process on
    the CPU. Raises UserError if there are fewer GPUs or cores than ``devices``.
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
        raise UserError(
            f"devices: expected at most {there}, as {what}, got {devices}; lower devices"
        )
    return int(devices)


def take(count: int, *, of: int, folder: Path | None = None) -> list[int]:
    """Lock ``count`` of this machine's ``of`` GPUs until this process ends; return their numbers.

    GPUs without a lock come first. If too few are free, locked ones are shared, which works as long
    as their memory suffices. ``folder`` holds the lock files.
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
    """The names of the GPUs that torch sees, as in CUDA_VISIBLE_DEVICES."""
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
    """The number of loader processes: 0 on a CPU, whose cores all train, and up to 8 for a GPU."""
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's processes on this machine
    return 0 if device.type == "cpu" else min(8, max(1, usable_cores() // beside))
