"""Checkpoints: tensors with the configuration of their network; pickled code is refused."""

import io
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, TypeVar

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from recam.core.errors import UserError
from recam.core.labels import MAX_CLASSES
from recam.io.origins import damaged, remedy_of
from recam.io.placeholders import is_placeholder
from recam.io.seals import not_a, read_sealed, write_sealed

CHECKPOINT_FORMAT = "recam-checkpoint-1"
PLAIN_TENSORS = "plain tensors"
STRIDES = (8, 14, 16, 32)  # of a feature grid, in pixels

Name = Annotated[str, Field(min_length=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=0)]
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The configuration of a network, from which it is rebuilt before its tensors are loaded."""

    method: Name  # cam, recam, control, irn, or the name of a segmenter
    backbone: Name
    output_stride: int  # pixels, one of STRIDES
    classes: Annotated[tuple[Name, ...], Field(max_length=MAX_CLASSES)]  # by index
    frozen_batch_norm: bool
    frozen_stem: bool
    weight: Weight = 0.0  # of the softmax loss; ReCAM
    view_scale: Weight = 0.0  # of the second view; SEAM
    view_weight: Weight = 1.0  # of the difference between the maps of both views; SEAM
    pcm: bool = False  # whether there is a pixel correlation module; SEAM
    rates: tuple[Annotated[int, Field(ge=1)], ...] = ()  # dilations of atrous branches; segmenters
    radius: Pixels = 0  # of pairs, in cells of 4 pixels; IRN
    longest_side: Pixels = 0  # of the largest training images, in pixels; segmenters
    contrast: Weight = 0.0  # of the contrast between class tokens; MCTformer
    frozen_backbone: bool = False  # whether its weights and statistics stay
    text_channels: Pixels = 0  # of a text vector; CLIP-ES
    background_texts: Pixels = 0  # text vectors of background words; CLIP-ES


def save_checkpoint(
    path: Path,
    tensors: Mapping[str, Tensor],
    model_config: ModelConfig,
    *,
    beside: Iterable[Path] = (),
) -> None:
    """Write tensors, moved to the CPU, and their configuration; ``weights_only`` can load them.

    The file keeps the checksums of the files ``beside`` it: its training curve.
    """
    content = {
        "format": CHECKPOINT_FORMAT,
        "model_config": asdict(model_config),
        "tensors": {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
    }
    write_sealed(path, _archive(content), beside=beside)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], ModelConfig]:
    """The tensors and the configuration. Raises UserError for a missing, damaged or other file."""
    if is_placeholder(path):
        raise UserError(
            f"{path}: expected a checkpoint, got the placeholder of train_irn, which trained "
            "nothing; pass a checkpoint that a train step wrote"
        )
    content = _load(path)
    if content.get("format") != CHECKPOINT_FORMAT:
        raise UserError(f"{path}: not a recam checkpoint; pass one written by a train step")
    return _tensors_of(content, path), _config_of(content, path)


def load_network(
    path: Path,
    make: Callable[[ModelConfig], Network],
    *,
    methods: Collection[str],
    expected: str,
    give: str,
) -> tuple[Network, ModelConfig]:
    """The network of a checkpoint of one of ``methods``, rebuilt by ``make``, on the CPU.

    Raises UserError where the file holds another network and where its tensors do not fit; the
    message names the ``expected`` network and the file to ``give`` instead.
    """
    tensors, model_config = load_checkpoint(path)
    if model_config.method not in methods:
        raise UserError(
            f"{path}: expected {expected}, got a network of method {model_config.method}; give "
            f"{give}"
        )
    try:
        model = make(model_config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if _forms(model.state_dict()) != _forms(tensors):
        raise UserError(
            f"{path}: its tensors do not fit the network that it describes; train it again with "
            "this version of recam"
        )
    model.load_state_dict(tensors)
    return model, model_config


def save_state(path: Path, content: Mapping[str, object]) -> None:
    """``torch.save`` with a checksum, written atomically."""
    write_sealed(path, _archive(content))


def load_state(path: Path) -> dict | None:
    """The content that ``save_state`` wrote, on the CPU; None without a file.

    Raises UserError for a damaged file and for one with pickled code.
    """
    return _load(path) if path.is_symlink() or path.exists() else None


def _archive(content: Mapping[str, object]) -> io.BytesIO:
    buffer = io.BytesIO()  # torch's own write would hide that the disk is full
    torch.save(dict(content), buffer)
    return buffer


def _load(path: Path) -> dict:
    archive = io.BytesIO(read_sealed(path, kind=PLAIN_TENSORS))
    try:
        content = torch.load(archive, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for foreign files
        raise not_a(PLAIN_TENSORS, path) from error
    return content if isinstance(content, dict) else {}


def _forms(tensors: Mapping[str, Tensor]) -> dict[str, tuple[object, ...]]:
    return {name: (value.shape, value.dtype, value.layout) for name, value in tensors.items()}


def _tensors_of(content: dict, path: Path) -> dict[str, Tensor]:
    tensors = content.get("tensors")
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise damaged(path, "expected tensors by name")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(
                f"{path}: expected finite numbers, got NaN or infinity in {name}; {remedy_of(path)}"
            )
    return tensors


def _config_of(content: dict, path: Path) -> ModelConfig:
    described = content.get("model_config")
    if not isinstance(described, dict) or set(described) != {f.name for f in fields(ModelConfig)}:
        raise UserError(f"{path}: made by another version of recam; run the step that makes it")
    try:
        model_config = TypeAdapter(ModelConfig).validate_python(described)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        got = " ".join(repr(first["input"]).split())
        raise damaged(path, f"{name}: {first['msg']}, got {got:.40}") from error
    if asdict(model_config) != {k: _unlisted(value) for k, value in described.items()}:
        raise damaged(path, "model_config: values of other types")
    if model_config.output_stride not in STRIDES:
        raise damaged(
            path, f"expected output_stride 8, 14, 16 or 32, got {model_config.output_stride}"
        )
    return model_config


def _unlisted(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
