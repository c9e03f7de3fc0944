"""Batch norms folded into the convolutions before them, for inference only.

With its statistics fixed a batch norm multiplies each channel by a number and adds another. The
convolution before it can do both for nothing, by its weights and its bias: one pass less over the
features of every layer.

Which norm comes after which convolution is seen while an image passes through the network, for
layers need not be called in the order in which they are registered. What is seen is not all that
may happen to features, so the folded network must give what the network gave.
"""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import TypeVar

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrize import is_parametrized

Network = TypeVar("Network", bound=nn.Module)

IMAGE = (1, 3, 128, 128)  # of noise, what a network is tried with
TOLERANCE = 1e-3  # of the largest value; rounding changes about 1e-5 of it
NORMS = (nn.BatchNorm2d, BatchNormAct2d)  # which compute as expected; their subclasses may not
HOOKS = ("_forward_hooks", "_forward_pre_hooks")  # of torch's modules


def folded(network: Network, compute: Callable[[Network, Tensor], Tensor]) -> Network:
    """A copy that computes the same with fewer batch norms, without gradients.

    ``compute`` says what the network, which is in eval mode, makes of normalised images. Where
    that would change by more than rounding, where there is nothing to fold and where the network
    does not take the image it is tried with, the network itself comes back. It is never changed.
    """
    noise = torch.randn(IMAGE, generator=torch.Generator().manual_seed(0))
    image = noise.to(next(network.parameters())).contiguous(memory_format=torch.channels_last)
    try:
        copy = deepcopy(network).requires_grad_(requires_grad=False)
        with torch.no_grad():
            expected, pairs = _pairs(copy, lambda: compute(copy, image))
            for convolution, norm in pairs:
                _fold(copy, convolution, norm)
            difference = (compute(copy, image) - expected).abs().max()
    except Exception:  # networks refuse sizes of images in many ways
        return network
    is_same = difference <= TOLERANCE * expected.abs().max()  # not where something is not finite
    return copy if pairs and is_same else network


def _pairs(
    network: nn.Module, compute: Callable[[], Tensor]
) -> tuple[Tensor, list[tuple[nn.Conv2d, nn.BatchNorm2d]]]:
    """What is computed, and every convolution whose result a batch norm gets, with that norm.

    Both are called once, and no other convolution or batch norm gets that result.
    """
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []  # tensors are kept: none takes another's id

    def note(module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        calls.append((module, given[0], result))

    layers = [module for module in network.modules() if _is_known(module)]
    handles = [layer.register_forward_hook(note) for layer in layers]
    value = compute()
    for handle in handles:
        handle.remove()
    times = Counter(module for module, _, _ in calls)
    takers = Counter(id(given) for _, given, _ in calls)
    makers = {id(result): module for module, _, result in calls if isinstance(module, nn.Conv2d)}
    return value, [
        (maker, module)
        for module, given, _ in calls
        if isinstance(module, nn.BatchNorm2d)
        and (maker := makers.get(id(given)))
        and times[maker] == times[module] == takers[id(given)] == 1
    ]


def _is_known(module: nn.Module) -> bool:
    """Whether it is a layer that can be folded, if it is called as it should be."""
    is_norm = isinstance(module, NORMS) and type(module) in NORMS
    return (
        (isinstance(module, nn.Conv2d) or (is_norm and module.running_mean is not None))
        and not module.training
        and not is_parametrized(module)
        and not any(vars(module)[kind] for kind in HOOKS)
    )


def _fold(network: nn.Module, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    rest = nn.Sequential(*norm.children()).eval()  # timm's have an activation; torch's nothing
    names = [name for name, m in network.named_modules(remove_duplicate=False) if m is norm]
    for name in names:
        network.set_submodule(name, rest)
