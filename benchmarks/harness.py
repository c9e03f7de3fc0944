"""One measurement in this process, as JSON: `measure.py TOPIC`, or `measure.py TOPIC --memory ...`.

``run.py`` starts it. The kernel hands a parent's peak memory on to its children, so the process
that starts this one must be small: it imports the standard library only.
"""

import argparse
import importlib
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from protocol import Comparison, Setting, Variant

from recam.runtime.devices import make_device

MEMORY_RUNS = 2  # an optimiser's momentum is there from the second step on
BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024  # its unit, see getrusage(2)


def main() -> None:
    """Print what ``run.py`` asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic")
    parser.add_argument("--device", required=True)
    parser.add_argument("--memory", nargs=2, metavar=("COMPARISON", "VARIANT"))
    args = parser.parse_args()
    # Threads that wait for each other on a busy machine made a training step ten times slower.
    torch.set_num_threads(1)
    comparisons: list[Comparison] = importlib.import_module(args.topic).COMPARISONS
    with TemporaryDirectory() as folder:
        setting = Setting(device=make_device(args.device), folder=Path(folder))
        if args.memory:
            name, variant = args.memory
            chosen = next(c for c in comparisons if c.name == name)
            answer: object = memory(chosen, variant, setting)
        else:
            timings = [timing(c, setting) for c in comparisons]
            answer = {"machine": machine(setting.device), "comparisons": timings}
    print(json.dumps(answer))


def timing(comparison: Comparison, setting: Setting) -> dict[str, object]:
    """The quartiles of every variant's time over the first one's, round by round."""
    # On a CPU the time that this process had its one core counts, so that other programs do not.
    on_gpu = setting.device.type == "cuda" and not comparison.on_cpu
    clock = time.perf_counter if on_gpu else time.process_time
    variants = {name: make(setting) for name, make in comparison.variants.items()}
    _require_same_results(variants, tolerance=comparison.tolerance)  # the warm-up, too
    seconds = np.empty((comparison.rounds, len(variants)))
    for row in seconds:
        for column, variant in enumerate(variants.values()):
            start = clock()
            variant()
            synchronise(setting.device)
            row[column] = clock() - start
    ratios = np.quantile(seconds / seconds[:, :1], (0.25, 0.5, 0.75), axis=0)
    rates = (comparison.images or 0) / np.median(seconds, axis=0)
    return {
        "name": comparison.name,
        "times": dict(zip(variants, ratios.T.tolist(), strict=True)),
        "rates": dict(zip(variants, rates.tolist(), strict=True)) if comparison.images else {},
        "rounds": comparison.rounds,
        "memory": comparison.memory,
        "at_most": comparison.at_most,
        "images_at_least": comparison.images_at_least,
    }


def memory(comparison: Comparison, variant: str, setting: Setting) -> dict[str, int]:
    """Peak bytes with imports, models and inputs only, and what running adds to them."""
    run = comparison.variants[variant](setting)
    baseline = peak_bytes(setting.device)
    for _ in range(MEMORY_RUNS):
        run()
    synchronise(setting.device)
    return {"baseline": baseline, "above": peak_bytes(setting.device) - baseline}


def machine(device: torch.device, *, threads: int = 1) -> str:
    """Cores, processor, the GPU if it is used, torch's version and threads."""
    parts = [
        f"{os.cpu_count()} cores of {_processor()}",
        f"torch {torch.__version__}",
        "one thread" if threads == 1 else f"{threads} threads",
    ]
    if device.type == "cuda":
        parts.insert(1, torch.cuda.get_device_name(device))
    return ", ".join(parts)


def _require_same_results(variants: dict[str, Variant], *, tolerance: float | None) -> None:
    first, *others = [variant() for variant in variants.values()]
    if tolerance is not None:
        for other in others:
            torch.testing.assert_close(other, first, rtol=0, atol=tolerance)


def peak_bytes(device: torch.device) -> int:
    """The most memory so far: of the process, or of torch on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_OF_MAXRSS


def synchronise(device: torch.device) -> None:
    """Wait for the GPU, so that a clock tells its time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
