"""Section embed_texts: text vectors of classes and background words, for CLIP-ES."""

from typing import Annotated

from pydantic import Field

from recam.steps.sections.shared import PlacePath, Section


class EmbedTexts(Section):
    """Text vectors by a text encoder of CLIP; only for methods of CLIP-ES."""

    prompts: Annotated[
        PlacePath,
        Field(
            description="path of a YAML file of prompts: a template, words for classes whose name "
            "is not the best one, and background words"
        ),
    ]
    model: Annotated[
        str,
        Field(min_length=1, description="text encoder, by open_clip's name of the whole model"),
    ]
    weights: Annotated[
        PlacePath,
        Field(
            description="weights of the text encoder: open_clip's tag, none, or a checkpoint's path"
        ),
    ]
    vectors: Annotated[
        PlacePath,
        Field(
            description="path of text vectors that another embed_texts made, instead of a text "
            "encoder here; none: there are none"
        ),
    ]
