"""Mixed precision: bfloat16 autocast on GPUs that support it, float32 otherwise.

Autocast computes convolutions and matrix products in bfloat16. Weights, gradients, batch
statistics, losses and the classifiers that produce maps stay in float32 (``without_autocast``):
maps are compared with thresholds in steps of 1/200, and bfloat16 has steps of 1/256 just below 1.
"""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

BITS = {"bf16": torch.bfloat16, "fp32": torch.float32}
# Instructions for products in bfloat16, by torch's names: of x86 and of Arm.
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")

logger = logging.getLogger(__name__)


def make_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype called ``name``: ``bf16``, ``fp32``, or ``auto``, bf16 on GPUs that support it.

    Logs a warning if ``bf16`` is chosen for a CPU that emulates it.
    """
    if name == "bf16" and device.type == "cpu":
        for sentence in emulation_warnings(torch.cpu.get_capabilities()):
            logger.warning("warning: %s", sentence)
    if name != "auto":
        return BITS[name]
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return BITS["bf16" if fast else "fp32"]


def emulation_warnings(capabilities: Mapping[str, object]) -> list[str]:
    """A warning about bf16 on a CPU with these ``capabilities`` if it has no instructions for it.

    Their keys are those of ``torch.cpu.get_capabilities``.
    """
    if any(capabilities.get(name) for name in BF16_INSTRUCTIONS):
        return []
    return [
        "precision: this CPU has no instructions for bf16 (AVX512_BF16, AMX or Arm's BF16) and "
        "emulates it, which usually takes longer than fp32; set fp32"
    ]


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
