"""The steps that each engine would run after every possible change, and the steps that should run.

`make matrix` prints the table. The expected steps come from a graph written down by hand and from
the actual imports of the scripts, independently of the Snakefile and dvc.yaml.

In the table `->` stands for all later steps, and `same` for the expected steps.

Snakemake's steps are those of `--dry-run`. DVC's steps follow from `dvc status` by DVC's rules: a
step with changed code, parameters or inputs runs, and so do the steps that use its outputs; a step
of which only outputs changed is restored (mostly from the cache), and no later step runs. The
hashes of code that its first stage writes are those of Snakemake's dry run here.

Snakemake deviates from the expected steps for two reasons:
(1) if a step makes the same bytes again, Snakemake still runs all later steps; DVC stops early;
(2) Snakemake compares inputs, not outputs, and does not look into folders: for an output altered by
    hand it runs the steps that read it, not the step that made it.
"""

import argparse
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from matrix_changes import (
    Change,
    another_shape,
    checked_out,
    deleted,
    params_replaced,
    replaced,
    touched,
)
from matrix_engines import dvc_next, snakemake_next, warm_up
from matrix_graph import ALL, GRAPH, Jobs, Step, graph, jobs_of, shown, with_followers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import experiment
from experiment import METHODS, ROOT

# Modules that a step imports only if it needs them.
LATER = {"train_irn": "recam.steps.irn"}
# Every step with a network receives the numbers of the machine; train_cam has threads of its own.
SPARED = {"machine.threads": "train_cam"}
# Parameters of one section that other steps read, too.
SHARED_NUMBERS = {"make_pseudo.refiner": ["train_irn", "make_pseudo"]}

LINE = "{:<48} {:<46} {:<36} {:<5} {}"  # of the table


@dataclass(frozen=True)
class Case:
    """A change, and the jobs that should run after it, in each engine."""

    name: str
    change: Change
    should: Jobs
    snakemake: Jobs | None = None  # if it differs from ``should``
    note: str = ""


def cases(*, sample: bool = False) -> Iterator[Case]:
    """Every parameter, every file of code, every data file and every output.

    A sample has every twelfth parameter and file of code, and one of the four changes, in turn, of
    every fifth output. Those of its changes that rerun nothing, and all comments, are one case.
    """
    if sample:
        chosen = [*islice(_parameters(), 0, None, 12), *islice(_code(), 0, None, 12), *_comments()]
        chosen += [list(_output(*o))[n % 4] for n, o in enumerate(_outputs()[::5])]
        yield from (case for case in chosen if case.should)
        yield _at_once([case for case in chosen if not case.should])
        return
    yield Case("nothing", lambda _: nullcontext(), frozenset())
    yield from _parameters()
    yield from _code()
    yield from _comments()
    for step, path in _outputs():
        yield from _output(step, path)


def _outputs() -> list[tuple[Step, str]]:
    return [(step, path) for step in GRAPH for path in step.makes]


