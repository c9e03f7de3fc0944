"""Text encoders of CLIP, from open_clip: an extra, since one step alone needs them."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from recam.core.errors import UserError

PACKAGE = "open_clip"
INSTALL = "run `pip install 'recam[clip]'`, or set embed_texts.vectors to a file of text vectors"


@torch.no_grad()
def encoded(
    sentences: Sequence[str], *, model: str, weights: str
) -> tuple[Float[Tensor, "N D"], float]:
    """The unit vectors of sentences, and the scale of cosines in the model's logits.

    ``model`` is open_clip's name of a whole model, ``weights`` its tag, a path, or ``none`` for
    random weights. Raises UserError without the package, for an unknown model, and if the weights
    cannot be downloaded.
    """
    clip = _package()
    if model not in clip.list_models():
        raise UserError(
            f"embed_texts.model: expected a model of open_clip, got {model}; "
            "`python -c 'import open_clip; print(open_clip.list_models())'` lists them"
        )
    try:
        network = clip.create_model(model, pretrained=None if weights == "none" else weights)
        tokens = clip.get_tokenizer(model)(list(sentences))
    except Exception as error:  # the hub client raises many kinds for a failed download
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise UserError(
            f"embed_texts.weights: the text encoder {model} ({weights}) could not be loaded "
            f"({type(error).__name__}: {reason}); connect to the internet, or set "
            "embed_texts.vectors to text vectors made on a machine that has it"
        ) from error
    vectors = network.eval().encode_text(tokens, normalize=True)
    return vectors.float(), float(network.logit_scale.exp())


def _package() -> Any:
    try:
        import open_clip  # noqa: PLC0415 an extra # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            f"embed_texts: expected the package {PACKAGE}, which is not installed; {INSTALL}"
        ) from error
    return open_clip  # pyright: ignore[reportUnknownVariableType]
