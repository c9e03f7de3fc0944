"""The sentence for memory that ran out."""

import os
import re
from collections.abc import Mapping
from typing import Any

GIB = 1 << 30
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": GIB, "TiB": 1 << 40}
# In the words of PyTorch, on a CPU and on a GPU, and of NumPy.
WANTED = re.compile(r"([Tt]ried|Unable) to allocate (?P<much>[\d.]+) (?P<unit>\w+)")
FREE = re.compile(r"of which (?P<much>[\d.]+) (?P<unit>\w+) is free")
SAID = re.compile("out of memory|ALLOC_FAILED")  # by CUDA and its libraries, without numbers
# What makes a step smaller, the best first.
LOWERED = ("batch_size", "memory", "crop", "resize_max")


def lack_of_memory(error: Exception, numbers: Mapping[str, Any]) -> str | None:
    """One sentence for an error of memory that ran out, None for another error.

    ``numbers`` are those of the step: the sentence says which of them to lower.
    """
    wanted = WANTED.search(str(error))
    if not wanted and (isinstance(error, MemoryError) or SAID.search(str(error))):
        said = "more memory was needed than there is"
    elif wanted:
        free = FREE.search(str(error))
        there = _bytes(free) if free else _free_memory()
        needed = _bytes(wanted)
        said = (
            f"{needed / GIB:.2f} GiB more were needed and {there / GIB:.2f} GiB were free, "
            f"{(needed - there) / GIB:.2f} GiB too few"
            if needed > there
            else f"{needed / GIB:.2f} GiB more were needed than this process may have"
        )
    else:
        return None
    ways = [f"lower {n} ({numbers[n]})" for n in LOWERED if numbers.get(n, 1) > 1]
    if 0 < numbers.get("gradient_accumulation_steps", 0) < numbers["batch_size"]:
        ways.insert(
            0, f"raise gradient_accumulation_steps ({numbers['gradient_accumulation_steps']})"
        )
    if len(numbers.get("scales", [])) > 1:
        ways.append(f"leave out the largest of scales ({max(numbers['scales'])})")
    return f"out of memory: {said}; {' or '.join(ways) or 'use a machine with more'}"


def _bytes(found: re.Match[str]) -> float:
    return float(found["much"]) * UNITS.get(found["unit"], 1)


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
