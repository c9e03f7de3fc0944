"""Text vectors: the classes and background words of CLIP as an artifact, read without CLIP.

Axes: K foreground classes, M background words, D channels of the space that images and texts share.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from recam.core.errors import UserError
from recam.io.checkpoints import load_state, save_state
from recam.io.origins import damaged, remedy_of

TEXTS_FORMAT = "recam-texts-1"
UNIT = 1e-3  # largest difference of the length of a vector from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Unit vectors of texts, and the scale of their cosines with images in CLIP's logits."""

    classes: tuple[str, ...]
    background: tuple[str, ...]  # at least one word
    class_vectors: Float[Tensor, "K D"]
    background_vectors: Float[Tensor, "M D"]
    scale: float
    model: str  # the text encoder, for people


def save_texts(path: Path, texts: Texts) -> None:
    """Write text vectors as plain tensors with a checksum, atomically."""
    content = {
        "format": TEXTS_FORMAT,
        "classes": list(texts.classes),
        "background": list(texts.background),
        "class_vectors": texts.class_vectors.cpu().contiguous(),
        "background_vectors": texts.background_vectors.cpu().contiguous(),
        "scale": texts.scale,
        "model": texts.model,
    }
    save_state(path, content)


def load_texts(path: Path) -> Texts:
    """The text vectors of a file. Raises UserError for a missing, damaged or other file."""
    content = load_state(path)
    if content is None:
        step = "run embed_texts, which makes it"
        raise UserError(f"{path}: expected a file of text vectors, which does not exist; {step}")
    if content.get("format") != TEXTS_FORMAT:
        raise UserError(
            f"{path}: expected text vectors of the format {TEXTS_FORMAT}, got other content; "
            f"{remedy_of(path)}"
        )
    of_classes = _vectors(content, "classes", "class_vectors", path)
    of_words = _vectors(content, "background", "background_vectors", path)
    if of_classes.shape[1] != of_words.shape[1]:
        raise damaged(path, "vectors of classes and background differ in length")
    return Texts(
        classes=_names(content, "classes", path),
        background=_names(content, "background", path),
        class_vectors=of_classes,
        background_vectors=of_words,
        scale=_scale(content, path),
        model=str(content.get("model", "")),
    )


def require_texts(texts: Texts, classes: tuple[str, ...], *, source: Path) -> None:
    """Raise UserError if the text vectors of ``source`` are those of other classes."""
    if texts.classes != classes:
        raise UserError(
            f"{source}: expected text vectors of the {len(classes)} classes of the data set "
            f"({', '.join(classes[:3])}, ...), got those of {len(texts.classes)} classes "
            f"({', '.join(texts.classes[:3])}, ...); run embed_texts on this data set"
        )


def _names(content: dict, key: str, path: Path) -> tuple[str, ...]:
    names = content.get(key)
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise damaged(path, f"expected a list of names as {key}")
    return tuple(names)


def _vectors(content: dict, names: str, key: str, path: Path) -> Float[Tensor, "_ D"]:
    vectors, count = content.get(key), len(_names(content, names, path))
    if not isinstance(vectors, Tensor) or vectors.ndim != 2 or len(vectors) != count:
        raise damaged(path, f"expected {count} vectors as {key}, one for each of {names}")
    lengths = vectors.float().norm(dim=1)
    if not torch.allclose(lengths, torch.ones_like(lengths), atol=UNIT):  # NaN, too
        raise damaged(path, f"expected vectors of length 1 as {key}")
    return vectors.float()


def _scale(content: dict, path: Path) -> float:
    scale = content.get("scale")
    if not isinstance(scale, float) or not 0 < scale < float("inf"):
        raise damaged(path, "expected a scale above 0")
    return scale
