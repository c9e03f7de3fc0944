"""Messages, user errors and exit codes of ``recam.predict`` and ``recam.export``."""

import logging
from collections.abc import Callable

from recam.core.disk import disk_sentence
from recam.core.errors import UserError
from recam.runtime.loading import STOPPED, end_loading

logger = logging.getLogger(__name__)


def run_command(work: Callable[[], int], *, stopped: str) -> int:
    """Run ``work`` and return its exit code: 1 for a user error, 130 for Ctrl-C.

    ``stopped`` ends the message after Ctrl-C: the state of the output files.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("recam").setLevel(logging.INFO)
    end_loading()
    try:
        return work()
    except UserError as error:
        logger.error("%s", error)
    except OSError as error:
        if not error.errno:
            raise
        logger.error("%s, then run again", disk_sentence(error))
    except KeyboardInterrupt:
        logger.error("stopped; %s", stopped)
        return STOPPED
    return 1