def _at_once(quiet: list[Case]) -> Case:
    """All changes of these cases, which rerun nothing, as one."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        with ExitStack() as stack:
            for case in quiet:
                stack.enter_context(case.change(folder))
            yield

    return Case(f"{len(quiet)} changes without effect", change, frozenset())


# A folder of files, a further step, further jobs.
OTHER_GRAPH = {"download.saliency", "make_pseudo.saliency", "machine.shards"}
# Refused unless they are the same, and with the default's segmenter.
TOGETHER = {"train_cam.backbone", "train_seg.backbone", "train_seg.frozen_backbone"}


def _parameters() -> Iterator[Case]:
    schema = yaml.safe_load((ROOT / "workflow/schemas/params.schema.yaml").read_text())
    params = experiment.small_params()
    steps = [s for s in params if isinstance(params[s], dict)]
    with_network = [s for s in steps if s not in ("machine", "download", "summarize", "draw")]
    for section in steps:
        for name, spec in schema["properties"][section]["properties"].items():
            key = f"{section}.{name}"
            if len(spec.get("enum", "two")) == 1 or key in OTHER_GRAPH | TOGETHER:
                continue  # no other value for these steps
            edit = _edited(params, section, name, spec | spec.get("anyOf", [{}])[0])
            users = with_network if section == "machine" else SHARED_NUMBERS.get(key, [section])
            should = with_followers(jobs_of(*users) - jobs_of(SPARED.get(key, "")))
            yield Case(f"params {key}", params_replaced(edit), should)
    log = params_replaced(lambda p: p.update(watch="tensorboard"))
    yield Case("params watch", log, frozenset())
    limit = params_replaced(lambda p: p.update(feature_cache=1))
    yield Case("params feature_cache", limit, frozenset())
    form = params_replaced(lambda p: p.update(storage="archives"))
    yield Case("params storage", form, frozenset())
    more = {step.name for step in graph(seeds=(0, 1))} - ALL | {"summarize", "draw"}
    change = another_shape(lambda p: p.update(random_seeds=[0, 1]))
    yield Case("params random_seeds", change, frozenset(more))
    methods = [*METHODS, "control"]
    more = {step.name for step in graph(methods)} - ALL | {"summarize", "draw"}
    change = another_shape(lambda p: p.update(methods=methods))
    yield Case("params methods", change, frozenset(more))


def _edited(params: dict, section: str, name: str, spec: dict) -> Callable[[dict], None]:
    """An edit of one parameter to another value that the schema allows."""
    # A missing optional number counts as its minimum, so that setting it is a change.
    old = params[section].get(name, spec.get("minimum"))
    if "enum" in spec:
        new = next(value for value in spec["enum"] if value != old)
    elif spec["type"] == "boolean":
        new = not old
    elif spec["type"] == "array":
        new = [*old, max(old) + 1]
    elif spec["type"] == "string":
        new = {"device": "auto", "weights": "none", "affinity_weights": "none"}.get(name, f"{old}x")
    else:
        new = (round(old * 0.9, 6) or 0.1) if spec["type"] == "number" else old + 1

    def edit(params: dict) -> None:
        params[section][name] = new

    return edit


def _code() -> Iterator[Case]:
    users = imported()
    for name in _files_of_code():
        if name.endswith(".py"):
            should = with_followers(jobs_of(*users.get(name, [])))
            statement = replaced(name, lambda old: old + b"\n_unused = 0\n")
            yield Case(f"{name}: a statement", statement, should, note="(1)" if should else "")


def _comments() -> Iterator[Case]:
    for name in _files_of_code():
        comment = replaced(name, lambda old: old + b"\n# a comment\n")
        yield Case(f"{name}: a comment", comment, frozenset())


def _files_of_code() -> list[str]:
    files = [*(ROOT / "workflow").rglob("*.*"), *(ROOT / "src/recam").rglob("*.py")]
    names = sorted(f.relative_to(ROOT).as_posix() for f in files if f.is_file())
    return ["Snakefile", *[name for name in names if "__pycache__" not in name]]


@cache
def imported() -> dict[str, list[str]]:
    """For every file of the project the scripts that load it when they are imported."""
    program = """
import runpy, sys
import importlib, json, pathlib
later, *scripts = sys.argv[1:]
own = {path.stem for path in pathlib.Path(scripts[0]).parent.glob("_*.py")} | {"recam"}
def ours():
    return [n for n in sys.modules if n.split(".")[0] in own]
for script in scripts:
    for name in ours():
        del sys.modules[name]
    runpy.run_path(script, run_name="imported")
    if name := json.loads(later).get(pathlib.Path(script).stem):
        importlib.import_module(name)
    print(script, script, *[sys.modules[name].__file__ for name in ours()])
