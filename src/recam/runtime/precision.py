"""In how many bits networks compute: bfloat16 where a GPU is fast at it, else single precision.

Convolutions and products of matrices are what autocast shortens. Weights, gradients, batch
statistics, losses, and the classifiers that turn features into maps stay in float32 (see
``without_autocast``): maps are compared with thresholds in steps of 1/200, and bfloat16 has steps
of 1/128 just below 1.
"""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

BITS = {"bf16": torch.bfloat16, "fp32": torch.float32}


def make_precision(name: str, device: torch.device) -> torch.dtype:
    """``auto`` is bf16 on a GPU that computes in it, else fp32."""
    if name != "auto":
        return BITS[name]
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return BITS["bf16" if fast else "fp32"]


def autocast(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Inside, networks compute in that precision."""
    shortened = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if shortened else None, enabled=shortened)


def to_float32(values: Tensor) -> Tensor:
    """What was computed in bfloat16, in single precision from here on; all else as it is."""
    return values.float() if values.dtype == torch.bfloat16 else values


def without_autocast(values: Tensor) -> AbstractContextManager[object]:
    """Inside, everything is computed in the precision it comes in; ``values`` say where."""
    return torch.autocast(values.device.type, enabled=False)
