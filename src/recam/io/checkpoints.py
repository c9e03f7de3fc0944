"""Checkpoints: tensors with the configuration of their network; pickled code is refused."""

import io
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from zipfile import is_zipfile

import torch
from torch import Tensor

from recam.core.errors import UserError
from recam.io.atomic import replacing

CHECKPOINT_FORMAT = "recam-checkpoint-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The configuration of a network, from which it is rebuilt before its tensors are loaded."""

    method: str  # cam, recam, control, irn, or the name of a segmenter
    backbone: str
    output_stride: int  # pixels
    classes: tuple[str, ...]  # foreground, in the order of their indices
    frozen_batch_norm: bool
    frozen_stem: bool
    weight: float = 0.0  # of the softmax loss; ReCAM
    view_scale: float = 0.0  # of the second view; SEAM
    view_weight: float = 1.0  # of the difference between the maps of both views; SEAM
    pcm: bool = False  # whether there is a pixel correlation module; SEAM
    rates: tuple[int, ...] = ()  # dilations of the atrous branches; segmenters
    radius: int = 0  # of pairs, in cells of 4 pixels; IRN
    longest_side: int = 0  # of the largest training images, in pixels; segmenters


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], model_config: ModelConfig) -> None:
    """Write tensors, moved to the CPU, and their configuration; ``weights_only`` can load them."""
    save_state(
        path,
        {
            "format": CHECKPOINT_FORMAT,
            "model_config": asdict(model_config),
            "tensors": {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
        },
    )


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], ModelConfig]:
    """The tensors and the configuration. Raises UserError for a missing, damaged or other file."""
    content = load_state(path)
    if content is None:
        raise UserError(f"{path}: not found; run the step that makes it")
    if content.get("format") != CHECKPOINT_FORMAT:
        raise UserError(f"{path}: not a recam checkpoint; pass one written by a train step")
    described = content["model_config"]
    if set(described) != {f.name for f in fields(ModelConfig)}:
        raise UserError(f"{path}: made by another version of recam; run the step that makes it")
    for name in ("classes", "rates"):
        described[name] = tuple(described[name])
    return content["tensors"], ModelConfig(**described)


def save_state(path: Path, content: Mapping[str, object]) -> None:
    """``torch.save``, written atomically."""
    buffer = io.BytesIO()  # torch's own write would hide that the disk is full
    torch.save(dict(content), buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(path: Path) -> dict | None:
    """The content that ``save_state`` wrote, on the CPU; None without a file.

    Raises UserError for a damaged file and for one with pickled code.
    """
    if not path.is_file():
        return None
    if not is_zipfile(path):
        raise UserError(f"{path}: damaged, or not a file of plain tensors; delete it")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: damaged, or not a file of plain tensors; delete it") from error
    return content if isinstance(content, dict) else {}
