"""Finding the pooled feature map and the linear layer of any classifier, by running it once.

Axes: B images, K outputs, C channels, h w feature grid.
"""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from recam.core.errors import UserError

IMAGES = 2  # of the first batch: enough to compare, and cheap
# Differences of sums in another order, relative to the largest value.
TOLERANCE = 1e-3
NOT_POOLED = (
    "model: expected logits that are a linear layer (torch.nn.Linear) of a globally average-pooled "
    "feature map, as of ResNet or DenseNet, got {}; a model without global pooling cannot be "
    "re-activated"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The parts of a classifier: logits = linear(mean over positions of the layer's output).

    ``rectified`` tells that a ReLU lies between the layer and the pooling, ``channels_last`` that
    the layer's output is (B, h, w, C).
    """

    layer: str  # as in named_modules
    linear: str
    num_classes: int  # K
    rectified: bool
    channels_last: bool

    def features(self, output: Tensor) -> Float[Tensor, "B C h w"]:
        """The feature map that is pooled, from the layer's output."""
        grid = output.permute(0, 3, 1, 2) if self.channels_last else output
        return grid.relu() if self.rectified else grid


@dataclass(slots=True, kw_only=True)
class _Trace:
    grids: dict[str, Tensor] = field(default_factory=dict[str, Tensor])  # in the order of ending
    linears: dict[str, tuple[Tensor, Tensor]] = field(
        default_factory=dict[str, tuple[Tensor, Tensor]]
    )  # inputs and outputs


class FeaturesOf(nn.Module):
    """The feature map that a classifier pools, as a network from images to features.

    A forward pass runs the whole classifier; its hook is removed afterwards.
    """

    def __init__(self, model: nn.Module, head: Head):
        super().__init__()
        self.model = model
        self._head = head

    def forward(self, images: Float[Tensor, "B c H W"]) -> Float[Tensor, "B C h w"]:
        """The features of images that are prepared as the classifier expects them."""
        outputs: list[Tensor] = []
        hook = self.model.get_submodule(self._head.layer).register_forward_hook(
            lambda _module, _inputs, output: outputs.append(cast(Tensor, output))
        )
        try:
            self.model(images)
        finally:
            hook.remove()
        return self._head.features(outputs[-1])


def find_head(model: nn.Module, layer: str | None, images: Float[Tensor, "B c H W"]) -> Head:
    """The linear layer that gives the logits, and the layer whose output it classifies.

    Without ``layer`` the last fitting one is found. The model must be in evaluation mode. Raises
    UserError where the logits are not that linear layer of the pooled features.
    """
    trace, logits = _traced(model, images[:IMAGES])
    linear = _linear_of(trace, logits)
    pooled = trace.linears[linear][0]
    names = list(reversed(trace.grids)) if layer is None else [_checked(model, layer, trace)]
    is_single = False
    for name, channels_last, rectified in product(names, (False, True), (False, True)):
        head = Head(
            layer=name,
            linear=linear,
            num_classes=logits.shape[1],
            rectified=rectified,
            channels_last=channels_last,
        )
        features = head.features(trace.grids[name])
        if _is_pooled(features, pooled):
            if features[0, 0].numel() > 1:
                return head
            is_single = True
    if is_single:
        raise UserError(
            "model: expected a feature map of several positions before the pooling, got 1 x 1; "
            "give larger images, or a model whose pooled features enter its linear layer"
        )
    got = f"inputs of {linear} that are no mean of " + (layer or "any feature map")
    raise UserError(NOT_POOLED.format(got))


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's parameters; the CPU without one."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _traced(model: nn.Module, images: Tensor) -> tuple[_Trace, Tensor]:
    trace = _Trace()
    with torch.no_grad(), _watched(model, trace):
        try:
            logits = model(images)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = " ".join(str(error).split())[:150]
            raise UserError(
                f"model: cannot run on images of shape {tuple(images.shape)} ({reason}); give "
                "images as the model expects them"
            ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(f"model: expected logits of shape (B, K), got {got}; wrap the model")
    return trace, logits


@contextmanager
def _watched(model: nn.Module, trace: _Trace) -> Iterator[None]:
    """Record the outputs of all layers that may matter."""

    def watch(name: str, module: nn.Module) -> RemovableHandle:
        def record(_: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if isinstance(module, nn.Linear) and isinstance(output, Tensor):
                trace.linears[name] = cast(Tensor, inputs[0]), output
            elif isinstance(output, Tensor) and output.ndim == 4:
                trace.grids.pop(name, None)  # a layer that runs twice counts at its last run
                trace.grids[name] = output

        return module.register_forward_hook(record)

    hooks = [watch(name, module) for name, module in model.named_modules() if name]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _linear_of(trace: _Trace, logits: Tensor) -> str:
    for name, (inputs, output) in reversed(trace.linears.items()):
        if inputs.ndim == 2 and output.shape == logits.shape and torch.equal(output, logits):
            return name
    raise UserError(NOT_POOLED.format("an output of another kind"))


def _checked(model: nn.Module, layer: str, trace: _Trace) -> str:
    names = [name for name, _ in model.named_modules() if name]
    if layer not in names:
        near = difflib.get_close_matches(layer, names, n=1)
        remedy = f"did you mean {near[0]}?" if near else "model.named_modules() lists them"
        raise UserError(f"layer: the model has no layer {layer!r}; {remedy}")
    if layer not in trace.grids:
        raise UserError(
            f"layer {layer}: expected a feature map (B, C, h, w), got another output; name the "
            "last layer before the pooling, or give None"
        )
    return layer


def _is_pooled(features: Tensor, pooled: Tensor) -> bool:
    means = features.mean(dim=(2, 3))
    if means.shape != pooled.shape:
        return False
    return bool((means - pooled).abs().max() <= TOLERANCE * pooled.abs().max())
