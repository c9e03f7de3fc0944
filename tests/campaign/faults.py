"""Faults around a step: a full disk, permissions, locks, signals, leftovers of a killed run.

Each step runs under the fault, then again without it: the second run ends with the intact bytes.
"""

import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import programs
from damage import OF_BYTES
from filelock import FileLock
from files import BY_STEP, Reader, copied_run, words_for
from kills import SECONDS, kill_at
from trees import Progress, changed, contents, unfinished
from trial import Answer, Outcome, Scene

NOBODY = 65534
LOG = "logs/step.log"


@dataclass(kw_only=True)
class Fault:
    """A fault before it happens: what is done in the step's process, and what is held meanwhile."""

    scene: Scene
    reader: Reader
    run: Path
    words: tuple[str, ...]
    in_process: Callable[[], None] = lambda: None
    held: list[AbstractContextManager[object]] = field(default_factory=list)
    mended: Callable[[], None] = lambda: None
    names: tuple[str, ...] = ()
    accepted: bool | None = None

    @property
    def output(self) -> Path:
        """The first output of the step, which it locks."""
        return self.run / FIRST[self.reader.step]


FIRST = {
    "make_cams": "cams",
    "make_pseudo": "pseudo",
    "evaluate": "predictions",
    "train_cam": "classifier.pt",
    "train_seg": "segmenter.pt",
}


def step(scene: Scene) -> Outcome:
    """One step under one fault, then without it."""
    run = copied_run(scene)
    reader = BY_STEP[scene.random.choice(sorted(BY_STEP))]
    meant = contents(run, reader.made)
    for made in reader.made:
        (run / made).unlink()
    words = (*words_for(scene, reader), "--log", LOG)
    fault = Fault(scene=scene, reader=reader, run=run, words=words)
    about, prepare = scene.random.choice(list(FAULTS.items()))
    prepare(fault)
    with ExitStack() as held:
        for thing in fault.held:
            held.enter_context(thing)
        first = programs.attempt(
            reader.step,
            fault.words,
            folder=scene.folder,
            seconds=SECONDS,
            before=fault.in_process,
        )
    found = changed(contents(run, reader.made), meant) if first.code == 0 else ""
    if first.code != 0 and first.code is not None and "Traceback" not in first.stderr:
        found = _again(fault, meant)
    return Outcome(
        about=f"{reader.step}: {about}",
        answer=first if not found else Answer(code=0, stdout="", stderr=first.stderr),
        difference=found,
        names=fault.names,
        accepted=fault.accepted,
    )


def _again(fault: Fault, meant: dict[str, str]) -> str:
    """The difference after a second run without the fault; empty for the intact bytes."""
    fault.mended()
    again = programs.attempt(
        fault.reader.step, fault.words, folder=fault.scene.folder, seconds=SECONDS
    )
    if again.code != 0:
        return f"after the fault the step fails: {again.stderr[-200:]}"
    found = changed(contents(fault.run, fault.reader.made), meant)
    return found or unfinished(fault.scene.folder, ("results",))


def _full_disk(fault: Fault) -> None:
    """No file may grow beyond a limit, as on a full disk or with a quota."""
    size = round(10 ** fault.scene.random.uniform(0, 7))
    fault.in_process = lambda: programs.limit_file_size(size)
    fault.names = ("results", "logs", "limit", "disk")


def _few_files(fault: Fault) -> None:
    """Few files may be open at once."""
    count = fault.scene.random.randint(5, 14)
    fault.in_process = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def _read_only(fault: Fault) -> None:
    """The folder of results may not be written; root may always, so the step runs as nobody."""
    _open_to_all(fault)
    fault.run.chmod(0o555)
    fault.mended = lambda: fault.run.chmod(0o777)
    fault.names = ("results", "logs")  # the receipt beside the log is an output, too


def _unreadable(fault: Fault) -> None:
    """An input may not be read; train_cam has none in this folder and runs."""
    _open_to_all(fault)
    inputs = {"train_seg": "pseudo", "make_cams": "classifier.pt", "evaluate": "segmenter.pt"}
    target = fault.run / inputs.get(fault.reader.step, "cams")
    if target.is_dir():
        target = sorted(target.iterdir())[0]
    shutil.copy(target, target.with_name(f".{target.name}.copy"))
    target.with_name(f".{target.name}.copy").replace(target)  # no hard link to the finished run
    target.chmod(0)
    fault.mended = lambda: target.chmod(0o644)
    fault.names = (target.name,)


def _open_to_all(fault: Fault) -> None:
    """Let everybody write the trial's folder, and drop the rights of root in the step."""
    for folder, _, _ in os.walk(fault.scene.folder):
        Path(folder).chmod(0o777)

    def drop() -> None:
        if os.geteuid() == 0:
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)

    fault.in_process = drop


