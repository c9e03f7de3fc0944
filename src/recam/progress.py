"""Progress that suits its reader: a bar on a terminal, now and then a plain line in a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 20

T = TypeVar("T")

logger = logging.getLogger(__name__)


def progress(items: Iterable[T], *, total: int, what: str, unit: str) -> Iterator[T]:
    """Pass items through, telling how many of ``total`` are done and how fast."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, unit=unit, leave=False)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last > SECONDS_BETWEEN_LINES:
            last = now
            rate = done / (now - start)
            left = (total - done) / rate
            logger.info("%s: %d of %d, %.1f %s/s, %.0f s left", what, done, total, rate, unit, left)
