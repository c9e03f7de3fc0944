"""The least time of several repetitions."""

import time
from collections.abc import Callable

import torch

ROUNDS = 5  # repetitions; the first one is slower than the others
LIMIT = 3.0  # seconds, after which no further repetition starts

Run = Callable[[], object]


def least_seconds(run: Run, clock: Callable[[], float]) -> float:
    """The least time of some repetitions: other work on the machine only adds to it."""
    seconds: list[float] = []
    end = time.perf_counter() + LIMIT
    while not seconds or (len(seconds) < ROUNDS and time.perf_counter() < end):
        start = clock()
        run()
        seconds.append(clock() - start)
    return min(seconds)


def completed(run: Run, device: torch.device) -> None:
    """Run, and wait for a GPU to finish."""
    run()
    torch.cuda.synchronize(device)
