"""The two engines as programs: their errors in one sentence, with a remedy."""

import subprocess
import sys

# Remedies for errors of DVC whose messages name none.
REMEDIES = {
    "is not a git repository": "run `git init`",
    "not inside of a DVC repository": "run `git checkout .dvc`, or `dvc init` to start afresh",
    "merge conflict": "choose a side: `git checkout --ours dvc.lock`, or `--theirs`",
    "dvc.lock'": "restore it with `git checkout dvc.lock`, or delete it; results are kept",
    "acquire lock": "wait for the other dvc process, or stop it",
}


class EngineError(Exception):
    """An engine failed; the message is one sentence."""


def dvc(*arguments: str) -> str:
    """Run DVC and return its output. Raises EngineError."""
    command = [sys.executable, "-m", "dvc", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        lines = [line.strip() for line in run.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        sentence = [*errors[-1:], *lines[:1], "no reason given"][0].rstrip(".")
        remedy = [f"; {text}" for sign, text in REMEDIES.items() if sign in sentence][:1]
        raise EngineError("".join([f"`dvc {arguments[0]}` failed: {sentence}", *remedy]))
    return run.stdout


def snakemake(*arguments: str) -> None:
    """Run Snakemake. Raises EngineError."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot be locked" in run.stdout + run.stderr:
        raise EngineError(
            "Snakemake is running here, or was killed and left its lock; wait for it, or run"
            " `snakemake --unlock`, then again"
        )
    if run.returncode:
        raise EngineError(f"snakemake could not touch the results: {run.stderr.strip()[-300:]}")
