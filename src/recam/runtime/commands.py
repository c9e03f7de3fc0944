"""What ``python -m recam.predict`` and ``recam.export`` share: messages, mistakes, exit codes."""

import logging
from collections.abc import Callable

from recam.core.errors import UserError

STOPPED = 130  # the shell's exit code for an interrupt

logger = logging.getLogger(__name__)


def run_command(work: Callable[[], int], *, stopped: str) -> int:
    """Do the work and give its exit code; 1 for a user's mistake, 130 for Ctrl-C.

    ``stopped`` says, after Ctrl-C, what became of the files.
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
        logger.error("%s: %s; change that and run again", error.filename, error.strerror)
    except KeyboardInterrupt:
        logger.error("stopped; %s", stopped)
        return STOPPED
    return 1
