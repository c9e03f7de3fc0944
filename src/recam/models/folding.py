"""Batch norms folded into the convolutions before them, for inference only.

A batch norm with fixed statistics scales and shifts each channel. The weights and the bias of the
convolution before it can do both: each layer makes one pass less over its features.

Layers need not run in the order of registration, so pairs of convolution and norm are recorded
during a forward pass. A network may use features in ways that are not recorded; the folded network
is therefore compared with the original.
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

IMAGE = (1, 3, 128, 128)  # shape of the noise image for the comparison
TOLERANCE = 1e-3  # of the largest value; rounding changes about 1e-5 of it
NORMS = (nn.BatchNorm2d, BatchNormAct2d)  # without subclasses, which may compute otherwise
HOOKS = ("_forward_hooks", "_forward_pre_hooks")  # of torch's modules


def folded(network: Network, compute: Callable[[Network, Tensor], Tensor]) -> Network:
    """A copy of a network in eval mode, with batch norms folded into convolutions and no gradients.

    ``compute`` maps the network and normalised images to the output that must be kept. The network
    itself is returned if the output would change by more than rounding, if nothing can be folded,
    or if it rejects the size of the noise image. The network is never changed.
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
    except Exception:  # networks reject image sizes with many kinds of exceptions
        return network
    is_same = difference <= TOLERANCE * expected.abs().max()  # False if a value is not finite
    return copy if pairs and is_same else network


def _pairs(
    network: nn.Module, compute: Callable[[], Tensor]
) -> tuple[Tensor, list[tuple[nn.Conv2d, nn.BatchNorm2d]]]:
    """The output, and every pair of a convolution and the batch norm that takes its result.

    Both are called once, and no other convolution or batch norm takes that result.
    """
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []  # tensors are kept, so that ids stay unique

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
    """Whether the type and state of a layer allow folding."""
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
    rest = nn.Sequential(*norm.children()).eval()  # timm's norms contain an activation
    names = [name for name, m in network.named_modules(remove_duplicate=False) if m is norm]
    for name in names:
        network.set_submodule(name, rest)
