"""Time of `snakemake --cores all` from nothing by step, in one or several checkouts, in turn.

`python benchmarks/default.py OLD NEW --rounds 2` deletes results and logs of both folders, runs the
experiment of each in turn, and prints seconds of the clock, CPU seconds and MiB of every step. Each
folder is a checkout of its own with nothing to lose; all use the environment of this command.
"""

import argparse
import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

# Stands in front of `python` in PATH: runs it, then adds a line with the script and its usage.
TIMED = """#!{python}
import os, sys, time
start = time.perf_counter()
child = os.spawnv(os.P_NOWAIT, {python!r}, [{python!r}, *sys.argv[1:]])
_, status, used = os.wait4(child, 0)
took = time.perf_counter() - start
with open({lines!r}, "a") as file:
    cpu = used.ru_utime + used.ru_stime
    print(os.path.basename(sys.argv[1]), took, cpu, used.ru_maxrss / 1024, sep="\\t", file=file)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass
class Usage:
    """Sums of clock and CPU seconds over the processes of one step, and the largest memory."""

    runs: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    mib: float = 0.0

    def add(self, seconds: float, cpu: float, mib: float) -> None:
        """Add a process."""
        self.runs += 1
        self.seconds += seconds
        self.cpu += cpu
        self.mib = max(self.mib, mib)


@dataclass
class Run:
    """One run: its steps, and the whole."""

    steps: dict[str, Usage] = field(default_factory=lambda: defaultdict(Usage))
    whole: Usage = field(default_factory=Usage)


def main() -> None:
    """Run every folder in each round; print a table of medians for each and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    runs: dict[Path, list[Run]] = {folder.resolve(): [] for folder in args.folders}
    for _ in range(args.rounds):
        for folder, done in runs.items():
            done.append(run(folder))
            print(f"{folder.name}: {done[-1].whole.seconds:.0f} s", file=sys.stderr, flush=True)
    for folder, done in runs.items():
        print(f"\n{folder.name}, median of {len(done)}\n\n{table(done)}")
    first, *others = (median(each.whole.seconds for each in done) for done in runs.values())
    for seconds in others:
        print(f"\n{seconds:.0f} / {first:.0f} s = {seconds / first:.2f}")


def run(folder: Path) -> Run:
    """Delete what an earlier run made, run the experiment, and return its usage."""
    for name in ("results", "logs", "data", ".snakemake"):
        shutil.rmtree(folder / name, ignore_errors=True)
    with TemporaryDirectory() as temporary:
        lines, shim = Path(temporary, "lines"), Path(temporary, "python")
        shim.write_text(TIMED.format(python=sys.executable, lines=str(lines)), encoding="utf-8")
        shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
        own = Path(sys.executable).parent
        path = os.pathsep.join([temporary, str(own), os.environ["PATH"]])
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "src")}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        words = [sys.executable, "-m", "snakemake", "--cores", "all", "--quiet", "all"]
        subprocess.run(words, cwd=folder, env=environment, check=True)  # noqa: S603 ours
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = Run()
        for line in lines.read_text(encoding="utf-8").splitlines():
            script, *numbers = line.split("\t")
            found.steps[script.removesuffix(".py")].add(*map(float, numbers))
    cpu = sum(getattr(after, k) - getattr(before, k) for k in ("ru_utime", "ru_stime"))
    found.whole.add(seconds, cpu, max(usage.mib for usage in found.steps.values()))
    return found


def table(runs: list[Run]) -> str:
    """A row for each step, for the engine with its records, and for the whole."""
    head = (
        "| step | runs | seconds | CPU seconds | peak, MiB |\n| --- | ---: | ---: | ---: | ---: |"
    )
    rows = [row(step, [each.steps[step] for each in runs]) for step in runs[0].steps]
    engine = median(e.whole.cpu - sum(u.cpu for u in e.steps.values()) for e in runs)
    rows.append(f"| Snakemake and records | | | {engine:.1f} | |")
    rows.append(row("all", [each.whole for each in runs]))
    return "\n".join([head, *rows])


def row(name: str, usages: list[Usage]) -> str:
    """The medians of one step over all rounds."""
    seconds, cpu, mib = (median(getattr(u, k) for u in usages) for k in ("seconds", "cpu", "mib"))
    return f"| {name} | {usages[0].runs} | {seconds:.1f} | {cpu:.1f} | {mib:,.0f} |"


if __name__ == "__main__":
    main()
