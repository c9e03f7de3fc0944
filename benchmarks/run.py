"""Timings side by side: `python benchmarks/run.py TOPIC ...`, without a topic a list of them.

Prints one table a topic, then its targets and its command. `TOPIC/WORK` chooses one row of it.
Every work is measured in a process of its own, which prints JSON (``harness.py``).
"""

import argparse
import ast
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOPICS = (
    *("training", "segmenters", "maps", "advcam", "refinement", "images"),
    *("precision", "gradcam", "loops", "accelerator"),
)
COLUMNS = {
    "work": "",
    "ours, ms": "---:",
    "beside it": "",
    "its, ms": "---:",
    "time": "",
    "ours, MiB": "---:",
    "its, MiB": "---:",
    "memory": "",
    "note": "",
}
MIB = 1 << 20

Answer = dict[str, Any]


def main() -> None:
    """Measure the chosen topics, one after the other; exit with 1 if a work failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    args = parser.parse_args()
    for name in args.topics:
        if (topic := topic_of(name)) not in TOPICS:
            parser.error(f"there is no topic {topic!r}; expected some of {', '.join(TOPICS)}")
    if not args.topics:
        print("\n".join(f"{topic:<12}{summary(topic)}" for topic in TOPICS))
        return
    options = [f"--{name}={getattr(args, name)}" for name in ("device", "rounds", "threads")]
    are_whole = [measured(topic, works, options) for topic, works in by_topic(args.topics)]
    sys.exit(0 if all(are_whole) else 1)


def summary(topic: str) -> str:
    """The first line of a topic's docstring."""
    source = (HERE / f"{topic}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def by_topic(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each topic with its works, all of them if none is named."""
    for topic in dict.fromkeys(topic_of(name) for name in names):
        chosen = [name.partition("/")[2] for name in names if topic_of(name) == topic]
        yield topic, chosen if all(chosen) else (asked(topic) or "").split()


def topic_of(name: str) -> str:
    """The topic of `TOPIC/WORK`."""
    return name.partition("/")[0]


def measured(topic: str, works: list[str], options: Sequence[str]) -> bool:
    """Print the table of a topic, each line at once; return True if all works were measured."""
    print(f"### {topic}\n")
    print_row(COLUMNS)
    print_row([mark or "---" for mark in COLUMNS.values()])
    answers: list[Answer] = []
    for work in works:
        output = asked(topic, work, *options)
        if output is None:
            print_row([work, "failed", *[""] * (len(COLUMNS) - 2)])
            continue
        answer: Answer = json.loads(output)
        add_memory(answer, topic, work, options)
        for row in rows(answer):
            print_row(row)
        answers.append(answer)
    for line in [verdict for answer in answers for verdict in verdicts(answer)]:
        print(f"\n{line}")
    others = set(TOPICS) - {topic}
    words = [word for word in sys.argv[1:] if topic_of(word) not in others]
    command = ["python", "benchmarks/run.py", *words]
    machines = dict.fromkeys(answer["machine"] for answer in answers)
    print(f"\n`{shlex.join(command)}` on {'; '.join(machines) or 'a machine where all failed'}.\n")
    return len(answers) == len(works)


def asked(topic: str, *arguments: str) -> str | None:
    """The output of a topic's own process; None if it failed."""
    command = [sys.executable, str(HERE / f"{topic}.py"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 ours
    return None if done.returncode else done.stdout


def add_memory(answer: Answer, topic: str, work: str, options: Sequence[str]) -> None:
    """On a CPU each form's memory comes from a process of its own, as peaks only rise."""
    if not answer["has_memory"]:
        return
    for form, found in answer["forms"].items():
        if "memory" not in found and "fault" not in found:
            output = asked(topic, work, *options, "--memory", form)
            found["memory"] = {"fault": "failed"} if output is None else json.loads(output)


def print_row(values: Sequence[str] | dict[str, str]) -> None:
    """One line of the table, at once."""
    print(f"| {' | '.join(values)} |", flush=True)


def rows(answer: Answer) -> Iterator[list[str]]:
    """A line for each form beside ours, or one line where ours is alone."""
    first, *others = answer["forms"]
    for form in others or [""]:
        yield [
            answer["name"],
            milliseconds(answer, first),
            form,
            milliseconds(answer, form) if form else "",
            time_ratio(answer, form) if form else "",
            mebibytes(answer, first),
            mebibytes(answer, form) if form else "",
            memory_ratio(answer, form) if form else "",
            note(
                answer["forms"][first], answer["forms"].get(form, {}), is_first=form in others[:1]
            ),
        ]


def note(ours: Answer, its: Answer, *, is_first: bool) -> str:
    """Our share of the device's limit, and the share of a form's labels that equal ours."""
    notes = [f"ours {ours['share']:.0%} of {ours['limit']}"] if is_first and "share" in ours else []
    return ", ".join(notes + ([f"{its['equal']:.2%} of labels equal"] if "equal" in its else []))


def milliseconds(answer: Answer, form: str) -> str:
    """The median time of a run, over its images, or why there is none."""
    found = answer["forms"][form]
    return found.get("fault") or short(1e3 * found["seconds"] / answer["images"])


def time_ratio(answer: Answer, form: str) -> str:
    """The median and the quartiles of a form's time over ours."""
    if "ratios" not in answer["forms"][form]:
        return ""
    lower, median, upper = (short(ratio) for ratio in answer["forms"][form]["ratios"])
    return f"**{median}** ({lower} to {upper})"


def mebibytes(answer: Answer, form: str) -> str:
    """The memory that running a form adds, or why it is not known."""
    memory = answer["forms"][form].get("memory", {})
    return f"{memory['above'] / MIB:,.0f}" if "above" in memory else memory.get("fault", "")


def memory_ratio(answer: Answer, form: str) -> str:
    """A form's memory over ours."""
    ratio = ratio_of(answer, form, "memory")
    return "" if ratio is None else f"**{short(ratio)}**"


def ratio_of(answer: Answer, form: str, what: str) -> float | None:
    """A form's median time or its memory over ours; None if one is unknown."""
    found = answer["forms"][form]
    if what == "time":
        return found["ratios"][1] if "ratios" in found else None
    ours = next(iter(answer["forms"].values()))
    own, of_ours = (one.get("memory", {}).get("above", 0) for one in (found, ours))
    return own / of_ours if own and of_ours else None


def verdicts(answer: Answer) -> Iterator[str]:
    """The targets of a work, met or missed."""
    for target in answer["targets"]:
        if target["device"] not in ("", answer["device"]):
            continue
        form, what, limit = target["form"], target["what"], target["at_least"]
        words = f"Target for {answer['name']}: {what} of {form} at least {limit:.3g} of ours."
        ratio = ratio_of(answer, form, what)
        if ratio is None:
            yield f"{words} Not measured: {answer['forms'][form].get('fault', 'memory of 0')}."
        else:
            yield f"{words} {'Met' if ratio >= limit else '**Missed**'}: {ratio:.3g}."


def short(value: float) -> str:
    """A number with two decimals if it is small."""
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
