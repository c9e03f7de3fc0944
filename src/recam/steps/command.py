"""A step as a command line: lock, log, and one sentence for a user's error."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout
from pydantic import BaseModel

from recam.core.disk import disk_sentence
from recam.core.errors import UserError
from recam.io.atomic import sha256
from recam.io.receipts import write_receipt
from recam.runtime.loading import STOPPED, end_loading
from recam.runtime.memory import lack_of_memory
from recam.steps.code import code_file, code_of
from recam.steps.parser import Arguments, parse
from recam.steps.sections.shared import file_of_weights

# Set by the Snakefile: `watch`, `feature_cache` and `storage`, of all configuration files.
WATCH = "RECAM_WATCH"
FEATURE_CACHE = "RECAM_FEATURE_CACHE"
STORAGE = "RECAM_STORAGE"
# Set for each of several processes that run a step together (recam.steps.launch).
TOGETHER = "TORCHELASTIC_RUN_ID"  # by torchrun
RANK = "RANK"  # by torchrun
REPORTED = "RECAM_REPORTED"  # by the step that started them and holds the lock: see `reported`

logger = logging.getLogger(__name__)


def run(main: Callable[..., None]) -> None:
    """Run a step as a command line and exit.

    ``main`` takes a dataclass of paths (recam.steps.paths) and sections of params.yaml; their types
    are the command line. Exit code 1 for a user's error, 130 for Ctrl-C.
    """
    name = Path(sys.argv[0]).stem
    _start_log(None)
    try:
        arguments = parse(main)
        _start_log(arguments.log)
    except UserError as error:
        sys.exit(reported(f"{name}: {error}"))
    except OSError as error:
        sys.exit(_report_disk(error))
    start = time.monotonic()
    try:
        end_loading()
        with _exclusive(arguments.outputs[0]):
            code = hashlib.sha256(code_of(Path(sys.argv[0])).encode()).hexdigest()
            main(**arguments.groups)
            if arguments.log and _is_first():
                receipt, known = arguments.log.with_suffix(".sha256"), {code_file(name): code}
                write_receipt(receipt, arguments.outputs, known)
    except UserError as error:
        _leave(reported(f"{name}: {error}"))
    except (RuntimeError, MemoryError) as error:
        _leave(_report_memory(error, name, arguments))
    except OSError as error:
        _leave(_report_disk(error))
    except KeyboardInterrupt:
        reported("stopped; run again to resume")
        _leave(STOPPED)
    logger.info("done in %.0f s", time.monotonic() - start)


def fingerprint(*groups: object, inputs: tuple[Path, ...]) -> str:
    """A hash of arguments, inputs and code: work left by a killed run is resumed only under it.

    ``groups`` are the arguments of ``main``. The file of weights that one names is an input. A
    folder among ``inputs`` stands for its manifest.
    """
    parameters = {name: str(value) for group in groups for name, value in _items(group)}
    named = file_of_weights(parameters.get("weights", "none"))
    files = [*inputs, *([named] if named else [])]
    hashes = [sha256(p if p.is_file() else manifest_of(p)) for p in files]
    content = [parameters, hashes, code_of(Path(sys.argv[0]))]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def manifest_of(folder: Path) -> Path:
    """The list of checksums that was written when the folder was complete."""
    for manifest in (folder.with_name(f"{folder.name}.sha256"), folder / "images.sha256"):
        if manifest.is_file():
            return manifest
    raise UserError(f"{folder}: not found, or not finished; run the step that makes it")


def _items(group: object) -> Iterator[tuple[str, object]]:
    if isinstance(group, BaseModel):
        yield from group
    elif dataclasses.is_dataclass(group):
        for field in dataclasses.fields(group):
            yield field.name, getattr(group, field.name)


def _report_memory(error: Exception, name: str, arguments: Arguments) -> int:
    """Report that memory ran out; raise any other error again."""
    if lack := lack_of_memory(error, arguments.numbers()):
        return reported(f"{name}: {lack}")
    if _another_has_reported():  # and has ended, and this one cannot do without it
        return 1
    raise error


def _report_disk(error: OSError) -> int:
    """Report an error of the operating system; raise any other error again."""
    if not error.errno:
        raise error
    return reported(f"{disk_sentence(error)}, then run again")


@contextlib.contextmanager
def _exclusive(output: Path) -> Iterator[None]:
    """Two engines, or two people, must not write the same output at once."""
    if REPORTED in os.environ or not _is_first():  # held by the process that started this one
        yield
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(output.with_name(f".{output.name}.lock"), timeout=0)
    try:
        with lock:
            yield
    except Timeout as error:
        raise UserError(
            f"{output} is being written by another process; wait for it or stop it"
        ) from error


class _Screen(logging.StreamHandler[TextIO]):
    """Messages on stderr; where nobody reads them any more, the step goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 logging's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _LogFile(logging.FileHandler):
    """A log file; where it cannot be written, say on a full disk, the step goes on without it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 logging's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError) or not error.errno:
            super().handleError(record)
            return
        logging.getLogger().removeHandler(self)
        error.filename = error.filename or os.path.relpath(self.baseFilename)
        logger.warning("warning: %s; this log ends here", disk_sentence(error))


def _start_log(log: Path | None) -> None:
    handlers: list[logging.Handler] = [_Screen()]
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        mode = "a" if REPORTED in os.environ or not _is_first() else "w"
        handlers.append(_LogFile(log, mode=mode, encoding="utf-8"))
    # Steps run side by side: logs/seed0/recam/train_seg.log speaks as seed0/recam/train_seg.
    name = "/".join((log or Path("logs", Path(sys.argv[0]).name)).with_suffix("").parts[1:][-3:])
    logging.basicConfig(
        force=True,
        level=logging.INFO if _is_first() else logging.ERROR,
        handlers=handlers,
        format=f"%(asctime)s {name}: %(message)s",
        datefmt="%H:%M:%S",
    )


def _is_first() -> bool:
    """Whether this process is the only one of its step, or rank 0."""
    return not is_together() or os.environ[RANK] == "0"


def is_together() -> bool:
    """Whether torchrun, or a step by its means, started this process beside others."""
    return TOGETHER in os.environ


def _leave(code: int) -> None:
    """Exit; at once beside other processes of this step, whose exit would be waited for."""
    if is_together():
        logging.shutdown()
        os._exit(code)
    sys.exit(code)


def reported(message: str) -> int:
    """Log an error, unless another process of this step has; return exit code 1."""
    try:
        if file := os.environ.get(REPORTED):
            Path(file).touch(exist_ok=False)
    except FileExistsError:
        return 1
    logger.error(message)
    return 1


def _another_has_reported() -> bool:
    return REPORTED in os.environ and Path(os.environ[REPORTED]).exists()
