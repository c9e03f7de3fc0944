"""Prompts of classes and of background words: a file, and the sentences that it gives."""

import logging
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from recam.catalogue.names import nearest
from recam.core.errors import UserError
from recam.steps.messages import first_sentence
from recam.steps.sections.shared import Section
from recam.steps.yaml_files import read_params

PLACE = "{}"  # of the words in a template
Words = Annotated[str, Field(min_length=1)]

logger = logging.getLogger(__name__)


class Prompts(Section):
    """A file of prompts."""

    template: Annotated[Words, Field(description="sentence with {} in the place of the words")]
    classes: Annotated[
        dict[str, Words],
        Field(description="words by class; a class that is left out is called by its name"),
    ]
    background: Annotated[
        tuple[Words, ...],
        Field(
            strict=False,
            min_length=1,
            description="words of things that are no class; without a rival, no map exists",
        ),
    ]

    @field_validator("template")
    @classmethod
    def _has_a_place(cls, text: str) -> str:
        if text.count(PLACE) != 1:
            raise PydanticCustomError("expected", "", {"expected": "a sentence with one {}"})
        return text

    def sentence(self, words: str) -> str:
        """The template with these words."""
        return self.template.replace(PLACE, words)


def read_prompts(path: Path) -> Prompts:
    """The prompts of a YAML file. Raises UserError for a missing or wrong one."""
    file = read_params(path.expanduser())
    try:
        return Prompts.model_validate(file.values)
    except ValidationError as error:
        raise UserError(f"{path}: {first_sentence(error, Prompts)[1]}") from None


def class_words(prompts: Prompts, classes: tuple[str, ...], *, source: Path) -> tuple[str, ...]:
    """The words of each class. Raises UserError for words of a class that does not exist."""
    for name in prompts.classes:
        if name not in classes:
            near = nearest(name, classes) or list(classes[:3])
            raise UserError(
                f"{source}: classes.{name}: expected a class of the data set, nearest are "
                f"{', '.join(near)}; correct the name or remove the line"
            )
    return tuple(prompts.classes.get(name, name) for name in classes)


def background_words(
    prompts: Prompts, classes: tuple[str, ...], *, source: Path
) -> tuple[str, ...]:
    """The background words that are no class, by name or by its words, in any case.

    A class that is a background word too would compete with itself. Raises UserError if none is
    left.
    """
    taken = {name.casefold() for name in (*classes, *class_words(prompts, classes, source=source))}
    left = tuple(word for word in prompts.background if word.casefold() not in taken)
    if dropped := [word for word in prompts.background if word not in left]:
        logger.info("background words that are classes are left out: %s", ", ".join(dropped))
    if not left:
        raise UserError(f"{source}: every background word is a class; add one that is not")
    return left
