"""How fast every kind of heavy work is beside its plain form: `python benchmarks/speed.py`.

The plain form does the same work as the authors' code does it, in contiguous layout and in float32
as torch has it by default (on a GPU its convolutions may use TF32); ``speed_training.py`` and
``speed_rows.py`` say it of each. Prints one table, the same on a CPU and a GPU, then what became of
the targets. On a CPU sizes are smaller, as the rows say.

- Forms of a row run in turns in one process; each turn gives one ratio to the row's first form.
  On one thread of a CPU the time counts that the process had its core, else the clock's.
- Memory is what running adds to imports, networks and inputs, each form in a process of its own.
- The share of the limit is, of what computes, the floating-point operations of its convolutions and
  matrix products a second over those of one large matrix product in the same precision; of what
  moves memory, the bytes that it moves at least over those of one large copy. Bytes that stay in a
  cache move faster than a copy's, so that share may exceed 100 %.

Imports no torch: see ``speed_measure.py``, which measures in processes of their own.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROWS = (
    "train_cam",
    "train_recam_20",
    "train_recam_80",
    "make_cams",
    "walk",
    "crf",
    "train_seg",
    "starvation",
)
COLUMNS = (
    "work",
    "form",
    "images a second",
    "ms a step or image",
    "time",
    "peak, MiB",
    "memory",
    "share of the limit",
)
MIB = 1 << 20

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of a form's time or memory over those of the row's first form."""

    device: str
    row: str
    form: str
    what: str  # time or memory
    at_least: float
    inverse: bool = False  # said the other way round: the first form over this one, at most


TARGETS = (
    Target("cuda", "train_recam_20", "plain", "time", 3),
    Target("cuda", "train_recam_20", "plain", "memory", 3),
    Target("cuda", "train_recam_80", "plain", "time", 3),
    Target("cuda", "train_recam_80", "plain", "memory", 3),
    Target("cuda", "make_cams", "plain", "time", 5),
    Target("cuda", "walk", "plain", "time", 20),
    Target("cpu", "train_recam_20", "train_cam, ours", "time", 1 / 1.05, inverse=True),
    Target("cpu", "train_recam_80", "train_cam, ours", "time", 1 / 1.05, inverse=True),
    Target("cpu", "make_cams", "plain", "time", 1),
    Target("cpu", "walk", "plain", "time", 10),
)


def main() -> None:
    """Measure the chosen rows, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    args = parser.parse_args()
    common = ("--device", args.device, "--threads", str(args.threads))
    answers: dict[str, Answer] = {}
    print_row(COLUMNS)
    print_row(["---"] * len(COLUMNS))
    for row in args.rows:
        answers[row] = asked(row, *common, "--rounds", str(args.rounds))
        for form, found in answers[row]["forms"].items():
            if answers[row]["has_memory"] and found.get("fault") != "not installed":
                found["memory"] = asked(row, *common, "--memory", form)
        for form in answers[row]["forms"]:
            print_row(cells(answers[row], form))
    for line in verdicts(answers):
        print(f"\n{line}")
    print(f"\nMachine: {next(iter(answers.values()))['machine']}.")


def asked(*arguments: str) -> Answer:
    """What a process of its own measured."""
    command = [sys.executable, str(HERE / "speed_measure.py"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 ours
    if done.returncode:
        raise SystemExit(f"speed_measure.py {' '.join(arguments)}: code {done.returncode}")
    return json.loads(done.stdout)


def print_row(values: Sequence[str]) -> None:
    """One line of the table, at once."""
    print(f"| {' | '.join(values)} |", flush=True)


def cells(answer: Answer, form: str) -> tuple[str, ...]:
    """A form's line of the table."""
    return (answer["name"], form, *_time_cells(answer, form), *_memory_cells(answer, form))


def verdicts(answers: dict[str, Answer]) -> list[str]:
    """What became of the targets of the rows that were measured."""
    lines: list[str] = []
    for target in TARGETS:
        answer = answers.get(target.row)
        if answer is None or answer["device"] != target.device:
            continue
        subject = f"Target for {answer['name']}: {target.what} of"
        sign = -1 if target.inverse else 1
        limit = f"{target.at_least**sign:.3g}"
        words = (
            f"{subject} ours at most {limit} of {target.form}"
            if target.inverse
            else f"{subject} {target.form} at least {limit} of ours"
        )
        ratio = ratio_of(answer, target.form, target.what)
        if ratio is None:
            fault = answer["forms"][target.form].get("fault", "nothing to divide by")
            lines.append(f"{words}. Not measured: {fault}.")
        else:
            met = "Met" if ratio >= target.at_least else "**Missed**"
            lines.append(f"{words}. {met}: {ratio**sign:.3g}.")
    return lines


def ratio_of(answer: Answer, form: str, what: str) -> float | None:
    """A form's median time or its memory over the first form's, None where one is not known."""
    found = answer["forms"][form]
    if what == "time":
        return found["ratios"][1] if "ratios" in found else None
    first = next(iter(answer["forms"].values()))
    own, of_first = (one.get("memory", {}).get("above", 0) for one in (found, first))
    return own / of_first if own and of_first else None


def _time_cells(answer: Answer, form: str) -> tuple[str, str, str]:
    found = answer["forms"][form]
    if "fault" in found:
        return "", "", found["fault"]
    each = found["seconds"] / (1 if answer["unit"] == "step" else answer["images"])
    lower, median, upper = (_short(ratio) for ratio in found["ratios"])
    ratio = "1" if _is_first(answer, form) else f"**{median}** ({lower} to {upper})"
    return _short(answer["images"] / found["seconds"]), _short(1e3 * each), ratio


def _memory_cells(answer: Answer, form: str) -> tuple[str, str, str]:
    found = answer["forms"][form]
    memory = found.get("memory", {})
    peak = f"{memory['above'] / MIB:,.0f}" if "above" in memory else memory.get("fault", "")
    ratio = ratio_of(answer, form, "memory")
    told = "" if ratio is None else "1" if _is_first(answer, form) else f"**{_short(ratio)}**"
    share = f"{found['share']:.0%} of {found['limit']}" if found.get("share") else ""
    return peak, told, share


def _is_first(answer: Answer, form: str) -> bool:
    return form == next(iter(answer["forms"]))


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
