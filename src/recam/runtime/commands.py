"""Messages, user errors and exit codes of the console script ``recam``."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from recam.core.disk import disk_sentence
from recam.core.errors import UserError
from recam.runtime.loading import STOPPED, end_loading, missing_package
from recam.runtime.memory import lack_of_memory

logger = logging.getLogger(__name__)


def run_command(
    work: Callable[[], int], *, name: str, extra: str = "", numbers: Mapping[str, Any] | None = None
) -> int:
    """Run ``work`` and return its exit code: 1 for a user error, 130 for Ctrl-C.

    ``name`` is the command, and ``extra`` its extra, in the message about a package that is not
    installed; ``numbers`` are those of the command line, in the message about memory.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("recam").setLevel(logging.INFO)
    end_loading()
    try:
        return work()
    except KeyboardInterrupt:
        logger.error("stopped; every file that was written is complete")
        return STOPPED
    except Exception as error:
        if not (sentence := _sentence(error, name=name, extra=extra, numbers=numbers or {})):
            raise
        logger.error("%s", sentence)
    return 1


def _sentence(error: Exception, *, name: str, extra: str, numbers: Mapping[str, Any]) -> str | None:
    """The sentence of an error that a user can mend; None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        sentence = missing_package(error, extra=extra)
        return f"{name} {sentence}" if sentence else None
    if isinstance(error, OSError):
        return f"{disk_sentence(error)}, then run again" if error.errno else None
    lack = lack_of_memory(error, numbers)
    return f"{name}: {lack}" if lack else None
