"""Runs of the experiment in copies of the project, one folder for each data set.

A copy has the code and a params.yaml of its own. A stopped run continues; a finished one has
nothing to do. DVC records nothing there, and the project's own results stay as they are.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from recam.core.errors import UserError
from recam.io.atomic import replacing, write_text
from recam.report.summary import Run
from recam.steps.params import check, merged
from recam.steps.yaml_files import read_params

ROOT = Path(__file__).parents[1]
CODE = ("Snakefile", "profiles", "prompts", "src", "workflow")
RECIPE = ("params.yaml", "presets")


class StoppedError(UserError):
    """Ctrl-C ended a run."""


def recipe(
    name: str,
    root: Path = ROOT,
    *,
    seeds: list[int] | None = None,
    source: Path | None = None,
    methods: list[str] | None = None,
) -> dict[str, Any]:
    """The parameters of a data set, those of the project with its presets merged into them.

    ``seeds`` and ``methods`` replace those of presets/replicates.yaml. Raises UserError for a
    missing or invalid file.
    """
    presets = [root / "presets" / f"{preset}.yaml" for preset in (name, "replicates")]
    paths = [root / "params.yaml", *presets]
    files = [read_params(path) for path in paths]
    given: dict[str, Any] = {"download": {"dataset": name}}
    given["download"] |= {"source": str(source.resolve())} if source else {}
    given |= {"random_seeds": seeds} if seeds else {}
    given |= {"methods": methods} if methods else {}
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


def run(folder: Path, lock: int, targets: Sequence[str] = ()) -> None:
    """Run or continue the experiment in ``folder``. Raises UserError if a step fails.

    ``targets`` are the files to make, all of the experiment if empty; a failed step stops only
    the steps that need it. Snakemake inherits the descriptor ``lock``, so the lock outlives this
    process if it is killed.
    """
    words = [sys.executable, "-m", "snakemake", "--cores", "all", "--no-hooks", "--nolock"]
    words += ["--keep-going", *targets]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    snakemake = subprocess.Popen(
        words, cwd=folder, env=os.environ | {"PATH": path}, pass_fds=[lock]
    )
    try:
        status = snakemake.wait()
    except KeyboardInterrupt:  # Snakemake received it, too, and stops its steps
        snakemake.wait()
        raise StoppedError(f"{folder}: stopped; the same command continues") from None
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


def chosen(text: str, known: Sequence[str], *, option: str = "--only") -> list[str]:
    """Names of a comma-separated list, in the order of ``known``. UserError for an unknown one."""
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise UserError(
            f"{option}: expected some of {', '.join(known)}, got {', '.join(unknown)}; change it"
        )
    return [name for name in known if name in names]


def numbers(text: str) -> list[int]:
    """Random seeds from a comma-separated list. Raises UserError for anything else."""
    if not all(word.isdecimal() for word in text.split(",")):
        raise UserError(f"--seeds: expected whole numbers such as 0,1,2, got {text}; change it")
    return sorted({int(word) for word in text.split(",")})


def originals(text: str, datasets: Collection[str]) -> dict[str, Path]:
    """A folder of originals by data set, from NAME=FOLDER. Raises UserError for anything else."""
    name, _, folder = text.partition("=")
    if name not in datasets or not Path(folder).expanduser().is_dir() or not folder:
        raise UserError(f"--source: expected street=FOLDER, an existing folder, got {text}")
    return {name: Path(folder).expanduser()}


def _git(root: Path, *words: str) -> str:
    run = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    if run.returncode:
        raise UserError(
            f"{root}: expected a git checkout; clone the project ({run.stderr.strip()})"
        )
    return run.stdout
