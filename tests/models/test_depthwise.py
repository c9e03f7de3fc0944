"""Faster gradients of dilated depthwise convolutions equal torch's."""

import pytest
import torch
from torch import nn

from recam.models.depthwise import DilatedDepthwise, use_fast_depthwise_gradients


def layer(channels=3, **changes):
    numbers = {"kernel_size": 3, "dilation": 2, "padding": 2, "groups": channels, "bias": False}
    return nn.Conv2d(channels, channels, **(numbers | changes))


@pytest.mark.parametrize(
    ("side", "rate", "size"), [(3, 2, (6, 9)), (5, 2, (8, 8)), (5, 3, (4, 3)), (7, 2, (1, 5))]
)
def test_values_and_gradients_are_those_of_torch(generator, side, rate, size):
    theirs = layer(kernel_size=side, dilation=rate, padding=rate * (side // 2)).double()
    images = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    back = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    found = []
    for quick in (False, True):
        if quick:
            use_fast_depthwise_gradients(theirs)
            assert type(theirs) is DilatedDepthwise
        theirs.weight.grad = None
        given = images.clone().requires_grad_()
        made = theirs(given)
        made.backward(back)
        found.append((made.detach(), given.grad, theirs.weight.grad))
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(value, expected)


def test_a_single_pixel_reaches_the_middle_of_the_kernel_only():
    """One pixel, kernel of 3: only the weight in its middle sees anything."""
    quick = layer(channels=2)
    use_fast_depthwise_gradients(quick)
    image = torch.tensor([2.0, 3.0]).view(1, 2, 1, 1)
    quick(image).backward(torch.tensor([10.0, 100.0]).view(1, 2, 1, 1))
    assert quick.weight.grad[:, 0, 1, 1].tolist() == [20.0, 300.0]
    assert quick.weight.grad.count_nonzero() == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": 1},
        {"bias": True},
        {"stride": 2},
        {"dilation": 1, "padding": 1},
        {"padding": 1},
        {"dilation": (2, 1), "padding": (2, 1)},
        {"padding_mode": "reflect"},
        {"out_channels": 6},
    ],
)
def test_other_convolutions_are_unchanged(changes):
    channels = {"in_channels": 3, "out_channels": 3}
    numbers = {"kernel_size": 3, "dilation": 2, "padding": 2, "groups": 3, "bias": False}
    other = nn.Conv2d(**(channels | numbers | changes))
    use_fast_depthwise_gradients(other)
    assert type(other) is nn.Conv2d
