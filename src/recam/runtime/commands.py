"""Messages, user errors and exit codes of the console script ``recam``."""

import logging
from collections.abc import Callable

from recam.core.disk import disk_sentence
from recam.core.errors import UserError
from recam.runtime.loading import STOPPED, end_loading, missing_package

logger = logging.getLogger(__name__)


def run_command(work: Callable[[], int], *, name: str, extra: str = "") -> int:
    """Run ``work`` and return its exit code: 1 for a user error, 130 for Ctrl-C.

    ``name`` is the command, and ``extra`` its extra, in the message about a package that is not
    installed.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("recam").setLevel(logging.INFO)
    end_loading()
    try:
        return work()
    except UserError as error:
        logger.error("%s", error)
    except ModuleNotFoundError as error:
        if not (sentence := missing_package(error, extra=extra)):
            raise
        logger.error("%s %s", name, sentence)
    except OSError as error:
        if not error.errno:
            raise
        logger.error("%s, then run again", disk_sentence(error))
    except KeyboardInterrupt:
        logger.error("stopped; every file that was written is complete")
        return STOPPED
    return 1
