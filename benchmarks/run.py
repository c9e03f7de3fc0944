"""Time and memory of what the library claims to do well, as ratios: `python benchmarks/run.py`.

Prints one table a topic and puts it into ``benchmarks/README.md``. Imports no torch: see
``measure.py``, which does the measuring in processes of their own.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
README = HERE / "README.md"
TOPICS = ("steps", "depthwise", "contraction", "cams", "evaluation", "crf", "segmenters")
LARGE = "steps_large"
MIB = 1 << 20


def main() -> None:
    """Measure the chosen topics, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(TOPICS)}")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--large", action="store_true", help="also a ResNet-50's training step")
    args = parser.parse_args()
    chosen = args.topics or list(TOPICS)
    if unknown := sorted(set(chosen) - {*TOPICS, LARGE}):
        parser.error(f"there is no topic {unknown[0]!r}; expected some of {', '.join(TOPICS)}")
    for topic in [*chosen, LARGE] if args.large and LARGE not in chosen else chosen:
        table = measured(topic, device=args.device)
        print(f"### {topic}\n\n{table}\n", flush=True)
        replace_table(topic, table)


def measured(topic: str, *, device: str) -> str:
    """A Markdown table, what became of the targets, and the machine."""
    answer = _ask(topic, "--device", device)
    rows, verdicts = [], []
    for found in answer["comparisons"]:
        memories = {}
        if found["memory"]:
            for name in found["times"]:
                asked = ("--memory", found["name"], name)
                memories[name] = _ask(topic, "--device", device, *asked)
        rows += [_row(found, name, memories) for name in found["times"]]
        verdicts += _verdicts(found, memories)
    machine = f"Machine: {answer['machine']}."
    return "\n\n".join([_table(rows), *verdicts, machine])


def replace_table(topic: str, table: str) -> None:
    """Put a table between its topic's markers in the README."""
    text = README.read_text(encoding="utf-8")
    start, end = f"<!-- {topic} -->\n", f"<!-- end of {topic} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise SystemExit(f"{README.name}: expected {start.strip()} and {end} once; put them back")
    before, rest = text.split(start)
    after = rest.split(end)[1]
    README.write_text(f"{before}{start}\n{table}\n\n{end}{after}", encoding="utf-8")


def _ask(*arguments: str) -> dict:
    command = [sys.executable, str(HERE / "measure.py"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 ours
    if done.returncode:
        raise SystemExit(f"measure.py {' '.join(arguments)} failed with code {done.returncode}")
    return json.loads(done.stdout)


def _row(found: dict, name: str, memories: dict[str, dict]) -> dict[str, str]:
    lower, median, upper = (_short(ratio) for ratio in found["times"][name])
    is_first = name == next(iter(found["times"]))
    row = {
        "of": found["name"],
        "variant": name,
        "time": "1" if is_first else f"**{median}** ({lower} to {upper})",
        "rounds": str(found["rounds"]),
    }
    if memories:
        row["memory"] = "1" if is_first else f"**{_short(_memory_ratio(memories, name))}**"
        row["peak, MiB"] = f"{memories[name]['above'] / MIB:,.0f}"
        row["before, MiB"] = f"{memories[name]['baseline'] / MIB:,.0f}"
    if found["rates"]:
        rate = found["rates"][name]
        row["images a second"] = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2f}"
    return row


def _verdicts(found: dict, memories: dict[str, dict]) -> list[str]:
    first, *others = found["times"]
    lines = []
    if (limit := found["at_most"]) is not None:
        for name in others:
            values = {"time": found["times"][name][1], "memory": _memory_ratio(memories, name)}
            shown = ", ".join(f"{what} {_short(value)}" for what, value in values.items())
            met = max(values.values()) <= limit
            lines.append(f"Target for {name}: at most {limit}. {_outcome(met)}: {shown}.")
    if (limit := found["images_at_least"]) is not None:
        rate = found["rates"][first]
        target = f"Target for {first}: at least {limit:g} images a second"
        lines.append(f"{target}. {_outcome(rate >= limit)}: {rate:,.0f}.")
    return lines


def _outcome(met: bool) -> str:
    return "Met" if met else "**Missed**"


def _memory_ratio(memories: dict[str, dict], name: str) -> float:
    first = next(iter(memories.values()))["above"]
    return memories[name]["above"] / first if first else float("nan")


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def _table(rows: list[dict[str, str]]) -> str:
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([row[c] for c in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
