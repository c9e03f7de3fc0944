"""params.yaml as each of its readers sees it: Snakemake, DVC and the steps' command lines."""

import contextlib
import importlib
import io
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from dvc.parsing.interpolate import to_str
from pydantic import BaseModel
from ruamel.yaml import YAML
from snakemake.common.configfile import load_configfile

from recam.steps.params import Experiment, check
from recam.steps.parser import parse
from recam.steps.paths import Optional, Out, declared_paths
from recam.steps.yaml_files import read_params

READ = (
    *("download", "train_cam", "train_recam", "make_cams", "train_irn"),
    *("make_pseudo", "train_seg", "evaluate", "summarize", "draw"),
)
OF_RUN = {"method": "recam", "random_seed": "0", "refiner": "crf"}


def words_of(section: Mapping[str, Any]) -> list[str]:
    """The words of a section in a command line, as both engines print them."""
    return shlex.split(to_str(dict(section)))


def read_numbers(path: Path) -> int:
    """Check a params.yaml as the Snakefile does, then compare its readers.

    Prints `DIFFERENT: ...` for the first difference between them.
    """
    file = read_params(path)
    experiment = check(file.values, [file])
    print(difference(path, experiment, file.values) or "the same numbers")
    return 0


def difference(path: Path, experiment: Experiment, values: Mapping[str, Any]) -> str:
    """The first reader with other numbers than the experiment's; empty if all agree."""
    text = path.read_text(encoding="utf-8")
    readers = {
        "YAML 1.1": lambda: yaml.safe_load(text),
        "YAML 1.2": lambda: YAML(typ="safe", pure=True).load(text),
        "Snakemake": lambda: load_configfile(str(path)),
    }
    for name, reader in readers.items():
        try:
            found = reader()
        except Exception as error:  # whatever a reader raises, it refuses too late
            return f"DIFFERENT: {name} refuses the file: {' '.join(str(error).split())[:200]}"
        if _plain(found) != _plain(values):
            return f"DIFFERENT: {name} reads other numbers"
    return _steps_difference(experiment, values)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return type(value).__name__, value


def _steps_difference(experiment: Experiment, values: Mapping[str, Any]) -> str:
    for step in READ:
        try:
            numbers = parsed(step, values)
        except SystemExit:
            return f"DIFFERENT: {step} refuses the numbers late"
        for name, value in getattr(experiment, step):
            if name in numbers and numbers[name] != value:
                return f"DIFFERENT: {step} reads {name} as {numbers[name]!r}, not {value!r}"
    return ""


def parsed(step: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers that a step reads from its command line. SystemExit if it refuses them."""
    sys.argv = [f"{step}.py", *command_of(step, values)]
    with contextlib.redirect_stderr(io.StringIO()):
        return parse(importlib.import_module(step).main).numbers()


def command_of(step: str, values: Mapping[str, Any]) -> list[str]:
    """The words of a step's command line, with the path x for every file and folder."""
    kinds = [
        k for n, k in get_type_hints(importlib.import_module(step).main).items() if n != "return"
    ]
    fields = {n for k in kinds if issubclass(k, BaseModel) for n in k.model_fields}
    words: list[str] = []
    for name, mark in declared_paths(next(k for k in kinds if not issubclass(k, BaseModel))):
        if not isinstance(mark, Optional):
            words += [f"--{name}", *["x"] * (mark.count if isinstance(mark, Out) else 1)]
    machine = {name: value for name, value in values["machine"].items() if name in fields}
    section = values[step]
    given = {name: value for name, value in machine.items() if name not in section} | dict(section)
    words += words_of(given)
    for name in sorted(fields & OF_RUN.keys() - given.keys()):
        words += [f"--{name}", "cam" if (step, name) == ("train_cam", "method") else OF_RUN[name]]
    return words
