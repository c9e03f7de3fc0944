"""The number of GPUs, without PyTorch: Snakemake asks at every start."""

import os
import shutil
import subprocess
from functools import cache


@cache
def gpus_here() -> int:
    """How many GPUs this machine lets this process use, by CUDA_VISIBLE_DEVICES or nvidia-smi."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return sum(gpu.strip() not in ("", "-1") for gpu in visible.split(","))
    program = shutil.which("nvidia-smi")
    if not program:
        return 0
    words = [program, "--list-gpus"]
    listed = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout  # noqa: S603
    return sum(line.startswith("GPU ") for line in listed.splitlines())
