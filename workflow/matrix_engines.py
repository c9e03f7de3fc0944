"""The jobs that each engine would run next, asked in forks of this process, for `make matrix`."""

import contextlib
import importlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import dvc.cli
import snakemake.cli
import yaml
from matrix_graph import Jobs, Step, with_followers


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
    names = [name for name in sys.modules if name.split(".")[0] not in mine]
    sys.stdout.write(f"\n{' '.join(names)}\n")