"""
    scripts = sorted((ROOT / "workflow/scripts").glob("[a-z]*.py"))
    words = [sys.executable, "-c", program, json.dumps(LATER), *map(str, scripts)]
    path = os.environ | {"PYTHONPATH": str(scripts[0].parent)}
    lines = subprocess.run(words, env=path, text=True, stdout=subprocess.PIPE, check=True).stdout
    users: dict[str, list[str]] = {}
    for script, *files in map(str.split, lines.splitlines()):
        for file in files:
            name = Path(file).relative_to(ROOT).as_posix()
            users.setdefault(name, []).append(Path(script).stem)
    return users


def _output(step: Step, path: str) -> Iterator[Case]:
    own = frozenset([step.name])
    readers = with_followers(s.name for s in GRAPH if path in s.reads)
    other = replaced(path, lambda old: old + b"\n")
    yield Case(f"{path} changed", other, own, readers, "(2)")
    everything = with_followers(own)
    yield Case(
        f"{path} deleted", deleted(path), own, everything, "(1)" if everything != own else ""
    )
    yield Case(f"{path} touched", touched(path), frozenset())
    yield Case(f"{path} checked out", checked_out(path), frozenset())


# --- the table ---


def row(case: Case, folder: Path) -> tuple[bool, str]:
    """A case's line of the table; first True if both engines run the expected steps."""
    with case.change(folder):
        answers = {"Snakemake": snakemake_next(folder), "DVC": dvc_next(folder)}
    wanted = {"Snakemake": case.should, "DVC": case.should}
    if case.snakemake is not None:
        wanted["Snakemake"] = case.snakemake
    cells = [shown(case.should)]
    cells += ["same" if jobs == case.should else shown(jobs) for jobs in answers.values()]
    if answers != wanted:
        cells += ["DEVIATES: expected " + "; ".join(f"{e} {shown(j)}" for e, j in wanted.items())]
    elif case.note == "(1)" or answers["Snakemake"] != case.should:
        cells += [case.note]
    return answers == wanted, LINE.format(case.name, *cells, "").rstrip()


def _rows(chosen: list[Case], folders: list[Path]) -> Iterator[tuple[bool, str]]:
    """All rows in order, computed by one process for each copy of the experiment."""
    fork = multiprocessing.get_context("fork")
    free = fork.SimpleQueue()
    for folder in folders:
        free.put(folder)
    with fork.Pool(len(folders), initializer=_take, initargs=(free, chosen)) as pool:
        yield from pool.imap(_row_by_number, range(len(chosen)))


def _take(free: Any, chosen: list[Case]) -> None:
    _mine.update(folder=free.get(), cases=chosen, cold=True)


def _row_by_number(number: int) -> tuple[bool, str]:
    if _mine.pop("cold", False):
        warm_up(_mine["folder"])
    return row(_mine["cases"][number], _mine["folder"])


_mine: dict[str, Any] = {}  # in a worker: its copy of the experiment, and the cases


def main() -> int:
    """Print the table; return 1 if an engine deviates, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--experiment", type=Path, help="a finished small experiment; by default one is run"
    )
    parser.add_argument("--only", default="", help="a regular expression for the names of cases")
    parser.add_argument("--sample", action="store_true", help="a twelfth of the changes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        finished = args.experiment or experiment.first_run(Path(temporary, "experiment"))
        chosen = [c for c in cases(sample=args.sample) if re.search(args.only, c.name)]
        workers = min(2, os.cpu_count() or 1, len(chosen))
        folders = [experiment.copied(finished, Path(temporary, str(i))) for i in range(workers)]
        print(LINE.format("changed", "should run", "Snakemake", "DVC", "note"))
        deviations = 0
        for right, line in _rows(chosen, folders):
            print(line, flush=True)
            deviations += not right
    print(f"{len(chosen)} cases, {deviations} deviations")
    return int(deviations > 0)


if __name__ == "__main__":
    sys.exit(main())
