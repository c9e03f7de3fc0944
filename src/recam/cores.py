"""How many cores this process may use."""

import os


def usable_cores() -> int:
    """Those that a cluster or a container leaves to this process, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
