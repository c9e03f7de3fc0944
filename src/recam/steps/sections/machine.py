"""Section machine: devices and precision of all steps."""

from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from recam.steps.sections.shared import MOST_THREADS, Section

MOST_SHARDS = 10_000  # jobs of a step, more than a scheduler takes


def _count_or_auto(value: object) -> int | str:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if is_count or value == "auto":
        return value  # pyright: ignore[reportReturnType] narrowed by is_count
    if isinstance(value, str) and value.isdecimal() and int(value) >= 1:  # of a command line
        return int(value)
    raise PydanticCustomError("expected", "{expected}", {"expected": "1, 2, ... or auto"})


class Machine(Section):
    """Devices and precision. ``threads`` and ``precision`` change rounding, not the method.

    Steps are given these numbers; those of ``MachineOfAll`` decide on jobs and change no result.
    """

    device: Annotated[
        str,
        Field(
            pattern="^(auto|cpu|cuda(:[0-9]+)?)$",
            description="auto (a GPU if there is one), cpu, cuda or cuda:1",
        ),
    ]
    devices: Annotated[
        int | str,
        PlainValidator(_count_or_auto),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
        Field(description="devices per step: 1, 2, ... or auto (all GPUs of the machine)"),
    ]
    precision: Annotated[
        Literal["auto", "bf16", "fp32"],
        Field(description="precision of networks: bf16, fp32, or auto (bf16 on a GPU that has it)"),
    ]
    threads: Annotated[
        int, Field(ge=1, le=MOST_THREADS, description="threads of each step on a CPU")
    ]


class MachineOfAll(Machine):
    """The section of params.yaml."""

    shards: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_SHARDS,
            description="jobs that share each step that works image by image: cams, confident "
            "pixels, pseudo masks, predictions; changes no result",
        ),
    ]
