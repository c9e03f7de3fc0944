"""One way to measure: forms of the same work side by side, their time, memory and share of a limit.

A topic hands its works to ``answer``, which measures one of them in this process and prints JSON;
``run.py`` starts one process for each work and prints the table. The kernel hands a parent's peak
memory on to its children, so ``run.py`` imports the standard library only.
"""

import argparse
import json
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from limits import Limits, counted
from torch import Tensor

from recam.runtime.devices import make_device

BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024  # its unit, see getrusage(2)
HALF_PRECISION = 0.05  # how far forms may differ, over the largest value, where one rounds to bf16
TURN, MOST_RUNS = 0.3, 20  # seconds that a turn takes at least where runs are short, and runs
SLOW = 10  # seconds: a run so long is its own warm-up
WARM_RUNS = 2  # an optimiser's momentum is there from the second step on

Clock = Callable[[], float]
Found = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Device and folder of a measurement."""

    device: torch.device
    folder: Path  # for files, empty at the start


Run = Callable[[], Tensor | np.ndarray | None]  # once; may return a result to compare
Make = Callable[[Setting], Run]  # makes networks and inputs, the same ones for every form


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound on a form's time or memory, as a multiple of ours."""

    form: str
    what: str  # time or memory
    at_least: float
    device: str = ""  # the type of device that it holds for; empty: any


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One kind of work in several forms; ratios are to the first, which is ours."""

    name: str
    forms: Mapping[str, Make | str | None]  # a sentence: why not; None: a package is missing
    images: int = 1  # by which the time of a run is divided
    tolerance: float | None = HALF_PRECISION  # over the largest value of ours; None: not compared
    has_memory: bool = True
    has_limit: bool = False  # floating-point operations or bytes are compared with the device's
    has_agreement: bool = False  # results are labels: the table has the share of equal ones
    least_bytes: int | None = None  # that ours moves at least, where memory is its limit
    ahead: int = 0  # runs before every turn that are not timed
    on_cpu: bool = False  # whatever the device
    by_clock: bool = False  # on a CPU, too: other processes do the work
    targets: tuple[Target, ...] = field(default=())


Works = dict[str, Callable[[torch.device], Work]]


def answer(works: Works, description: str | None) -> None:
    """Measure the work named in the command line and print the results as JSON."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("work", nargs="?", choices=works, help="without one: print the names")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--memory", metavar="FORM", help="of this form instead of all times")
    args = parser.parse_args()
    if not args.work:
        print("\n".join(works))
        return
    # Threads that wait for each other on a busy machine made a training step ten times slower.
    device = make_device(args.device, threads=args.threads)
    work = works[args.work](device)
    device = torch.device("cpu") if work.on_cpu else device
    with TemporaryDirectory() as folder:
        setting = Setting(device=device, folder=Path(folder))
        if args.memory:
            print(json.dumps(_memory_alone(work, args.memory, setting)))
            return
        on_one_core = device.type == "cpu" and args.threads == 1 and not work.by_clock
        clock = time.process_time if on_one_core else time.perf_counter
        forms = _timing(work, setting, clock=clock, rounds=args.rounds)
    described = {name: getattr(work, name) for name in ("name", "images", "has_memory")}
    targets = [asdict(target) for target in work.targets]
    where = {"device": device.type, "machine": machine(device, threads=args.threads)}
    print(json.dumps(described | where | {"targets": targets, "forms": forms}))


def _timing(work: Work, setting: Setting, *, clock: Clock, rounds: int) -> dict[str, Found]:
    """By form: seconds of a run, quartiles of its ratios to ours, memory, share of the limit."""
    forms: dict[str, Found] = {}
    results: dict[str, Tensor] = {}
    runs = {name: _tried(name, work, setting, clock, forms, results) for name in work.forms}
    runs = {name: run for name, run in runs.items() if run is not None}
    _compare(results, work, forms)
    turns = {name: forms[name]["turn"] for name in runs}
    seconds = _in_turns(runs, turns, work=work, setting=setting, clock=clock, rounds=rounds)
    for name, column in zip(runs, seconds.T, strict=True):
        ratios = np.quantile(column / seconds[:, 0], (0.25, 0.5, 0.75))
        forms[name] |= {"seconds": float(np.median(column)), "ratios": ratios.tolist()}
    ours = next(iter(forms.values()))
    if work.has_limit and "seconds" in ours:
        ours |= Limits(setting.device, clock).share(ours, least_bytes=work.least_bytes)
    return forms


