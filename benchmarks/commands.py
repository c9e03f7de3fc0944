"""Command lines of the steps, from the numbers of params.yaml and a preset, without Snakemake."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recam.core.errors import UserError
from recam.steps.params import check, merged
from recam.steps.without_effect import SPARED
from recam.steps.yaml_files import read_params

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"

Params = dict[str, Any]


def numbers_of(*overlays: Path) -> Params:
    """The numbers of params.yaml, with those of each overlay in their place."""
    try:
        files = [read_params(path) for path in (ROOT / "params.yaml", *overlays)]
        params: Params = {}
        for file in files:
            params = merged(params, file.values)
        check(params, files)
    except UserError as error:
        raise SystemExit(str(error)) from None
    return params


def machine_of(params: Params) -> Params:
    """The numbers of the machine that steps are given."""
    spared = SPARED["machine"]
    return {name: value for name, value in params["machine"].items() if name not in spared}


def command(step: str, *sections: Mapping[str, Any]) -> list[str]:
    """The step's command line; a later section overrides an earlier one.

    Each value is printed as the Snakefile prints it: `--key value ...`, a flag where it is true.
    """
    words = [sys.executable, str(SCRIPTS / f"{step}.py")]
    for key, value in {
        key: value for section in sections for key, value in section.items()
    }.items():
        values = value if isinstance(value, list | tuple) else [value]
        if value is not False:
            words += [f"--{key}", *([] if value is True else map(str, values))]
    return words


def seconds_of(words: list[str]) -> float:
    """Run a command and return the seconds it took; RuntimeError with its last lines on failure."""
    start = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 ours
    if done.returncode:
        last = " / ".join((done.stdout + done.stderr).splitlines()[-3:])
        raise RuntimeError(f"{Path(words[1]).name} exited with {done.returncode}: {last}")
    return time.perf_counter() - start
