"""Threads that prefetch inputs and write outputs."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def read_ahead(
    make: Callable[[Item], Made], items: Iterable[Item], *, ahead: int = 1, threads: int = 1
) -> Iterator[Made]:
    """Yield ``make(item)`` for every item, in order, and prefetch the next ``ahead`` results.

    ``threads`` threads call ``make``. An exception of ``make`` is raised in place of its result. A
    caller that stops early waits for the running calls; queued calls are cancelled. At most
    ``ahead`` calls are queued, however many items there are.
    """
    coming: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for item in items:
                coming.append(pool.submit(make, item))
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
    """A function that queues calls for a pool of threads, at most ``waiting`` at a time.

    By default there are as many threads as cores, at most four. An exception of a queued call is
    raised by a later call, or at the end of the block. The end waits for all queued calls, also
    after an exception: every one of them runs.
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
    """The number of cores that this process may use, as a cluster or a container limits them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
