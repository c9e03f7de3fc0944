"""Programs of the project, run in a forked copy of this process: imports are paid once."""

import importlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np
from numbers_of_steps import read_numbers
from project import SCRIPTS
from trial import Answer

from recam import export, predict
from recam.data.layout import load_weak_split
from recam.io.images import read_image
from recam.runtime.commands import run_command
from recam.steps.code import code_of
from recam.steps.command import run
from recam.steps.parser import parse

STEPS = (
    *("check_data", "download", "train_cam", "train_recam", "make_cams", "train_irn"),
    *("make_pseudo", "train_seg", "evaluate", "summarize", "draw"),
)
MODULES: Mapping[str, ModuleType] = {name: importlib.import_module(name) for name in STEPS}
for _name in STEPS:
    code_of(SCRIPTS / f"{_name}.py")  # kept for all copies: each step hashes its code
PIXELS = "pixels.npz"  # of every image of split train, as training reads them


def attempt(
    program: str,
    words: tuple[str, ...],
    *,
    folder: Path,
    seconds: float,
    before: Callable[[], None] | None = None,
) -> Answer:
    """Run a program with ``words`` in ``folder``; it is killed after ``seconds``.

    ``before`` is called in its process.
    """
    pid = start(program, words, folder=folder, before=before)
    code = wait(pid, seconds=seconds)
    texts = [(folder / name).read_text(errors="replace") for name in ("stdout", "stderr")]
    return Answer(code=code, stdout=texts[0], stderr=texts[1])


def start(
    program: str,
    words: tuple[str, ...],
    *,
    folder: Path,
    before: Callable[[], None] | None = None,
) -> int:
    """Fork; the child runs the program in a session of its own. Returns its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    os.chdir(folder)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    step = "download" if program == "images" else program.rsplit(maxsplit=1)[-1]
    sys.argv = [str(SCRIPTS / f"{step}.py"), *words]
    if before:
        before()
    os._exit(_exit_code(program))


def wait(pid: int, *, seconds: float) -> int | None:
    """The exit code, negative after a signal; None if the process had to be killed."""
    end = time.monotonic() + seconds
    pause = 0.002
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    kill(pid)
    return None


def kill(pid: int) -> None:
    """End a started program and the processes of its group."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _exit_code(program: str) -> int:
    code: object = 0
    try:
        code = program_of(program)()
    except SystemExit as error:
        code = error.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:  # as the interpreter ends: the judge looks for the traceback
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 0


def program_of(name: str) -> Callable[[], Any]:
    """The function that a program's command line calls."""
    if name in MODULES:
        return lambda: run(MODULES[name].main)
    if name.startswith("parse "):
        return lambda: _parse(MODULES[name.removeprefix("parse ")])
    return {
        "predict": predict.main,
        "export": export.main,
        "params": lambda: run_command(lambda: read_numbers(Path(sys.argv[1])), name=name),
        "images": _images,
    }[name]


def _parse(module: ModuleType) -> int:
    """Read a step's command line, and print its numbers; return the exit code."""
    return run_command(lambda: print(parse(module.main).numbers()) or 0, name="parse")


def _images() -> None:
    """Run download, then read the images of split train as training does."""
    run(MODULES["download"].main)

    def read() -> int:
        split = load_weak_split(Path("data"), "train")
        pixels = {i: read_image(p) for i, p in zip(split.ids, split.images, strict=True)}
        np.savez(PIXELS, **pixels)
        return 0

    sys.exit(run_command(read, name="images"))


def limit_file_size(size: int) -> None:
    """Refuse writes beyond ``size`` bytes with an error instead of a signal."""

    def ignore(number: int, frame: FrameType | None) -> None: ...

    signal.signal(signal.SIGXFSZ, ignore)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
