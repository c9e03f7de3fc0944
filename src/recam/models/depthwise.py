"""Faster CPU gradients for dilated depthwise convolutions.

The last stages of a mobile network are dilated to keep a fine grid. PyTorch's forward pass of such
a layer is fast on a CPU, its backward pass slow: a quarter of a training step of the default
experiment. Here both gradients are computed by fast operations (``benchmarks/training.py``).
"""

from itertools import product
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Grid = Float[Tensor, "B C h w"]


class DilatedDepthwise(nn.Conv2d):
    """A depthwise convolution of stride 1 that keeps the size; with a bias it is torch's."""

    def forward(self, input: Tensor) -> Tensor:
        """Compute as ``nn.Conv2d``; on a CPU in training, with the faster gradients."""
        is_training = self.training and torch.is_grad_enabled()
        if input.device.type != "cpu" or not is_training or self.bias is not None:
            return super().forward(input)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):  # it does not reach into custom functions
            short = torch.get_autocast_dtype("cpu")
            input, weight = input.to(short), weight.to(short)
        return cast(Tensor, _Convolution.apply(input, weight, self.dilation[0]))


def use_fast_depthwise_gradients(network: nn.Module) -> None:
    """Swap every matching layer for ``DilatedDepthwise``; parameters are unchanged."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_of_this_kind(module):
            module.__class__ = DilatedDepthwise


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Grid, weight: Tensor, dilation: int) -> Grid:
        ctx.save_for_backward(images, weight)
        ctx.dilation = dilation
        return _convolved(images, weight, dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Grid) -> tuple[Grid, Tensor, None]:
        (gradient,), (images, weight) = gradients, ctx.saved_tensors
        # The gradient of the images is a convolution with the kernel rotated by 180 degrees.
        of_images = _convolved(gradient, weight.flip(2, 3), ctx.dilation)
        of_weight = _weight_gradient(images, gradient, side=weight.shape[2], dilation=ctx.dilation)
        return of_images, of_weight, None


def _convolved(images: Grid, weight: Tensor, dilation: int) -> Grid:
    padding = dilation * (weight.shape[2] // 2)
    return functional.conv2d(images, weight, padding=padding, dilation=dilation, groups=len(weight))


def _weight_gradient(images: Grid, gradient: Grid, *, side: int, dilation: int) -> Tensor:
    """For each weight the sum over pixels of its input times the output's gradient."""
    seen, back = (grid.permute(0, 2, 3, 1) for grid in (images, gradient))  # channels are last
    height, width = images.shape[2:]
    found = images.new_zeros(side, side, images.shape[1])
    for row, column in product(range(side), repeat=2):
        down, right = (dilation * (place - side // 2) for place in (row, column))
        if abs(down) < height and abs(right) < width:
            there, here = _overlap(down, height), _overlap(-down, height)
            across, along = _overlap(right, width), _overlap(-right, width)
            found[row, column] = (seen[:, there, across] * back[:, here, along]).sum((0, 1, 2))
    return found.permute(2, 0, 1)[:, None]


def _overlap(shift: int, length: int) -> slice:
    """The part of an axis that stays on it after a move by -``shift``."""
    return slice(max(0, shift), min(length, length + shift))


def _is_of_this_kind(layer: nn.Conv2d) -> bool:
    (rate, _), (side, _) = layer.dilation, layer.kernel_size
    return (
        layer.groups == layer.in_channels == layer.out_channels > 1
        and layer.bias is None
        and layer.stride == (1, 1)
        and rate > 1
        and side % 2 == 1
        and layer.dilation == (rate, rate)
        and layer.kernel_size == (side, side)
        and layer.padding == (rate * (side // 2),) * 2
        and layer.padding_mode == "zeros"
    )
