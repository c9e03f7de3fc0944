"""A fault campaign: seeded bad inputs, kills and faults, and a table of the answers.

`python tests/campaign/run.py` tries all, `--part quarter` a small part, `--kinds table split` some
kinds, `--only table:17` one case, whose folder is kept. A stopped campaign continues with the same
command; after a change of code, or with `--fresh`, it begins again. The exit code is 1 if a case is
neither right nor refused in one sentence.
"""

import argparse
import csv
import hashlib
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from project import ROOT  # puts the project into the path

# isort: split

import experiment
import faults
import kills
import programs
import tampering
from files import checkpoint, cut, maps, masks
from images import image
from judge import GOOD, VERDICTS, verdict
from lists import classes, split
from settings import params
from tables import table
from trees import contents
from trial import Answer, Generator, Outcome, Probe, Rule, Scene
from truth import mask
from words import arguments

HERE = ROOT / "logs/campaign"
SECONDS = 120.0  # after which a program counts as hung
PARTS = ("all", "quarter")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of cases, their number in the whole campaign and in the part for CI."""

    probe: Probe
    count: int
    quarter: int
    of_run: bool = False  # starts from the finished small experiment

    def cases(self, part: str) -> range:
        """The numbers of the cases of a part."""
        step = 1 if part == "all" else max(1, self.count // max(1, self.quarter))
        return range(0, self.count if part == "all" else step * self.quarter, step)


def of_input(make: Generator) -> Probe:
    """Try one bad input: run its program, then apply its rule to an accepted one."""

    def probe(scene: Scene) -> Outcome:
        trial = make(scene)
        answer = programs.attempt(trial.program, trial.words, folder=scene.folder, seconds=SECONDS)
        found = difference_of(trial.right, answer, scene.folder) if answer.code == 0 else ""
        return Outcome(
            about=trial.about,
            answer=answer,
            difference=found,
            names=trial.names,
            accepted=trial.accepted,
        )

    return probe


def _inputs(make: Generator, count: int, *, of_run: bool = False) -> Kind:
    return Kind(probe=of_input(make), count=count, quarter=count // 4, of_run=of_run)


COLUMNS = ("case", "verdict", "seconds", "about", "reason")


@dataclass(frozen=True, kw_only=True)
class Result:
    """One case and its verdict."""

    case: str  # kind:number
    verdict: str
    seconds: float
    about: str
    reason: str

    @property
    def kind(self) -> str:
        """The kind of the case."""
        return self.case.partition(":")[0]


def main() -> None:
    """Try the cases that are left, and print the table; exit with 1 if one is bad."""
    args = _arguments()
    out: Path = args.out
    begin(out, fresh=args.fresh)
    cases = args.only or list(cases_of(args.kinds or KINDS, args.part))
    record = out / "cases.csv"
    known = {} if args.only else {result.case: result for result in read(record)}
    finished = finished_experiment(args.finished, out, cases)
    results = [known[case] for case in cases if case in known]
    for case in [case for case in cases if case not in known]:
        results.append(tried(case, out, finished, keep=bool(args.only)))
        show(results[-1], len(results), len(cases))
        if not args.only:
            append(record, results[-1])
    text = rendered(results)
    (out / "table.md").write_text(text)
    print(text)
    sys.exit(int(any(result.verdict not in GOOD for result in results)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, default="all")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, metavar="KIND")
    parser.add_argument("--only", nargs="+", metavar="KIND:NUMBER", help="some cases, kept")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--finished", type=Path, help="a finished small experiment; else it is run")
    return parser.parse_args()


def begin(out: Path, *, fresh: bool) -> None:
    """Keep the results of a stopped campaign, unless they are of other code."""
    out.mkdir(parents=True, exist_ok=True)
    stamp, code = out / "code.txt", code_of_campaign()
    if fresh or not stamp.is_file() or stamp.read_text() != code:
        (out / "cases.csv").unlink(missing_ok=True)
        for folder in ("trials", "finished", "unfinished"):
            shutil.rmtree(out / folder, ignore_errors=True)
        stamp.write_text(code)


def code_of_campaign() -> str:
    """A hash of the project's code and numbers."""
    parts = ("src", "workflow", "tests/campaign", "Snakefile", "params.yaml")
    found = contents(ROOT, parts)
    names = sorted(name for name in found if "__pycache__" not in name)
    return hashlib.sha256(repr([(n, found[n]) for n in names]).encode()).hexdigest()