def _tried(
    name: str,
    work: Work,
    setting: Setting,
    clock: Clock,
    forms: dict[str, Found],
    results: dict[str, Tensor],
) -> Run | None:
    """A form after its first runs, with their results noted; None if it fails."""
    make = work.forms[name]
    if not callable(make):
        forms[name] = {"fault": make or "not installed"}
        return None
    try:
        run = make(setting)
        forms[name], result = _warmed(run, work, setting.device, clock)
    except RuntimeError as error:
        forms[name] = {"fault": _out_of_memory(error)}
        run = None  # free its memory
    else:
        if result is not None:
            results[name] = torch.as_tensor(result).float().cpu()
    if setting.device.type == "cuda":
        torch.cuda.empty_cache()
    return run


def _warmed(
    run: Run, work: Work, device: torch.device, clock: Clock
) -> tuple[Found, Tensor | np.ndarray | None]:
    """The number of runs in a turn, the memory on a GPU, and the first result."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device) if on_gpu else 0
    start = clock()
    result, counts = counted(run, device) if work.has_limit else (run(), {})
    synchronise(device)
    took = clock() - start
    if took < SLOW:
        start = clock()
        run()
        synchronise(device)
        took = clock() - start
    found: Found = {**counts, "turn": min(MOST_RUNS, max(1, math.ceil(TURN / max(took, 1e-9))))}
    if on_gpu and work.has_memory:
        found["memory"] = {"above": peak_bytes(device) - before}
    for _ in range(work.ahead):
        run()
    return found, result


def _in_turns(
    runs: dict[str, Run],
    turns: dict[str, int],
    *,
    work: Work,
    setting: Setting,
    clock: Clock,
    rounds: int,
) -> np.ndarray:
    """Seconds of a run, a row for each round and a column for each form."""
    seconds = np.empty((rounds, len(runs)))
    for row in seconds:
        for column, (name, run) in enumerate(runs.items()):
            for _ in range(work.ahead):
                run()
            synchronise(setting.device)
            start = clock()
            for _ in range(turns[name]):
                run()
            synchronise(setting.device)
            row[column] = (clock() - start) / turns[name]
    return seconds


def _compare(results: dict[str, Tensor], work: Work, forms: dict[str, Found]) -> None:
    """Raise if forms that must agree differ; note the share of equal labels if requested."""
    if not results:
        return
    first, *others = results
    for name in others:
        ours, its = results[first], results[name]
        if work.has_agreement:
            forms[name]["equal"] = float((ours == its).float().mean())
        elif work.tolerance is not None:
            largest = float(ours.abs().max())
            torch.testing.assert_close(its, ours, rtol=0, atol=work.tolerance * largest)


def _memory_alone(work: Work, form: str, setting: Setting) -> Found:
    """Bytes that running adds to the peak of imports, networks and inputs, in this process."""
    make = work.forms[form]
    if not callable(make):
        raise SystemExit(f"{form}: {make or 'not installed'}")
    try:
        run = make(setting)
        before = peak_bytes(setting.device)
        for _ in range(WARM_RUNS):
            run()
        synchronise(setting.device)
    except RuntimeError as error:
        return {"fault": _out_of_memory(error)}
    return {"above": peak_bytes(setting.device) - before}


def machine(device: torch.device, *, threads: int = 1) -> str:
    """Cores, processor, the GPU if it is used, versions and threads."""
    parts = [
        f"{os.cpu_count()} cores of {_processor()}",
        f"torch {torch.__version__}",
        f"Python {platform.python_version()}",
        "one thread" if threads == 1 else f"{threads} threads",
    ]
    if device.type == "cuda":
        parts.insert(1, torch.cuda.get_device_name(device))
    return ", ".join(parts)


def peak_bytes(device: torch.device) -> int:
    """The most memory so far: of the process, or of torch on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_OF_MAXRSS


def synchronise(device: torch.device) -> None:
    """Wait for the GPU, so that a clock measures its time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _out_of_memory(error: RuntimeError) -> str:
    """The table entry for exhausted memory; other errors are raised."""
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "out of memory"
    raise error


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
