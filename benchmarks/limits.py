"""The share of the device's limit that a work reaches.

The limit of work that computes is one large matrix product in the same precision; that of work
that moves memory is one large copy. Bytes that stay in a cache move faster than a copy's, so a
share may exceed 100 %.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

SIDE_ON_GPU, SIDE_ON_CPU = 8192, 2048  # of the matrices
COPIED_ON_GPU, COPIED_ON_CPU = 1 << 30, 1 << 28  # bytes
TRIALS = 5  # of each limit, the best counts
AMPERE = 8  # first GPUs with TF32

Result = TypeVar("Result")


def counted(run: Callable[[], Result], device: torch.device) -> tuple[Result, dict[str, Any]]:
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
    handle.remove()
    precision = seen.most_common(1)[0][0] if seen else "float32"
    return result, {"flops": counter.get_total_flops(), "precision": precision}


class Limits:
    """The largest rates that the device reaches, measured on demand."""

    def __init__(self, device: torch.device, clock: Callable[[], float]):
        self.device, self.clock = device, clock
        self.on_gpu = device.type == "cuda"

    def share(self, form: dict[str, Any], *, least_bytes: int | None) -> dict[str, Any]:
        """The share of a form with its ``seconds``, a fraction, and the name of the limit."""
        seconds = form["seconds"]
        if least_bytes:
            return {"share": least_bytes / seconds / self._copies(), "limit": "copies"}
        if not form["flops"]:
            return {}
        precision = form["precision"]
        rate = self._products(precision)
        return {"share": form["flops"] / seconds / rate, "limit": f"{precision} products"}

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
            self._wait()
            start = self.clock()
            for _ in range(runs):
                run()
            self._wait()
            trials.append((self.clock() - start) / runs)
        return min(trials)

    def _wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize(self.device)


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= AMPERE
