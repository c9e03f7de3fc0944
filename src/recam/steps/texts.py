"""Parts of embed_texts: the text vectors of classes, from a file of prompts or given."""

from pathlib import Path

from recam.io.texts import Texts, load_texts, require_texts
from recam.models.text_encoder import encoded
from recam.steps.prompts import background_words, class_words, read_prompts
from recam.steps.sections.embed_texts import EmbedTexts

NONE = "none"  # no vectors are given


def texts_of(numbers: EmbedTexts, classes: tuple[str, ...]) -> Texts:
    """The text vectors of a data set: given ones, or those of the prompts.

    Raises UserError for other classes, a wrong file of prompts, and without a text encoder.
    """
    if numbers.vectors != NONE:
        path = Path(numbers.vectors).expanduser()
        texts = load_texts(path)
        require_texts(texts, classes, source=path)
        return texts
    path = Path(numbers.prompts)
    prompts = read_prompts(path)
    words = class_words(prompts, classes, source=path)
    background = background_words(prompts, classes, source=path)
    sentences = [prompts.sentence(each) for each in (*words, *background)]
    vectors, scale = encoded(sentences, model=numbers.model, weights=numbers.weights)
    return Texts(
        classes=classes,
        background=background,
        class_vectors=vectors[: len(classes)],
        background_vectors=vectors[len(classes) :],
        scale=scale,
        model=f"{numbers.model} ({numbers.weights})",
    )
