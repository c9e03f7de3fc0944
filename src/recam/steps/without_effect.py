"""Parameters that change no result: a change reruns nothing, so they are no arguments of steps.

The Snakefile sets an environment variable for each; under DVC they stand in params.yaml alone.
"""

import os
from pathlib import Path

from recam.core.errors import UserError
from recam.steps.yaml_files import read_params

PARAMS = Path("params.yaml")  # under DVC, which knows no other one


def chosen(name: str, *, variable: str) -> str:
    """The value of a parameter, as text; empty in a folder without readable params.yaml."""
    if value := os.environ.get(variable):
        return value
    try:
        return str(read_params(PARAMS).values.get(name, ""))
    except UserError:  # a step that someone runs in another folder
        return ""
