"""What a topic says of itself: variants of one computation, and what is asked of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Variant = Callable[[], Tensor | np.ndarray | None]  # runs once; may return a result to compare


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a measurement runs."""

    device: torch.device
    folder: Path  # for files, empty at the start


Maker = Callable[[Setting], Variant]  # makes models and inputs, the same ones for every variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Variants that are timed in turns; the first is what the others are divided by."""

    name: str
    variants: dict[str, Maker]
    rounds: int
    memory: bool  # whether peak memory is measured, each variant in a process of its own
    tolerance: float | None = None  # of results, absolute; None where they differ by design
    images: int | None = None  # of one run, where images a second are asked for
    on_cpu: bool = False  # whatever the device of the others
    at_most: float | None = None  # target: time and memory of the others over those of the first
    images_at_least: float | None = None  # target: images a second of the first
