"""Turn prompts of classes and background words into text vectors, by a text encoder of CLIP."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.data.layout import read_classes
from recam.io.texts import save_texts
from recam.steps.paths import In, Out
from recam.steps.sections.embed_texts import EmbedTexts
from recam.steps.texts import texts_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this step."""

    classes: Annotated[Path, In("names of the classes, one a line")]
    texts: Annotated[Path, Out("text vectors")]


def main(paths: Paths, numbers: EmbedTexts) -> None:
    """Read the classes, embed their prompts, save the vectors."""
    texts = texts_of(numbers, read_classes(paths.classes))
    save_texts(paths.texts, texts)
    logger.info(
        "%d classes and %d background words, vectors of %d numbers by %s",
        len(texts.classes),
        len(texts.background),
        texts.class_vectors.shape[1],
        texts.model,
    )


if __name__ == "__main__":
    run(main)
