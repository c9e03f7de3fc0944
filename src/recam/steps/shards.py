"""The shard that a job makes: a part of a step's files. See ``recam.steps.shard_folders``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from recam.core.errors import UserError
from recam.io.atomic import write_text
from recam.runtime.parts import WHOLE, Part
from recam.steps.paths import Optional

NAME = re.compile(r"(\w+)\.([1-9]\d*)-of-([1-9]\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The shard that this job makes; None makes the whole step, as its last job."""

    shard: Annotated[
        Path | None, Optional("stamp of a shard, such as shards/cams.2-of-4: make that part alone")
    ]

    @property
    def is_last(self) -> bool:
        """Whether this job makes the outputs of the step."""
        return self.shard is None

    @property
    def part(self) -> Part:
        """The part of the step's batches. Raises UserError for a stamp of another name."""
        return _part_of(self.shard) if self.shard else WHOLE

    def is_of(self, name: str) -> bool:
        """Whether the job is a shard of the folder ``name``."""
        return self.shard is not None and self.shard.name.startswith(f"{name}.")

    def stamp(self) -> None:
        """Write the stamp, the output of a shard for the engines."""
        if self.shard is not None:
            write_text(self.shard, f"{self.shard.name}\n")


def _part_of(stamp: Path) -> Part:
    match = NAME.fullmatch(stamp.name)
    if not match or int(match[2]) > int(match[3]):
        raise UserError(
            f"--shard: expected a name such as cams.2-of-4, number 1 to 4, got {stamp.name}; "
            "correct it"
        )
    return Part(number=int(match[2]), of=int(match[3]))
