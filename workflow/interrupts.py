"""Ctrl-C on Snakemake itself: one sentence, no traceback.

Snakemake stops its jobs and says so. An interrupt while it reads the Snakefile, builds the graph or
ends would print the traceback of its own code, or of asyncio's.
"""

import asyncio
import logging
import sys
from types import TracebackType
from typing import Any

SENTENCE = "stopped; run again to resume"
INTERRUPTS = (KeyboardInterrupt, asyncio.CancelledError)


def end_quietly() -> None:
    """Print one sentence in place of the traceback of an interrupt; others stay as they are."""
    sys.excepthook = _explain
    sys.unraisablehook = _drop
    logging.getLogger("asyncio").addFilter(_is_no_interrupt)


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, INTERRUPTS):
        sys.stderr.write(f"{SENTENCE}\n")
    else:
        sys.__excepthook__(kind, error, trace)


def _drop(unraisable: Any) -> None:
    if not issubclass(unraisable.exc_type, INTERRUPTS):
        sys.__unraisablehook__(unraisable)


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, INTERRUPTS)