def _log_is_folder(fault: Fault) -> None:
    """A folder stands where the log should be, or a file where its folder should be."""
    place = fault.scene.folder / LOG
    if fault.scene.random.random() < 0.5:
        place.mkdir(parents=True)
        fault.mended = place.rmdir
    else:
        place.parent.write_text("in the way")
        fault.mended = place.parent.unlink
    fault.names = ("logs",)


def _stale_lock(fault: Fault) -> None:
    """The lock file of a killed step is left, and nobody holds it."""
    fault.output.with_name(f".{fault.output.name}.lock").write_text("123456")
    fault.accepted = True


def _held_lock(fault: Fault) -> None:
    """Another process writes the same output."""
    fault.held.append(FileLock(fault.output.with_name(f".{fault.output.name}.lock")))
    fault.names = (fault.output.name,)
    fault.accepted = False


def _rubbish_beside(fault: Fault) -> None:
    """Files by the names of unfinished work, with other content."""
    beside = (f".{fault.output.name}.partial", f"{fault.output.stem}.last.pt")
    places = [fault.output.with_name(name) for name in beside]
    for place in places:
        if fault.scene.random.random() < 0.5:
            place.write_bytes(fault.scene.random.randbytes(100))
        else:
            place.mkdir(exist_ok=True)
            (place / ".key").write_text(fault.scene.random.choice(["", "other", "\0"]))
            (place / "rubbish.npz").write_bytes(b"rubbish")

    def mend() -> None:
        for place in places:
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)

    fault.mended = mend
    fault.names = beside


def _damaged_leftovers(fault: Fault) -> None:
    """The step was killed, and one file of its unfinished work was damaged before it goes on."""
    progress = Progress(fault.scene.folder, ("results",))
    pid = programs.start(fault.reader.step, fault.words, folder=fault.scene.folder)
    kill_at(pid, progress, fault.scene.random.randint(3, 20), delay=0)
    hidden = [f for f in fault.run.rglob(".*.partial/*") if not f.name.startswith(".")]
    left = sorted([*hidden, *fault.run.glob("*.last.pt")])
    if left:
        name = fault.scene.random.choice(["flipped bit", "truncated", "zeros", "zero block"])
        OF_BYTES[name](fault.scene, fault.scene.random.choice(left))


def _signal(number: int) -> Callable[[Fault], None]:
    """A signal while the step works: it says that it stopped, and goes on when run again."""

    def prepare(fault: Fault) -> None:
        parent = os.getpid()
        pause = fault.scene.random.random()

        def later() -> None:
            if os.fork() == 0:
                time.sleep(pause)
                if os.getppid() != parent:
                    os.kill(os.getppid(), number)
                os._exit(0)

        fault.in_process = later

    return prepare


def _output_in_the_way(fault: Fault) -> None:
    """Something of another kind stands where an output belongs."""
    place = fault.output
    shutil.rmtree(place, ignore_errors=True)
    place.unlink(missing_ok=True)
    kind = fault.scene.random.choice(["link", "pipe", "other"])
    if kind == "link":
        place.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(place)
    elif fault.reader.step.startswith("train"):
        place.mkdir()
        (place / "mine.txt").write_text("mine")
    else:
        place.write_text("mine")
    fault.mended = lambda: shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    fault.names = (place.name,)


def _no_memory(fault: Fault) -> None:
    """Little address space is left."""
    with Path("/proc/self/statm").open() as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    more = round(fault.scene.random.uniform(1, 60)) << 20
    fault.in_process = lambda: resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))


def _no_temporary_folder(fault: Fault) -> None:
    """No folder for temporary files, and no home."""

    def change() -> None:
        os.environ |= {"TMPDIR": "/proc/none", "HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none"}

    fault.in_process = change


FAULTS: dict[str, Callable[[Fault], None]] = {
    "full disk": _full_disk,
    "a full disk": _full_disk,
    "few open files": _few_files,
    "read-only results": _read_only,
    "unreadable input": _unreadable,
    "log in the way": _log_is_folder,
    "stale lock": _stale_lock,
    "held lock": _held_lock,
    "rubbish of unfinished work": _rubbish_beside,
    "damaged unfinished work": _damaged_leftovers,
    "damage in unfinished work": _damaged_leftovers,
    "Ctrl-C": _signal(signal.SIGINT),
    "SIGTERM": _signal(signal.SIGTERM),
    "output in the way": _output_in_the_way,
    "little memory": _no_memory,
    "no temporary folder": _no_temporary_folder,
}
