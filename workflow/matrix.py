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
import contextlib
import importlib
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import dvc.cli
import snakemake.cli
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import experiment
from experiment import BIN, METHODS, ROOT

WEAK = ["data/labels.csv", "data/classes.txt", "data/images.sha256"]
TRUTH = ["data/SegmentationClass.sha256"]
CHECK = [f"data/check/{f}" for f in ("report.md", "classes.csv", "cooccurrence.csv", "faults.csv")]
TABLES = ["metrics.json", "per_class.csv", "thresholds.csv", "confusion.csv"]
FIGURES = ["answer.html", "maps", "pseudo", "segmentation", "curves", "errors"]
SUMMARY = [*TABLES, "curves.csv", "summary.md", "trust.json", "picture.png"]

# Modules that a step imports only if it needs them.
LATER = {"train_irn": "recam.steps.irn"}
# Every step with a network receives the numbers of the machine; train_cam has threads of its own.
SPARED = {"machine.threads": "train_cam"}
# Parameters of one section that other steps read, too.
SHARED_NUMBERS = {"make_pseudo.refiner": ["train_irn", "make_pseudo"]}

LINE = "{:<48} {:<46} {:<36} {:<5} {}"  # of the table

Jobs = frozenset[str]
Change = Callable[[Path], AbstractContextManager[None]]


@dataclass(frozen=True)
class Step:
    """One job of the graph; ``reads`` leaves folders out."""

    name: str
    script: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]


def graph(methods: list[str] = METHODS, seeds: tuple[int, ...] = (0,)) -> list[Step]:
    """The experiment by hand: files that each job reads and makes."""
    folders = ["JPEGImages", "ImageSets", "SegmentationClass"]
    downloaded = [f"data/{folder}" for folder in folders] + WEAK + TRUTH + CHECK
    steps = [Step("download", "download", (), tuple(downloaded))]
    summed: list[str] = []
    for seed in seeds:
        run = f"results/seed{seed}"
        for method in ["cam", *[m for m in methods if m != "cam"]]:
            here = f"{run}/{method}"
            add = partial(_add, steps, seed, method)
            classifier = ["classifier.pt", "classifier_curve.csv"]
            if method == "cam":
                add("train_cam", [], classifier)
            if method in ("recam", "control"):
                add("train_recam", [f"{run}/cam/classifier.pt"], classifier)
            if method not in methods:
                continue
            maps, masks = [], TRUTH
            if method != "supervised":
                add("make_cams", [f"{here}/classifier.pt"], ["cams", "cams.sha256"])
                add("train_irn", [f"{here}/cams.sha256"], ["irn.pt", "irn_curve.csv"])
                made = ["pseudo", "scores", "pseudo.sha256", "scores.sha256"]
                made += ["cut.json", "pseudo.png"]
                add("make_pseudo", [f"{here}/cams.sha256", f"{here}/irn.pt"], made)
                masks = [f"{here}/pseudo.sha256"]
                maps = ["classifier.pt", "cams.sha256", "scores.sha256", "cut.json"]
                maps = [f"{here}/{file}" for file in maps]
                summed += [f"{here}/classifier_curve.csv", f"{here}/irn_curve.csv"]
                summed += [] if seed else [f"{here}/cams.sha256", f"{here}/pseudo.sha256"]
            segmenter = ["segmenter.pt", "segmenter_curve.csv"]
            add("train_seg", [*masks, f"{run}/cam/classifier.pt"], segmenter)
            made = ["predictions", "predictions.sha256", "counts.csv", "signs.json", *TABLES]
            made += ["prediction.json"]
            maps += masks if maps else []
            if maps and method != "cam" and "cam" in methods:
                maps += [f"{run}/cam/pseudo.sha256"]  # to compare
            add("evaluate", [*TRUTH, f"{here}/segmenter.pt", *maps], made)
            summed += [f"{here}/{file}" for file in [*TABLES, "signs.json", "segmenter_curve.csv"]]
            summed += [] if seed else [f"{here}/predictions.sha256"]
    return [*steps, *_last(summed)]


def _last(summed: list[str]) -> list[Step]:
    """The steps that combine all runs."""
    makes = tuple(f"results/{file}" for file in SUMMARY)
    last = Step("summarize", "summarize", tuple(WEAK + TRUTH + summed), makes)
    drawn = [file for file in summed if not file.endswith("per_class.csv")]
    drawn += [f"{Path(file).parent}/counts.csv" for file in summed if "metrics.json" in file]
    figures = tuple(f"results/figures/{part}" for part in FIGURES)
    reads = (*WEAK, *TRUTH, *drawn, "results/picture.png")
    return [last, Step("draw", "draw", reads, figures)]


