"""One row of ``speed.py`` in this process, as JSON: `speed_measure.py ROW [--memory FORM]`."""

import argparse
import json
import math
import platform
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torchvision
from measure import machine, peak_bytes, synchronise
from protocol import Setting
from speed_rows import WORKS
from speed_training import Run, Work
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

from recam.runtime.devices import make_device

AGREEMENT = 0.05  # of results, of their largest value: half precision is allowed to differ
TURN, MOST_RUNS = 0.3, 20  # seconds that a turn takes at least where runs are short, and runs
SLOW = 10  # seconds: a run so long is its own warm-up
SIDE_ON_GPU, SIDE_ON_CPU = 8192, 2048  # of the matrices whose product is the limit
COPIED_ON_GPU, COPIED_ON_CPU = 1 << 30, 1 << 28  # bytes
TRIALS = 5  # of each limit, the best counts
AMPERE = 8  # first GPUs with TF32

Clock = Callable[[], float]
Found = dict[str, Any]


def main() -> None:
    """Print what ``speed.py`` asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", choices=WORKS)
    parser.add_argument("--device", required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", metavar="FORM")
    args = parser.parse_args()
    device = make_device(args.device, threads=args.threads)
    work = WORKS[args.row](device)
    with TemporaryDirectory() as folder:
        setting = Setting(device=device, folder=Path(folder))
        if args.memory:
            print(json.dumps(memory(work, args.memory, setting)))
            return
        on_one_core = device.type == "cpu" and args.threads == 1
        clock = time.process_time if on_one_core else time.perf_counter
        forms = timing(work, setting, clock=clock, rounds=args.rounds)
    named = machine(device, threads=args.threads)
    versions = f"torchvision {torchvision.__version__}, Python {platform.python_version()}"
    told = {name: getattr(work, name) for name in ("name", "images", "unit", "has_memory")}
    answer = {"device": device.type, "machine": f"{named}, {versions}", "forms": forms}
    print(json.dumps(told | answer))


def timing(work: Work, setting: Setting, *, clock: Clock, rounds: int) -> dict[str, Found]:
    """By form, its seconds a run, its ratios to the first form and its share of the limit."""
    forms: dict[str, Found] = {}
    runs: dict[str, Run] = {}
    results: list[Tensor] = []
    for name, make in work.forms.items():
        forms[name] = {}
        if make is None:
            forms[name]["fault"] = "not installed"
            continue
        try:
            run = make(setting)
            forms[name], result = warmed(run, work, setting.device, clock)
        except RuntimeError as error:
            forms[name]["fault"] = _out_of_memory(error)
        else:
            runs[name] = run
            results += [] if result is None else [result.float().cpu()]
        run = result = None  # what ran out of memory must not hold on to it
        if setting.device.type == "cuda":
            torch.cuda.empty_cache()
    if work.agree:
        _require_agreement(results)
    turns = {name: forms[name]["turn"] for name in runs}
    seconds = in_turns(runs, turns, work=work, setting=setting, clock=clock, rounds=rounds)
    limits = Limits(setting.device, clock)
    for name, column in zip(runs, seconds.T, strict=True):
        ratios = np.quantile(column / seconds[:, 0], (0.25, 0.5, 0.75))
        each = float(np.median(column))
        forms[name] |= {"seconds": each, "ratios": ratios.tolist()}
        forms[name] |= limits.share(forms[name], each, least_bytes=work.least_bytes.get(name))
    return forms


def warmed(run: Run, work: Work, device: torch.device, clock: Clock) -> tuple[Found, Tensor | None]:
    """What a form computes, how often it runs in a turn, and its first result."""
    start = clock()
    result, flops, precision = counted(run, device)
    took = clock() - start
    if took < SLOW:
        start = clock()
        run()
        synchronise(device)
        took = clock() - start
    turn = min(MOST_RUNS, max(1, math.ceil(TURN / max(took, 1e-9))))
    for _ in range(work.ahead):
        run()
    return {"flops": flops, "precision": precision, "turn": turn}, result


def counted(run: Run, device: torch.device) -> tuple[Tensor | None, int, str]:
    """A run's result, its floating-point operations, and the precision of most convolutions.

    Convolutions and matrix products count, forward and backward; without convolutions the
    precision is that of torch's matrix products.
    """
    seen: Counter[str] = Counter()
    tf32 = _has_tf32(device)

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(module, nn.Conv2d) and isinstance(output, Tensor):
            name = str(output.dtype).removeprefix("torch.")
            in_tf32 = tf32 and name == "float32" and torch.backends.cudnn.allow_tf32
            seen["TF32" if in_tf32 else name] += 1

    handle = register_module_forward_hook(note)
    with FlopCounterMode(display=False) as counter:
        result = run()
    synchronise(device)
    handle.remove()
    precision = seen.most_common(1)[0][0] if seen else "float32"
    return result, counter.get_total_flops(), precision


def in_turns(
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


def memory(work: Work, form: str, setting: Setting) -> Found:
    """What running adds to the peak of imports, networks and inputs, in bytes."""
    make = work.forms[form]
    if make is None:
        raise SystemExit(f"{form}: not installed")
    try:
        run = make(setting)
        before = peak_bytes(setting.device)
        for _ in range(2 if work.unit == "step" else 1):  # momentum comes with the second step
            run()
        synchronise(setting.device)
    except RuntimeError as error:
        return {"fault": _out_of_memory(error)}
    return {"above": peak_bytes(setting.device) - before}


class Limits:
    """What the device reaches at best, each measured when it is first asked for."""

    def __init__(self, device: torch.device, clock: Clock):
        self.device, self.clock = device, clock
        self.on_gpu = device.type == "cuda"
        self.rates: dict[str, float] = {}

    def share(self, form: Found, seconds: float, *, least_bytes: int | None) -> Found:
        """Of a form that takes so many seconds: a fraction, and what it is a fraction of."""
        if least_bytes:
            return {"share": least_bytes / seconds / self._rate("copies"), "limit": "copies"}
        if not form["flops"]:
            return {}
        precision = form["precision"]
        rate = self._rate(precision)
        return {"share": form["flops"] / seconds / rate, "limit": f"{precision} products"}

    def _rate(self, name: str) -> float:
        if name not in self.rates:
            self.rates[name] = self._copies() if name == "copies" else self._products(name)
        return self.rates[name]

    def _copies(self) -> float:
        """Bytes a second, read and written."""
        count = COPIED_ON_GPU if self.on_gpu else COPIED_ON_CPU
        source = torch.ones(count, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        return 2 * count / self._seconds(lambda: target.copy_(source))

    def _products(self, precision: str) -> float:
        """Floating-point operations a second of one large matrix product."""
        side = SIDE_ON_GPU if self.on_gpu else SIDE_ON_CPU
        is_tf32 = precision == "TF32"
        dtype = torch.float32 if is_tf32 else getattr(torch, precision)
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if is_tf32 else before)
        matrix = torch.randn(side, side, device=self.device).to(dtype)
        rate = 2 * side**3 / self._seconds(lambda: matrix @ matrix)
        torch.set_float32_matmul_precision(before)
        return rate

    def _seconds(self, run: Callable[[], Tensor]) -> float:
        """The least of some trials, each long enough for the clock."""
        run()
        runs = 10 if self.on_gpu else 1
        trials: list[float] = []
        for _ in range(TRIALS):
            synchronise(self.device)
            start = self.clock()
            for _ in range(runs):
                run()
            synchronise(self.device)
            trials.append((self.clock() - start) / runs)
        return min(trials)


def _require_agreement(results: list[Tensor]) -> None:
    for other in results[1:]:
        largest = float(results[0].abs().max())
        torch.testing.assert_close(other, results[0], rtol=0, atol=AGREEMENT * largest)


def _out_of_memory(error: RuntimeError) -> str:
    """What the table says; any other error goes on."""
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "out of memory"
    raise error


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= AMPERE


if __name__ == "__main__":
    main()
