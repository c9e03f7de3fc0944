"""Stamps of shards: they order jobs and say nothing about results.

With another number of shards a finished step has other stamps among its inputs, and would run
again. Snakemake therefore neither records nor compares them, by a change of its private interface.
"""

import re
from typing import Any

from snakemake.persistence import PersistenceBase

STAMP = re.compile(r"results/.*/shards/\w+\.\d+-of-\d+")
OF_SHARDS = re.compile(r"_shard$")  # the end of the names of their rules
# Scripts of rules that are named otherwise.
SCRIPTS = {"spread": "make_pseudo"}


def is_stamp(path: str) -> bool:
    """Whether a path is the stamp of a shard."""
    return bool(STAMP.fullmatch(path))


def script_of(rule: str) -> str:
    """The script of a rule: that of the step for its shards."""
    step = OF_SHARDS.sub("", rule)
    return SCRIPTS.get(step, step)


def leave_out_of_inputs() -> None:
    """Let Snakemake record and compare the inputs of jobs without stamps."""
    plain: Any = getattr(PersistenceBase, "_input")  # noqa: B009 it is private
    if plain.__name__ != "without_stamps":

        def without_stamps(self: Any, job: Any) -> list[str]:
            return [name for name in plain(self, job) if not is_stamp(name)]

        setattr(PersistenceBase, "_input", without_stamps)  # noqa: B010
