"""Mixed precision: bfloat16 autocast on GPUs that support it, float32 otherwise.

Autocast computes convolutions and matrix products in bfloat16. Weights, gradients, batch
statistics, losses and the classifiers that produce maps stay in float32 (``without_autocast``):
maps are compared with thresholds in steps of 1/200, and bfloat16 has steps of 1/256 just below 1.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

BITS = {"bf16": torch.bfloat16, "fp32": torch.float32}


def make_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype called ``name``: ``bf16``, ``fp32``, or ``auto``, bf16 on GPUs that support it."""
    if name != "auto":
        return BITS[name]
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return BITS["bf16" if fast else "fp32"]


def autocast(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to ``dtype`` on ``device``; float32 leaves autocast off."""
    shortened = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if shortened else None, enabled=shortened)


def to_float32(values: Tensor) -> Tensor:
    """Cast bfloat16 to float32; return other dtypes unchanged."""
    return values.float() if values.dtype == torch.bfloat16 else values


def without_autocast(values: Tensor) -> AbstractContextManager[object]:
    """Disable autocast on the device of ``values``; the device meta has none."""
    return nullcontext() if values.is_meta else torch.autocast(values.device.type, enabled=False)
