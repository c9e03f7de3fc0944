"""The two forms of a computation: as the library's steps do it, and plain.

Plain is, by the authors' public code (Chen et al., CVPR 2022): networks in contiguous layout and
float32 as torch has it by default, so that a GPU may round factors of convolutions to TF32.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch
from harness import Run
from torch import Tensor, nn
from torch.optim import SGD

from recam.runtime.precision import autocast, make_precision

LEARNING_RATE = 1e-12  # next to none: on noise a fresh network would soon have no finite loss

Network = TypeVar("Network", bound=nn.Module)
Given = ParamSpec("Given")
Result = TypeVar("Result")


def prepared(model: Network, device: torch.device) -> Network:
    """Ours: a network in the layout that the library's steps give it."""
    return model.to(device).to(memory_format=torch.channels_last)


def as_ours(
    compute: Callable[Given, Result], device: torch.device, *, precision: str = "auto"
) -> Callable[Given, Result]:
    """Ours: losses or maps in the precision that the library's steps choose for a device."""

    def computed(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with autocast(make_precision(precision, device), device):
            return compute(*args, **kwargs)

    return computed


@contextmanager
def as_plain() -> Iterator[None]:
    """Plain, a decorator: TF32 in convolutions is allowed, as torch's default is."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def step_of(model: nn.Module, losses: Callable[[], dict[str, Tensor]], *, plain: bool) -> Run:
    """Forward, backward and SGD, ours fused as in ``recam.pipeline.training``; returns the loss."""
    optimizer = SGD(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=LEARNING_RATE,
        momentum=0.9,
        weight_decay=1e-4,
        fused=None if plain else True,
    )

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        total = torch.stack(list(losses().values())).sum()
        total.backward()
        optimizer.step()
        return total.detach()

    return as_plain()(step) if plain else step