def _add(
    steps: list[Step], seed: int, method: str, script: str, reads: list[str], makes: list[str]
) -> None:
    name = f"{script}-seed{seed}" + f"-{method}"
    made = tuple(f"results/seed{seed}/{method}/{file}" for file in makes)
    steps.append(Step(name, script, tuple(WEAK + reads), made))


GRAPH = graph()
ALL: Jobs = frozenset(step.name for step in GRAPH)


def jobs_of(*scripts: str) -> Jobs:
    """All jobs of these scripts."""
    return frozenset(step.name for step in GRAPH if step.script in scripts)


def with_followers(first: Iterable[str], steps: Iterable[Step] = GRAPH) -> Jobs:
    """The jobs ``first`` and all jobs that use their outputs, directly or indirectly."""
    jobs, size = set(first), -1
    while size != len(jobs):
        size = len(jobs)
        made = {file for step in steps if step.name in jobs for file in step.makes}
        jobs |= {step.name for step in steps if not made.isdisjoint(step.reads)}
    return frozenset(jobs)


@dataclass(frozen=True)
class Case:
    """A change, and the jobs that should run after it, in each engine."""

    name: str
    change: Change
    should: Jobs
    snakemake: Jobs | None = None  # if it differs from ``should``
    note: str = ""


# --- changes and their undoing ---


@contextmanager
def set_aside(path: Path) -> Iterator[Path]:
    """Move a file or folder away and back; its times stay, by which engines recognise it."""
    parent = path.parent.stat()
    with tempfile.TemporaryDirectory(dir=path.parents[len(path.parents) - 2]) as folder:
        away = Path(folder, path.name)
        path.rename(away)
        try:
            yield away
        finally:
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            away.rename(path)
            os.utime(path.parent, ns=(parent.st_atime_ns, parent.st_mtime_ns))


def replaced(name: str, text: Callable[[bytes], bytes]) -> Change:
    """Other content of a file, or of the first file of a folder."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        path = folder / name
        if path.is_dir():
            path = min(p for p in path.rglob("*") if p.is_file() and p.name[0] != ".")
        with set_aside(path) as away:
            path.write_bytes(text(away.read_bytes()))
            yield

    return change


def params_replaced(edit: Callable[[dict], object]) -> Change:
    """params.yaml with other numbers."""

    def text(old: bytes) -> bytes:
        params = yaml.safe_load(old)
        edit(params)
        return yaml.safe_dump(params, sort_keys=False).encode()

    return replaced("params.yaml", text)


def another_shape(edit: Callable[[dict], object]) -> Change:
    """Other replicates or methods, and a rewritten dvc.yaml."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        with replaced("dvc.yaml", bytes)(folder), params_replaced(edit)(folder):
            written = experiment.engines(folder, "write")
            assert not written.returncode, written.stdout
            yield

    return change


def deleted(name: str) -> Change:
    """A deleted output."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        with set_aside(folder / name):
            yield

    return change


def touched(name: str) -> Change:
    """A new time of a file, or of all files in a folder, with the same content."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        path = folder / name
        files = [path, *(path.rglob("*") if path.is_dir() else [])]
        times = {file: file.stat() for file in files}
        for file in files:
            os.utime(file)
        yield
        for file, stat in reversed(times.items()):
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    return change


def checked_out(name: str) -> Change:
    """A lost output that DVC restored, or git if git keeps it."""

    @contextmanager
    def change(folder: Path) -> Iterator[None]:
        with set_aside(folder / name):
            by_git = name == "results/metrics.json" or re.fullmatch(r"results/[^/]*\.csv", name)
            words = ["git", "checkout", "--", name] if by_git else [BIN / "dvc", "checkout", name]
            done = experiment.command(folder, *words)
            assert not done.returncode, done.stdout
            yield

    return change


# --- the cases ---


def cases(*, sample: bool = False) -> Iterator[Case]:
    """Every parameter, every file of code, every data file and every output.

    A sample has every sixth parameter and file of code, every thirtieth comment, and one of the
    four changes, in turn, of every third output.
    """
    yield Case("nothing", lambda _: nullcontext(), frozenset())
    every = 6 if sample else 1
    yield from islice(_parameters(), 0, None, every)
    yield from islice(_code(), 0, None, every)
    yield from islice(_comments(), 0, None, 5 * every)
    outputs = [(step, path) for step in GRAPH for path in step.makes]
    for number, (step, path) in enumerate(outputs[::3] if sample else outputs):
        four = list(_output(step, path))
        yield from [four[number % 4]] if sample else four


OTHER_GRAPH = {"download.saliency", "make_pseudo.saliency"}  # a folder of files, a further step
TOGETHER = {"train_cam.backbone", "train_seg.backbone"}  # refused unless they are the same


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
        new = {"device": "auto", "weights": "none"}.get(name, f"{old}x")
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


# --- the engines' answers ---


