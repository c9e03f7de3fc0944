"""Warm-up of the re-classifier: V trains alone, while the backbone and W are held still.

V starts at random, and its first gradients would disturb the features that it is to judge.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import torch
from torch import Tensor
from torch.optim import Optimizer

from recam.methods.recam import ReCam
from recam.pipeline.optimizer import OptimizerName, optimizer_of
from recam.runtime.distributed import all_reduce_sum, processes
from recam.runtime.precision import autocast
from recam.runtime.progress import progress


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """The hyperparameters of a warm-up; the learning rate is constant."""

    steps: int
    learning_rate: float
    momentum: float  # of SGD
    weight_decay: float
    optimizer: OptimizerName = "sgd"


def warm_up(
    model: ReCam,
    batches: Callable[[int], Iterable[list[Tensor]]],
    recipe: WarmUp,
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
) -> None:
    """Train V alone on the softmax loss, with batch norms in eval mode.

    ``batches`` gives the batches (images, labels, ...) of an epoch; the warm-up takes the epochs 0,
    -1, -2 and so on, which no training takes.
    """
    if not recipe.steps:
        return
    model.to(device).to(memory_format=torch.channels_last)
    weights = model.reclassifier
    others = [p for p in model.parameters() if p is not weights and p.requires_grad]
    for parameter in others:
        parameter.requires_grad = False
    model.eval()
    optimizer = _optimizer(weights, recipe)
    first = islice(_endless(batches), recipe.steps)
    for images, labels, *_ in progress(first, total=recipe.steps, what="warm-up", unit="step"):
        with autocast(precision, device):
            batch = images.to(device, non_blocking=True, memory_format=torch.channels_last)
            loss = model.loss(batch, labels.to(device, non_blocking=True))["sce"]
        optimizer.zero_grad()
        loss.backward()
        if weights.grad is not None:
            weights.grad.copy_(all_reduce_sum(weights.grad) / processes())
        optimizer.step()
    for parameter in others:
        parameter.requires_grad = True
    weights.grad = None
    model.train()


def _optimizer(weights: Tensor, recipe: WarmUp) -> Optimizer:
    return optimizer_of(
        [{"params": [weights], "lr": recipe.learning_rate}],
        recipe.optimizer,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )


def _endless(batches: Callable[[int], Iterable[list[Tensor]]]) -> Iterator[list[Tensor]]:
    for epoch in count():
        yield from batches(-epoch)
