"""Messages, user errors and exit codes of ``recam.predict`` and ``recam.export``."""

import logging
from collections.abc import Callable

from recam.core.errors import UserError

STOPPED = 130  # the shell's exit code for an interrupt

logger = logging.getLogger(__name__)


def run_command(work: Callable[[], int], *, stopped: str) -> int:
    """Run ``work`` and return its exit code: 1 for a user error, 130 for Ctrl-C.

    ``stopped`` ends the message after Ctrl-C: the state of the output files.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("recam").setLevel(logging.INFO)
    try:
        return work()
    except UserError as error:
        logger.error("%s", error)
    except OSError as error:
        if not error.strerror:
            raise
        logger.error("%s: %s; fix this and run again", error.filename, error.strerror)
    except KeyboardInterrupt:
        logger.error("stopped; %s", stopped)
        return STOPPED
    return 1