def cases_of(kinds: Iterable[str], part: str) -> Iterator[str]:
    """The cases of a part of the campaign, kind by kind."""
    return (f"{kind}:{number}" for kind in kinds for number in KINDS[kind].cases(part))


def finished_experiment(given: Path | None, out: Path, cases: list[str]) -> Path:
    """The small experiment, run by Snakemake if a case needs it and it is not there."""
    folder = given or out / "finished"
    if not folder.is_dir() and any(KINDS[case.partition(":")[0]].of_run for case in cases):
        print("the small experiment runs once, about two minutes", flush=True)
        shutil.rmtree(out / "unfinished", ignore_errors=True)
        experiment.first_run(out / "unfinished").rename(folder)
    return folder.resolve()


def tried(case: str, out: Path, finished: Path, *, keep: bool) -> Result:
    """Set up one case, run it and judge it."""
    start = time.monotonic()
    kind, number = case.split(":")
    folder = (out / "trials" / f"{kind}-{number}").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scene = Scene(random=Random(case), folder=folder, finished=finished)  # noqa: S311 no secret
    outcome = KINDS[kind].probe(scene)
    found, reason = verdict(outcome)
    if not keep:
        shutil.rmtree(folder)
    else:
        print(f"{folder}\n{outcome.answer.stdout[-2000:]}\n{outcome.answer.stderr[-3000:]}")
    return Result(
        case=case,
        verdict=found,
        seconds=round(time.monotonic() - start, 2),
        about=outcome.about,
        reason=" ".join(reason.replace(str(folder), ".").split())[:400],
    )


def difference_of(right: Rule, answer: Answer, folder: Path) -> str:
    """The rule's difference; a result that the rule cannot read is wrong, too."""
    try:
        return right(folder, answer.stdout + answer.stderr)
    except Exception as error:  # a naive reader of a wrong result
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"the naive reading fails: {error!r} ({Path(last.filename).name}:{last.lineno})"


def show(result: Result, done: int, total: int) -> None:
    """A line for each bad case with its reproduction, else the progress in place."""
    if result.verdict in GOOD:
        print(f"\r{done} of {total}: {result.case:<16}", end="", flush=True)
        return
    print(f"\r{result.verdict}: {result.about}: {result.reason}")
    print(f"    python tests/campaign/run.py --only {result.case}", flush=True)


def read(record: Path) -> Iterator[Result]:
    """The results of an earlier, stopped campaign."""
    if record.is_file():
        with record.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield Result(**{**row, "seconds": float(row["seconds"])})


def append(record: Path, result: Result) -> None:
    """Add a line to the CSV of all cases."""
    is_new = not record.is_file()
    with record.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([COLUMNS] * is_new)
        writer.writerow([getattr(result, name) for name in COLUMNS])


def rendered(results: list[Result]) -> str:
    """The counts by kind and verdict, as Markdown."""
    rows = [["kind", "tried", *VERDICTS]]
    kinds = list(dict.fromkeys(result.kind for result in results))
    for kind in [*kinds, "all"]:
        counts = Counter(r.verdict for r in results if kind in (r.kind, "all"))
        rows.append([kind, str(sum(counts.values())), *(str(counts[name]) for name in VERDICTS)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, f"| --- |{' ---: |' * (len(rows[0]) - 1)}")
    return "\n".join(["", *lines, ""])


KINDS: Mapping[str, Kind] = {
    "table": _inputs(table, 220),
    "split": _inputs(split, 100),
    "classes": _inputs(classes, 100),
    "image": _inputs(image, 120),
    "mask": _inputs(mask, 100),
    "params": _inputs(params, 200),
    "arguments": _inputs(arguments, 60),
    "checkpoint": _inputs(checkpoint, 40, of_run=True),
    "maps": _inputs(maps, 30, of_run=True),
    "masks": _inputs(masks, 10, of_run=True),
    "cut": _inputs(cut, 20, of_run=True),
    "fault-step": Kind(probe=faults.step, count=40, quarter=10, of_run=True),
    "fault-engine": Kind(probe=tampering.engine, count=20, quarter=1, of_run=True),
    "kill-step": Kind(probe=kills.step, count=40, quarter=8, of_run=True),
    "kill-snakemake": Kind(probe=kills.by_snakemake, count=30, quarter=1, of_run=True),
    "kill-dvc": Kind(probe=kills.by_dvc, count=30, quarter=1, of_run=True),
}

if __name__ == "__main__":
    main()
