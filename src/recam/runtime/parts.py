"""Parts of a step's work, each made by a job of its own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a step's batches: number 1 to ``of``. A job of its own, a shard, makes it."""

    number: int = 1
    of: int = 1


WHOLE = Part()
