"""What every step shares: command line, lock, log, and one sentence for a user's mistake.

The arguments of a step's section, with their types, ranges and help, are read from the schema that
also checks params.yaml, so that no number is described twice.
"""

import argparse
import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

import recam
from recam.core.errors import UserError
from recam.io.atomic import sha256
from recam.runtime.memory import lack_of_memory

SCHEMA = Path(__file__).parents[3] / "workflow/schemas/params.schema.yaml"
TYPES: dict[str, type[int | float | str]] = {"integer": int, "number": float, "string": str}
OPTIONAL = "optional: "  # how the help of a path marks one that may be left empty
# The marks of paths that do not take exactly one value, with argparse's word for how many.
COUNTS = {
    OPTIONAL: "?",
    "several: ": "+",
    "out: two": 2,
    "out: three": 3,
    "out: four": 4,
    "out: five": 5,
}
STOPPED = 130  # the shell's exit code for an interrupt
# Set for each of several processes that do a step together: see ``recam.steps.launch``.
TOGETHER = "TORCHELASTIC_RUN_ID"  # by torchrun
RANK = "RANK"  # its number, by torchrun
REPORTED = (
    "RECAM_REPORTED"  # by the step that started them, which holds the lock: a file, see `reported`
)
DISK_FAULTS = {
    errno.ENOSPC: "no space is left on its disk; free some",
    errno.EDQUOT: "your quota of its disk is used up; free some",
    errno.EACCES: "it may not be written or read; change its permissions",
    errno.EPERM: "it may not be written or read; change its permissions",
    errno.EROFS: "its disk is read-only; choose another place",
    errno.ENOTDIR: "a file stands where a folder is needed; move it",
    errno.EEXIST: "a file stands where a folder is needed; move it",
    errno.EISDIR: "a folder stands where a file is needed; move it",
    errno.EFBIG: "a file may not grow as large as this; raise the limit",
}

logger = logging.getLogger(__name__)


def run(
    main: Callable[[argparse.Namespace], None],
    *,
    description: str | None,
    paths: dict[str, str],
    section: str = "",
    common: tuple[str, ...] = (),
) -> None:
    """Run a step as a command line and exit.

    ``paths`` are the step's files and folders with their help, the outputs after ``out:``;
    ``common`` names top-level parameters (device, random_seed, method).
    """
    outputs = [name for name, text in paths.items() if text.startswith("out: ")]
    parser = _parser(description, paths=paths, section=section, common=common)
    args = parser.parse_args()
    _start_log(args.log)
    start = time.monotonic()
    try:
        with _exclusive(getattr(args, outputs[0])):
            main(args)
    except UserError as error:
        _leave(reported(f"{section or parser.prog}: {error}"))
    except (RuntimeError, MemoryError) as error:
        if lack := lack_of_memory(error, args):
            _leave(reported(f"{section or parser.prog}: {lack}"))
        if _another_has_reported():  # and has ended, and this one cannot do without it
            _leave(1)
        raise
    except OSError as error:
        if error.errno not in DISK_FAULTS:
            raise
        _leave(
            reported(f"{error.filename or 'a file'}: {DISK_FAULTS[error.errno]}, then run again")
        )
    except KeyboardInterrupt:
        reported("stopped; run again to go on from here")
        _leave(STOPPED)
    logger.info("done in %.0f s", time.monotonic() - start)


def fingerprint(args: argparse.Namespace, *paths: Path) -> str:
    """A hash of parameters, inputs and code: work left by a killed run is good only under it.

    A folder stands for the manifest beside it.
    """
    parameters = {k: str(v) for k, v in vars(args).items() if k != "log"}
    code = sorted(Path(recam.__file__).parent.rglob("*.py"))
    inputs = [sha256(p if p.is_file() else manifest_of(p)) for p in (*paths, *code)]
    return hashlib.sha256(json.dumps([parameters, inputs]).encode()).hexdigest()


