"""One recipe on several data sets, and one table of all results: `make generality`.

Each data set runs in a folder of its own, generality/NAME: a copy of the project's code, and
params.yaml with presets/NAME.yaml, presets/replicates.yaml and nothing else merged into it. A
stopped run continues; a finished one has nothing to do. DVC records nothing there.
"""

import argparse
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from recam.core.errors import UserError
from recam.io.atomic import replacing, write_text
from recam.report.generality import DATASETS, collected, generality_table
from recam.report.summary import Run
from recam.steps.params import check, merged
from recam.steps.yaml_files import read_params

ROOT = Path(__file__).parents[1]
OUT = Path("generality")
CODE = ("Snakefile", "profiles", "src", "workflow")
RECIPE = ("params.yaml", "presets")
DEFAULT = "shapes"  # the data set of params.yaml, which has no preset


def recipe(
    name: str, root: Path = ROOT, *, seeds: list[int] | None = None, source: Path | None = None
) -> dict[str, Any]:
    """The parameters of a data set, those of the project with its presets merged into them.

    Raises UserError for a missing or invalid file.
    """
    presets = ["replicates"] if name == DEFAULT else [name, "replicates"]
    paths = [root / "params.yaml", *(root / "presets" / f"{preset}.yaml" for preset in presets)]
    files = [read_params(path) for path in paths]
    given: dict[str, Any] = {"download": {"dataset": name}}
    given["download"] |= {"source": str(source.resolve())} if source else {}
    given |= {"random_seeds": seeds} if seeds else {}
    params: dict[str, Any] = {}
    for values in [*(file.values for file in files), given]:
        params = merged(params, values)
    check(params, files)
    return params


def prepare(folder: Path, params: dict[str, Any], root: Path = ROOT) -> None:
    """Bring the copy of the project in ``folder`` up to date; equal files keep their times.

    Copied are the files of the code that git tracks or would add; data and results are not.
    """
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *CODE)
    names = [name for name in listed.split("\0") if name and (root / name).is_file()]
    for name in names:
        content, target = (root / name).read_bytes(), folder / name
        if not target.is_file() or target.read_bytes() != content:
            with replacing(target) as temporary:
                temporary.write_bytes(content)
    for file in [file for part in CODE for file in (folder / part).rglob("*")]:
        name = file.relative_to(folder)
        if file.is_file() and name.as_posix() not in names and "__pycache__" not in name.parts:
            file.unlink()
    text = yaml.safe_dump(params, sort_keys=False)
    target = folder / "params.yaml"
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        write_text(target, text)


def run(folder: Path, lock: int) -> None:
    """Run or continue the experiment in ``folder``. Raises UserError if a step fails.

    Snakemake inherits the descriptor ``lock``, so the lock outlives this process if it is killed.
    """
    words = [sys.executable, "-m", "snakemake", "--cores", "all", "--no-hooks", "--nolock"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    snakemake = subprocess.Popen(
        words, cwd=folder, env=os.environ | {"PATH": path}, pass_fds=[lock]
    )
    try:
        status = snakemake.wait()
    except KeyboardInterrupt:  # Snakemake received it, too, and stops its steps
        status = snakemake.wait()
    if status:
        raise UserError(
            f"{folder}: Snakemake failed or was stopped (exit status {status}); solve the error "
            "above, if any, and run the same command again, which continues"
        )


@contextmanager
def locked(out: Path) -> Iterator[int]:
    """Hold the lock of ``out`` and yield its descriptor. Raises UserError if another run has it."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{out}: another run is in progress; wait for it, or stop it") from None
        yield file.fileno()


def origin(root: Path = ROOT) -> dict[str, Any]:
    """The commit of the project, and the changed files of code and recipe."""
    changed = _git(root, "status", "--porcelain", "--", *CODE, *RECIPE)
    files = [line[3:] for line in changed.splitlines()]
    return {"commit": _git(root, "rev-parse", "HEAD").strip(), "changed": files}


def runs_of(folder: Path, params: dict[str, Any]) -> list[Run]:
    """Every replicate of every method of a data set."""
    seeds, methods = params["random_seeds"], params["methods"]
    return [Run(folder=folder / f"results/seed{s}/{m}") for s in seeds for m in methods]


def _git(root: Path, *words: str) -> str:
    run = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    if run.returncode:
        raise UserError(
            f"{root}: expected a git checkout; clone the project ({run.stderr.strip()})"
        )
    return run.stdout


def chosen(text: str) -> list[str]:
    """Names of data sets from a comma-separated list. Raises UserError for an unknown one."""
    names = text.split(",")
    if unknown := [name for name in names if name not in DATASETS]:
        raise UserError(
            f"--only: expected some of {', '.join(DATASETS)}, got {', '.join(unknown)}; change it"
        )
    return [name for name in DATASETS if name in names]


def numbers(text: str) -> list[int]:
    """Random seeds from a comma-separated list. Raises UserError for anything else."""
    if not all(word.isdecimal() for word in text.split(",")):
        raise UserError(f"--seeds: expected whole numbers such as 0,1,2, got {text}; change it")
    return sorted({int(word) for word in text.split(",")})


def originals(text: str) -> dict[str, Path]:
    """A folder of originals by data set, from NAME=FOLDER. Raises UserError for anything else."""
    name, _, folder = text.partition("=")
    if name not in DATASETS or not Path(folder).expanduser().is_dir() or not folder:
        raise UserError(f"--source: expected street=FOLDER, an existing folder, got {text}")
    return {name: Path(folder).expanduser()}


def main(arguments: list[str]) -> str:
    """Run everything that is not done yet, write the CSV and the table, and return the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(DATASETS), help="data sets: shapes,stamps")
    parser.add_argument("--seeds", help="random seeds: 0,1; default: presets/replicates.yaml")
    parser.add_argument("--source", help="folder with a data set's originals: street=FOLDER")
    args = parser.parse_args(arguments)
    seeds = numbers(args.seeds) if args.seeds else None
    sources = originals(args.source) if args.source else {}
    names = chosen(args.only)
    recipes = {name: recipe(name, seeds=seeds, source=sources.get(name)) for name in names}
    tables: list[pd.DataFrame] = []
    out = ROOT / OUT
    with locked(out) as lock:
        made_from = origin()
        for name, params in recipes.items():  # all copies first: one recipe, whatever is edited
            prepare(out / name, params)
        for number, (name, params) in enumerate(recipes.items(), start=1):
            print(f"{name}: {OUT / name}, data set {number} of {len(recipes)}", flush=True)
            run(out / name, lock)
            write_text(out / name / "origin.json", json.dumps(made_from, indent=2) + "\n")
            tables.append(collected(name, runs_of(out / name, params)))
        results = pd.concat(tables)
        write_text(out / "results.csv", results.to_csv(index=False))
        write_text(out / "table.md", generality_table(results))
    return (out / "table.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]), end="")
    except UserError as error:
        sys.exit(str(error))
