"""Progress: a bar for a step run by hand, plain lines in a log.

Steps that an engine runs concurrently share one terminal, where bars would overwrite each other.
"""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import accumulate, repeat
from typing import TypeVar

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 20

T = TypeVar("T")

logger = logging.getLogger(__name__)


def progress(
    items: Iterable[T], *, total: int, what: str, unit: str, each: int | Iterable[int] = 1
) -> Iterator[T]:
    """Yield the items, and report how many of ``total`` units are done, the rate and the time left.

    An item counts ``each`` units, such as the images of a batch: one number for all items, or one
    for each. ``what`` and ``unit`` name the work and its unit in the report.
    """
    sizes = repeat(each) if isinstance(each, int) else each
    if _has_a_terminal_to_itself():
        with tqdm(total=total, desc=what, unit=unit, leave=False) as bar:
            for size, item in zip(sizes, items, strict=False):
                yield item
                bar.update(size)
        return
    start = last = time.monotonic()
    for done, item in zip(accumulate(sizes), items, strict=False):
        yield item
        now = time.monotonic()
        if now - last > SECONDS_BETWEEN_LINES:
            last = now
            rate = done / (now - start)
            left = (total - done) / rate
            logger.info("%s: %d of %d, %.1f %s/s, %.0f s left", what, done, total, rate, unit, left)


def _has_a_terminal_to_itself() -> bool:
    is_first = os.environ.get("LOCAL_RANK", "0") == "0"  # set by torchrun
    logs = any(isinstance(h, logging.FileHandler) for h in logging.getLogger().handlers)
    return sys.stderr.isatty() and not logs and is_first  # engines always set a log file
