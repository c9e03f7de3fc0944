"""Networks of timm, with the types of the attributes that backbones read."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, TypedDict, cast, runtime_checkable

import timm
import torch
from torch import Tensor, nn

from recam.core.errors import UserError


class PretrainedConfig(TypedDict):
    """Mean, standard deviation and size of the images of timm's weights."""

    mean: Sequence[float]
    std: Sequence[float]
    input_size: Sequence[int]  # channels, height, width


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

    Raises UserError for a stride that it does not have.
    """
    create = partial(timm.create_model, name, num_classes=0, global_pool="")
    try:
        return cast(TimmNetwork, create(output_stride=output_stride))
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
    """Raise UserError where the features of a network are no grid (1, channels, h, w)."""
    with torch.no_grad():
        size = network.pretrained_cfg["input_size"]  # the only size that every network accepts
        features = network.eval().forward_features(torch.zeros(1, *size))
    network.train()
    if features.ndim != 4 or features.shape[1] != network.num_features:
        raise UserError(
            f"backbone {name}: expected features of shape (1, channels, h, w), got "
            f"{tuple(features.shape)}; choose a convolutional backbone or a plain transformer"
        )


def _of_any_size(create: Callable[..., nn.Module]) -> TimmNetwork:
    """The network with the option by which its family takes images of any size, if it has one."""
    for option in ("dynamic_img_size", "strict_img_size"):
        try:
            return cast(TimmNetwork, create(**{option: option.startswith("dynamic")}))
        except TypeError:
            continue
    return cast(TimmNetwork, create())