def manifest_of(folder: Path) -> Path:
    """The list of checksums that was written when the folder was whole."""
    for manifest in (folder.with_name(f"{folder.name}.sha256"), folder / "images.sha256"):
        if manifest.is_file():
            return manifest
    raise UserError(f"{folder}: not found, or not finished; run the step that makes it")


def _parser(
    description: str | None, *, paths: dict[str, str], section: str, common: tuple[str, ...]
) -> argparse.ArgumentParser:
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    for name, text in paths.items():
        parser.add_argument(
            f"--{name}",
            type=Path,
            nargs=next((count for mark, count in COUNTS.items() if text.startswith(mark)), None),
            required=not text.startswith(OPTIONAL),
            help=text.removeprefix("out: "),
        )
    parser.add_argument("--log", type=Path, help="file that receives the messages too")
    shared = {name: schema["$defs"][name] for name in common}
    _add(parser, "of the whole experiment", shared, required=common)
    if section:
        own = schema["properties"][section]
        title = f"section {section} of params.yaml"
        _add(parser, title, own["properties"], required=own["required"])
    return parser


def _add(
    parser: argparse.ArgumentParser,
    title: str,
    specs: dict[str, dict],
    *,
    required: Collection[str],
) -> None:
    group = parser.add_argument_group(title)
    for name, spec in specs.items():
        help_text = spec["description"].replace("%", "%%")
        if spec["type"] == "boolean":  # absent is false, as DVC and the Snakefile print it
            group.add_argument(f"--{name}", action="store_true", help=help_text)
            continue
        group.add_argument(
            f"--{name}",
            type=_checked(spec.get("items", spec)),
            nargs="+" if spec["type"] == "array" else None,
            required=name in required,
            help=help_text,
        )


def _checked(spec: dict) -> Callable[[str], object]:
    kinds = spec["type"] if isinstance(spec["type"], list) else [spec["type"]]

    def convert(text: str) -> object:
        value = _value(text, kinds)
        if isinstance(value, str) and not re.search(spec.get("pattern", ""), value):
            raise argparse.ArgumentTypeError(f"expected {spec['description']}, got {text}")
        if "enum" in spec and value not in spec["enum"]:
            raise argparse.ArgumentTypeError(f"expected one of {spec['enum']}, got {text}")
        if not isinstance(value, str) and not _in_range(value, spec):
            raise argparse.ArgumentTypeError(f"got {text}, out of range: {spec['description']}")
        return value

    convert.__name__ = " or ".join(kinds)  # argparse names the type in its message
    return convert


def _value(text: str, kinds: list[str]) -> int | float | str:
    """Of the first type that it can be."""
    *others, last = kinds
    for kind in others:
        with contextlib.suppress(ValueError):
            return TYPES[kind](text)
    return TYPES[last](text)


def _in_range(value: float, spec: dict) -> bool:
    return (
        value >= spec.get("minimum", value)
        and value <= spec.get("maximum", value)
        and value > spec.get("exclusiveMinimum", value - 1)
    )


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


def _start_log(log: Path | None) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        mode = "a" if REPORTED in os.environ or not _is_first() else "w"
        handlers.append(logging.FileHandler(log, mode=mode, encoding="utf-8"))
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
    """Whether this process is the only one of its step, or the first."""
    return not is_together() or os.environ[RANK] == "0"


def is_together() -> bool:
    """Whether torchrun, or a step by its means, has started this process beside others."""
    return TOGETHER in os.environ


def _leave(code: int) -> None:
    """Exit; at once where others work on this step, who might be waited for otherwise."""
    if is_together():
        logging.shutdown()
        os._exit(code)
    sys.exit(code)


def reported(message: str) -> int:
    """Tell a mistake, unless another process of this step has made the file that says so."""
    try:
        if file := os.environ.get(REPORTED):
            Path(file).touch(exist_ok=False)
    except FileExistsError:
        return 1
    logger.error(message)
    return 1


def _another_has_reported() -> bool:
    """Whether another process of this step has told a mistake."""
    return REPORTED in os.environ and Path(os.environ[REPORTED]).exists()
