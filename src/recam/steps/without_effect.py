"""Parameters that change no result: a change reruns nothing, so they are no arguments of steps.

The Snakefile sets an environment variable for each; under DVC they stand in params.yaml alone.
"""

import os
from pathlib import Path
from typing import Any

from recam.core.errors import UserError
from recam.steps.yaml_files import read_params

PARAMS = Path("params.yaml")  # under DVC, which knows no other one
SHARDS = "RECAM_SHARDS"  # the variable of machine.shards
SPARED = {"machine": ("shards",)}  # such parameters within a section that steps are given


def chosen(name: str, *, variable: str) -> str:
    """The value of a parameter, as text; empty in a folder without readable params.yaml.

    ``name`` has a dot within a section: ``machine.shards``.
    """
    if value := os.environ.get(variable):
        return value
    try:
        found: Any = read_params(PARAMS).values
        for part in name.split("."):
            found = found[part]
        return str(found)
    except (UserError, KeyError, TypeError):  # a step that someone runs in another folder
        return ""
