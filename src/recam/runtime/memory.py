"""One sentence for an error of memory that ran out."""

import os
import re
from collections.abc import Mapping
from typing import Any

GIB = 1 << 30
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": GIB, "TiB": 1 << 40}
# Messages of PyTorch, on a CPU and on a GPU, and of NumPy.
WANTED = re.compile(r"([Tt]ried|Unable) to allocate (?P<much>[\d.]+) (?P<unit>\w+)")
FREE = re.compile(r"of which (?P<much>[\d.]+) (?P<unit>\w+) is free")
SAID = re.compile("out of memory|ALLOC_FAILED")  # by CUDA and its libraries, without numbers
LOWERED = ("batch_size", "memory", "crop", "resize_max")  # they reduce memory, the best first


def lack_of_memory(error: Exception, numbers: Mapping[str, Any]) -> str | None:
    """A sentence with the missing memory and a remedy; None for any other error.

    ``numbers`` are those of the step, from which the remedy is chosen.
    """
    shortage = _shortage(error)
    if shortage is None:
        return None
    ways = [f"lower {n} ({numbers[n]})" for n in LOWERED if numbers.get(n, 1) > 1]
    parts = numbers.get("gradient_accumulation_steps", 0)
    if 0 < parts < numbers["batch_size"]:
        ways.insert(0, f"raise gradient_accumulation_steps ({parts})")
    if len(numbers.get("scales", [])) > 1:
        ways.append(f"remove the largest of scales ({max(numbers['scales'])})")
    remedy = " or ".join(ways) or "use a machine with more memory"
    return f"out of memory: {shortage}; {remedy}"


def _shortage(error: Exception) -> str | None:
    wanted = WANTED.search(str(error))
    if not wanted:
        is_lack = isinstance(error, MemoryError) or SAID.search(str(error))
        return "an allocation failed" if is_lack else None
    free = FREE.search(str(error))
    needed, available = _bytes(wanted), _bytes(free) if free else _free_memory()
    if needed > available:
        return f"tried to allocate {needed / GIB:.2f} GiB, {available / GIB:.2f} GiB free"
    return f"tried to allocate {needed / GIB:.2f} GiB, more than the limit of this process"


def _bytes(found: re.Match[str]) -> float:
    return float(found["much"]) * UNITS.get(found["unit"], 1)


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
