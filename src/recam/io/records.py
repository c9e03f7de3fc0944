"""Results as JSON: their models, and checks of checksum and model when they are read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from recam.core.errors import UserError
from recam.io.atomic import write_text
from recam.io.origins import remedy_of
from recam.io.seals import read_listed

Record = TypeVar("Record", bound=BaseModel)
Score = Annotated[float, Field(ge=0, le=1)]
ROUNDING = 1e-6  # of sums of shares, in percent
Percent = Annotated[float, Field(ge=-ROUNDING, le=100 + ROUNDING)]
SaliencySource = Literal["", "folder", "ccam"]


class CutNumbers(BaseModel):
    """The content of ``cut.json``: scores, and the source of saliency maps."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    background: Score
    threshold: Score
    margin: Score
    saliency: SaliencySource = ""


class StageMetrics(BaseModel):
    """A stage in ``metrics.json``: its split, its images, and scores in percent."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, Percent]  # pyright: ignore[reportIncompatibleVariableOverride]

    split: str
    images: Annotated[int, Field(ge=0)] = 0
    of: Annotated[int, Field(ge=0)] = 0
    saliency: SaliencySource = ""


class RunMetrics(RootModel[dict[Literal["cams", "pseudo", "seg"], StageMetrics]]):
    """The content of the ``metrics.json`` of a run, by stage."""


class Signs(BaseModel):
    """The content of ``signs.json``: values in percent and names of classes, by sign."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    values: dict[str, float] = {}
    classes: dict[str, list[str]] = {}


def write_record(path: Path, record: Mapping[str, object]) -> None:
    """Write JSON, atomically. Raises ValueError for NaN and infinity."""
    write_text(path, json.dumps(record, indent=2, allow_nan=False) + "\n")


def read_cut(path: Path) -> CutNumbers:
    """The numbers of a ``cut.json``. Raises UserError for a missing or damaged file."""
    return read_record(path, CutNumbers)


def read_metrics(path: Path) -> dict[str, dict[str, float | str]]:
    """Metrics by stage and name. Raises UserError for a missing or damaged file."""
    stages = read_record(path, RunMetrics).root
    return {stage: values.model_dump(exclude_unset=True) for stage, values in stages.items()}


def read_signs(path: Path) -> Signs:
    """Signs of failure. Raises UserError for a missing or damaged file."""
    return read_record(path, Signs)


def read_record(path: Path, model: type[Record]) -> Record:
    """The record of a file. Raises UserError for a missing or damaged file."""
    try:
        return model.model_validate_json(read_listed(path), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        got = " ".join(repr(first["input"]).split())
        words = f"{name}: {first['msg']}" if name else first["msg"]
        raise UserError(f"{path}: {words}, got {got:.40}; {remedy_of(path)}") from error
