"""Threads beside the caller's: they read what it needs next and write what it has done."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def read_ahead(
    make: Callable[[Item], Made], items: Iterable[Item], *, ahead: int = 1
) -> Iterator[Made]:
    """What ``make`` returns for every item, in order; the next ``ahead`` are made meanwhile.

    One thread makes them. What ``make`` raises is raised where its result would have come. A caller
    that stops early waits for the item in work; the others are dropped.
    """
    coming: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            for item in items:
                coming.append(thread.submit(make, item))
                if len(coming) > ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for future in coming:
                future.cancel()


@contextmanager
def writing_behind(
    *, threads: int | None = None, waiting: int = 8
) -> Iterator[Callable[[Callable[[], object]], None]]:
    """A function that has others called in threads, and waits while ``waiting`` are undone.

    There are four threads, or as many as cores where these are fewer, unless it is told. What one
    of the others raises is raised by a later call, or at the end of the block. The end waits for
    all, also where the block fails: what was handed over is done.
    """
    undone: deque[Future[object]] = deque()
    with ThreadPoolExecutor(max_workers=threads or min(4, usable_cores())) as pool:

        def write(call: Callable[[], object]) -> None:
            while undone and (undone[0].done() or len(undone) >= waiting):
                undone.popleft().result()
            undone.append(pool.submit(call))

        yield write
        for future in undone:
            future.result()


def usable_cores() -> int:
    """Those that a cluster or a container leaves to this process, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