def snakemake_next(folder: Path) -> Jobs:
    """The jobs of `snakemake --dry-run`."""
    printed = _printed(_ask_snakemake, folder)
    jobs = set()
    for block in printed.split("\nrule ")[1:]:
        rule = block.split(":")[0]
        wildcards = re.search(r"^ *wildcards: (.*)$", block.split("\n\n")[0], re.MULTILINE)
        values = dict(w.split("=") for w in wildcards[1].split(", ")) if wildcards else {}
        parts = [rule, *[f"seed{values['seed']}" for _ in "1" if "seed" in values]]
        jobs.add("-".join([*parts, *[values["method"] for _ in "1" if "method" in values]]))
    return frozenset(jobs - {"all"})


def dvc_next(folder: Path) -> Jobs:
    """The stages that `dvc repro` would run, from `dvc status`."""
    printed = _printed(_ask_dvc, folder)
    changed = json.loads(printed.splitlines()[-1])
    changed.pop("check_graph", None)  # the stage that checks dvc.yaml
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    steps = [
        Step(name, "", tuple(stage["deps"]), tuple(_paths(stage))) for name, stage in stages.items()
    ]
    maker = {path: step.name for step in steps for path in step.makes}
    restored = {name for name, reasons in changed.items() if _only_outputs(reasons)}
    run = {
        name
        for name, reasons in changed.items()
        if name not in restored
        and not _files(reasons) <= {p for p in maker if maker[p] in restored}
    }
    return with_followers(run, steps) | restored


def _paths(stage: dict) -> Iterator[str]:
    for entry in [*stage.get("outs", []), *stage.get("metrics", [])]:
        yield entry if isinstance(entry, str) else next(iter(entry))


def _only_outputs(reasons: list) -> bool:
    return all(isinstance(reason, dict) and set(reason) == {"changed outs"} for reason in reasons)


def _files(reasons: list) -> set[str]:
    """Changes of a stage other than its outputs: paths, or the command."""
    found = set()
    for reason in reasons:
        if isinstance(reason, str):
            found.add(reason)
        else:
            found |= set(reason.get("changed deps", {}))
    return found


def _ask_snakemake() -> None:
    snakemake.cli.main(["--dry-run", "--cores", "1", "--quiet", "host"])


def _ask_dvc() -> None:
    sys.exit(dvc.cli.main(["status", "--json"]))


def _printed(call: Callable[[], object], folder: Path) -> str:
    """The output of a command that ends with sys.exit, run in a fork of this process."""
    with tempfile.TemporaryFile() as file:
        child = os.fork()
        if not child:
            os.chdir(folder)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            code = 1
            try:
                with redirect_stdout(os.fdopen(1, "w", closefd=False)):
                    call()
                code = 0
            except SystemExit as end:
                code = end.code or 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code if isinstance(code, int) else 1)
        _, status = os.waitpid(child, 0)
        file.seek(0)
        printed = file.read().decode()
    if status:
        raise RuntimeError(printed[-1000:])
    return printed


def warm_up(folder: Path) -> None:
    """Import the engines' modules here, so that the forks need not import them again.

    The engines do not run here: a fork of a process with threads may hang forever.
    """
    for ask in (_ask_snakemake, _ask_dvc):
        names = _printed(lambda ask=ask: _names_of_modules(ask), folder).splitlines()[-1].split()
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _names_of_modules(ask: Callable[[], None]) -> None:
    with contextlib.suppress(SystemExit):
        ask()
    mine = ("recam", "imports")  # belong to the copy of the experiment
    print("\n", *[name for name in sys.modules if name.split(".")[0] not in mine])


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


def shown(jobs: Jobs) -> str:
    """Jobs in short form: the first ones, and an arrow for all that follow from them."""
    if jobs == ALL:
        return "everything"
    made = {file for step in GRAPH if step.name in jobs for file in step.makes}
    following = {step.name for step in GRAPH if not made.isdisjoint(step.reads)}
    first = frozenset(jobs - following)
    arrow = with_followers(first) == jobs and jobs != first
    return (_gathered(first) + " ->") if arrow else _gathered(jobs)


def _gathered(jobs: Jobs) -> str:
    """Jobs by script, with the runs in brackets unless it is all of them."""
    words = []
    for script in dict.fromkeys(step.script for step in GRAPH):
        mine = sorted(job for job in jobs if job.split("-")[0] == script)
        runs = ", ".join(job.removeprefix(f"{script}-").replace("-", "/") for job in mine)
        words += (
            [script if jobs_of(script) == frozenset(mine) else f"{script}({runs})"] if mine else []
        )
    return " ".join(words) or "-"


def main() -> int:
    """Print the table; return 1 if an engine deviates, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--experiment", type=Path, help="a finished small experiment; by default one is run"
    )
    parser.add_argument("--only", default="", help="a regular expression for the names of cases")
    parser.add_argument("--sample", action="store_true", help="a twelfth of the changes of outputs")
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
