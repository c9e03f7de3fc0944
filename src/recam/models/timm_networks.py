"""Networks of timm, with the types of the attributes that backbones read."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, TypedDict, cast, runtime_checkable

import torch
from torch import Tensor, nn

from recam.core.errors import UserError
from recam.models.lite import LITE, EfficientNetLite0

TRIAL = (97, 131)  # height and width, no multiples of anything, of the image that a network gets


class PretrainedConfig(TypedDict):
    """Mean and standard deviation of the images of timm's weights."""

    mean: Sequence[float]
    std: Sequence[float]


class Level(TypedDict):
    """A level of features that timm lists."""

    reduction: int  # stride, in pixels
    num_chs: int


@runtime_checkable
class TimmNetwork(Protocol):
    """The attributes of timm's networks, which ``create_model`` types as any module."""

    pretrained_cfg: PretrainedConfig
    num_features: int
    feature_info: Sequence[Level]

    def __call__(self, images: Tensor, /) -> Tensor:
        """Logits, or features where the head is left out."""
        ...

    def forward_features(self, images: Tensor, /) -> Tensor:
        """Features (B, C, h, w)."""
        ...

    def forward_intermediates(
        self, images: Tensor, /, *, indices: list[int], norm: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """The final features, and those of the levels ``indices``."""
        ...

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """The modules of the network by name."""
        ...

    def train(self) -> "TimmNetwork":
        """The network in training mode."""
        ...

    def eval(self) -> "TimmNetwork":
        """The network in evaluation mode."""
        ...


def create_timm(name: str, *, output_stride: int) -> TimmNetwork:
    """A network of timm with fresh weights, without its head, for images of any size if it can.

    The default's network is built without timm, whose import takes seconds. Raises UserError for a
    stride that it does not have.
    """
    if name == LITE:
        return cast(TimmNetwork, EfficientNetLite0(output_stride=output_stride))
    import timm  # noqa: PLC0415 slow to import

    create = partial(timm.create_model, name, num_classes=0, global_pool="")
    try:
        return cast(TimmNetwork, create(output_stride=output_stride))
    except RuntimeError as error:  # its message names the tag
        raise UserError(f"backbone {name}: {error}; choose one of timm's tags, or none") from error
    except TypeError as error:  # raised by families with a fixed stride
        network = _of_any_size(create)
        natural = network.feature_info[-1]["reduction"]
        if natural != output_stride:
            raise UserError(
                f"backbone {name}: expected output stride {natural}, its only one, got "
                f"{output_stride}; set output_stride: {natural} or choose another backbone"
            ) from error
        return network


def require_grid(name: str, network: TimmNetwork) -> None:
    """Raise UserError where images of any size do not give a feature grid (1, channels, h, w)."""
    remedy = "choose a convolutional backbone, a Swin or a plain transformer"
    try:
        with torch.no_grad():
            features = network.eval().forward_features(torch.zeros(1, 3, *TRIAL))
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        size = " x ".join(map(str, TRIAL))
        raise UserError(
            f"backbone {name}: expected a network for images of any size, it failed at {size} "
            f"pixels ({reason}); {remedy}"
        ) from error
    network.train()
    if features.ndim != 4 or grid_of(network, features).shape[1] != network.num_features:
        raise UserError(
            f"backbone {name}: expected features of shape (1, channels, h, w), got "
            f"{tuple(features.shape)}; {remedy}"
        )


def grid_of(network: TimmNetwork, features: Tensor) -> Tensor:
    """The final features channels-first, (B, C, h, w), of channels-last networks, too."""
    return features.permute(0, 3, 1, 2) if is_channels_last(network) else features


def is_channels_last(network: TimmNetwork) -> bool:
    """Whether the final features of a network are (B, h, w, C)."""
    return getattr(network, "output_fmt", "NCHW") == "NHWC"


def _of_any_size(create: Callable[..., nn.Module]) -> TimmNetwork:
    """The network with the option by which its family takes images of any size, if it has one."""
    for option in ("dynamic_img_size", "strict_img_size"):
        try:
            network = cast(TimmNetwork, create(**{option: option.startswith("dynamic")}))
        except TypeError:
            continue
        return _with_padding(network)
    return cast(TimmNetwork, create())


def _with_padding(network: TimmNetwork) -> TimmNetwork:
    """Let networks of windows pad incomplete patches, at the right and below, with zeros."""
    patches = getattr(network, "patch_embed", None)
    if is_channels_last(network) and patches is not None:
        vars(patches)["dynamic_img_pad"] = True
    return network
