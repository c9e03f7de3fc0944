"""The console script ``recam``: find the subcommand, check its arguments, run it.

Imports nothing but the standard library and light modules: help and wrong arguments take no time.
Each module of ``COMMANDS`` has ``DESCRIPTION``, ``EXAMPLE`` (a line), ``add_arguments(parser)`` and
``run(args) -> int``, and imports heavy packages in ``run`` only.
"""

import argparse
import difflib
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import NamedTuple, NoReturn

from recam.runtime.commands import run_command

WRONG = 2  # the exit code for a wrong command line, as argparse's
LONGEST = 300  # characters of a message of argparse, which may list every choice


class Command(NamedTuple):
    """A subcommand: its module in this room, its line in the list, and the extra it needs."""

    module: str
    line: str
    extra: str = ""


COMMANDS = {
    "predict": Command("predict", "write masks of images, with a trained segmenter"),
    "export": Command("export", "write a trained segmenter as an ONNX file", "onnx"),
    "check": Command("check", "list the faults of a data set", "workflow"),
    "import": Command("importing", "make a data set from the files of another tool", "exchange"),
    "convert": Command("converting", "write masks in the format of another tool", "exchange"),
    "report": Command("report", "write the results of an experiment as one HTML page", "report"),
}
USAGE = "usage: recam COMMAND [arguments]    recam COMMAND --help    recam --version"


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help of 80 columns, whatever the terminal."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=22, width=80)


class Parser(argparse.ArgumentParser):
    """A wrong command line gets one sentence, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        """Write the sentence and exit with code 2."""
        shown = message if len(message) <= LONGEST else f"{message[:LONGEST]} ..."
        self.exit(WRONG, f"{self.prog}: {shown}; {self.prog} --help lists the options\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns 0, 1 after an error, 2 for a wrong command line, or 130 after Ctrl-C. Wrong arguments of
    a subcommand raise SystemExit with code 2.
    """
    if argv is None and hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `recam --help | head` ends quietly
    words = list(sys.argv[1:] if argv is None else argv)
    first = words[0] if words else "--help"
    if first in ("-h", "--help"):
        print(_overview())  # noqa: T201 the output of this command
    elif first == "--version":
        print(f"recam {version('recam')}")  # noqa: T201
    elif first not in COMMANDS:
        sys.stderr.write(f"recam: {_unknown(first)}\n")
        return WRONG
    else:
        return _run(first, words[1:])
    return 0


def _run(name: str, words: list[str]) -> int:
    command = import_module(f"recam.commands.{COMMANDS[name].module}")
    args = parser_of(name, command).parse_args(words)
    numbers = {key: value for key, value in vars(args).items() if value is not None}
    return run_command(
        lambda: command.run(args),
        name=f"recam {name}",
        extra=COMMANDS[name].extra,
        numbers=numbers,
    )


def parser_of(name: str, command: ModuleType) -> Parser:
    """The parser of a subcommand."""
    parser = Parser(
        prog=f"recam {name}",
        description=command.DESCRIPTION,
        epilog=f"example:\n  {command.EXAMPLE}",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


def _overview() -> str:
    lines = "\n".join(f"  {name:9}{command.line}" for name, command in COMMANDS.items())
    return (
        f"{USAGE}\n\nClass re-activation maps (ReCAM): pixel masks from image-level labels.\n\n"
        f"{lines}\n\nexample:\n"
        "  recam predict --checkpoint results/seed0/recam/segmenter.pt trip/ --out masks"
    )


def _unknown(word: str) -> str:
    kind = "option" if word.startswith("-") else "command"
    near = difflib.get_close_matches(word.lower(), [*COMMANDS, "--help", "--version"], n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(COMMANDS)}"
    return f"there is no {kind} {word!r}; {hint}"
