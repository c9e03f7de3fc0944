"""The verdict on one answer: an exit code, an output and an independent rule."""

import re
import signal

from trial import Outcome

VERDICTS = ("right", "refused", "silent", "needless", "unclear", "traceback", "hung")
GOOD = ("right", "refused")
MEANINGS = {
    "right": "accepted, with the right result",
    "refused": "refused in one sentence",
    "silent": "accepted, with a wrong result and no word about it",
    "needless": "refused, although the documentation allows it",
    "unclear": "refused in more than one sentence, or without the file or the number",
    "traceback": "ended with a traceback or a signal",
    "hung": "stopped after its time limit",
}
STOPPED = (130, -signal.SIGTERM)  # the ends by Ctrl-C and by SIGTERM; the next run is judged
LONGEST = 500  # characters of a refusal, paths left out
CRASHES = (
    "Traceback (most recent call last)",
    "Logging error",
    "Exception ignored in",
    " object at 0x",
)
LOGGED = re.compile(r"\d\d:\d\d:\d\d \S+: ")
EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b")
PATH = re.compile(r"[^\s:;,]*/[^\s:;,]*")


def verdict(outcome: Outcome) -> tuple[str, str]:
    """One of VERDICTS, and the reason in a few words."""
    answer = outcome.answer
    if answer.code is None:
        return "hung", "no end within the time limit"
    output = answer.stdout + answer.stderr
    for crash in CRASHES:
        if crash in output:
            return "traceback", raised(output)
    if answer.code in (0, *STOPPED):
        return _of_acceptance(outcome)
    if answer.code < 0 or answer.code > 2:
        return "traceback", f"exit code {answer.code}: {last_line(output)}"
    said = answer.stderr or answer.stdout
    if fault := unclear(said, outcome.names):
        return "unclear", f"{fault}: {last_line(said)}"
    return ("needless" if outcome.accepted else "refused"), last_line(said)


def _of_acceptance(outcome: Outcome) -> tuple[str, str]:
    if outcome.difference:
        return "silent", outcome.difference
    is_wrong = outcome.accepted is False
    return ("silent", "accepted; must be refused") if is_wrong else ("right", "")


def unclear(stderr: str, names: tuple[str, ...]) -> str:
    """A reason why a refusal is no clear sentence; empty for a clear one."""
    lines = [line for line in shown_lines(stderr) if "warning: " not in line]
    if not lines:
        return "no message"
    if any(line.startswith("usage:") for line in lines):
        return f"the usage in {len(lines)} lines"
    others = [line for line in lines[:-1] if not LOGGED.match(line)]
    if others:
        return f"{len(others) + 1} lines"
    sentence = LOGGED.sub("", lines[-1])
    if len(PATH.sub("", sentence)) > LONGEST:
        return f"{len(sentence)} characters"
    if names and not any(name in sentence for name in names):
        return f"names none of {', '.join(names)}"
    return ""


def shown_lines(text: str) -> list[str]:
    """The lines that stay on a terminal: progress bars are overwritten."""
    lines = [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line for line in lines if line and "it/s]" not in line and "%|" not in line]


def raised(output: str) -> str:
    """The last line that names an exception, else the last line."""
    lines = [line for line in shown_lines(output) if EXCEPTION.match(line)]
    return lines[-1][:LONGEST] if lines else last_line(output)


def last_line(text: str) -> str:
    """The last line that is shown."""
    return (shown_lines(text) or ["(nothing)"])[-1][:LONGEST]
