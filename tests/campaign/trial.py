"""One bad input: how it is tried, and the rule of the right answer."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

Rule = Callable[[Path, str], str]  # folder, output -> the difference, empty if right


def anything(folder: Path, output: str) -> str:
    """No rule: only tracebacks, hangs and unclear refusals count."""
    return ""


def warned(output: str, names: tuple[str, ...], hints: tuple[str, ...]) -> bool:
    """Whether a line names one of ``names`` and says why, in one of the words ``hints``.

    The usual warning of few images lists every class and explains nothing.
    """
    lines = [line for line in output.splitlines() if "fewer than" not in line]
    shown = [form for name in names for form in (name, ascii(name)[1:-1])]
    return any(
        any(name in line for name in shown) and any(hint in line.lower() for hint in hints)
        for line in lines
    )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A command line on a bad input.

    ``accepted`` is True for an input that the documentation allows, False for one that must be
    refused, None where both are right. A refusal names one of ``names``.
    """

    about: str
    program: str  # a name of PROGRAMS
    words: tuple[str, ...]
    names: tuple[str, ...]
    right: Rule = anything
    accepted: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The end of a program: its exit code, None if it was stopped as hung, and its output."""

    code: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One case after its end; ``difference`` is empty for a right result."""

    about: str
    answer: Answer
    difference: str
    names: tuple[str, ...] = ()
    accepted: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where a trial is set up: a new folder, and the finished small experiment, read-only."""

    random: Random
    folder: Path
    finished: Path


Generator = Callable[[Scene], Trial]
Probe = Callable[[Scene], Outcome]
