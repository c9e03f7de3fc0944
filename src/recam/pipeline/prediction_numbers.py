"""``prediction.json``: how ``evaluate`` made the masks that it scored, beside their checkpoint."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from recam.io.records import read_record, write_record
from recam.refine.crf_masks import Crf

FILE = "prediction.json"
Scale = Annotated[float, Field(gt=0, le=4)]


class PredictionNumbers(BaseModel):
    """Scales of the image, the CRF after the network, and the longest side of an image, in pixels.

    They stand beside the checkpoint and not in it: a change of them trains no network again.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    scales: Annotated[tuple[Scale, ...], Field(min_length=1)]
    crf: Crf | None = None
    longest_side: Annotated[int, Field(ge=0)] = 0

    def write(self, path: Path) -> None:
        """Write JSON, atomically."""
        write_record(path, self.model_dump())


def numbers_beside(checkpoint: Path) -> PredictionNumbers | None:
    """The numbers beside a checkpoint, or None without them. Raises UserError for damaged ones."""
    path = checkpoint.with_name(FILE)
    return read_record(path, PredictionNumbers) if path.exists() else None
