"""Sections summarize and draw: sizes of pictures."""

from typing import Annotated

from pydantic import Field

from recam.steps.sections.shared import Section


class Summarize(Section):
    """The picture of the first replicate."""

    examples: Annotated[int, Field(ge=1, description="rows of the picture")]


class Draw(Section):
    """The figures of the report."""

    examples: Annotated[int, Field(ge=1, description="rows of each grid of the report")]
