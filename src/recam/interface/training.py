"""The short training of a re-activation, in memory, with one record of losses a step."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

from recam.core.errors import UserError
from recam.interface.batches import pair_of, present_of
from recam.methods.recam import ReCam
from recam.pipeline.optimizer import POLYNOMIAL_POWER
from recam.runtime.progress import progress

Batches = Iterable[Sequence[Tensor]]
# Learning rates of V, relative to that of the model, and the rest: as train_recam in params.yaml.
RECLASSIFIER_RATE, WARM_UP_RATE = 10.0, 2.5
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4


def warm_up_reclassifier(
    model: ReCam, batches: Batches, *, steps: int, learning_rate: float
) -> None:
    """Train V alone on the softmax loss, in evaluation mode, at 2.5 times ``learning_rate``."""
    model.eval()
    reclassifier = [model.reclassifier]
    optimizer = _optimizer([(reclassifier, WARM_UP_RATE * learning_rate)])
    for step, batch in _steps(batches, steps, "warm-up"):
        losses = _losses(model, batch, step)
        optimizer.zero_grad()
        losses["sce"].backward(inputs=reclassifier)
        optimizer.step()


def train_all(
    model: ReCam, batches: Batches, *, steps: int, learning_rate: float
) -> tuple[dict[str, float], ...]:
    """Train all parameters that require gradients; the losses of each step by name.

    Rates decay to 0 by a polynomial of power 0.9. Raises UserError for a loss that is not finite.
    """
    others = [p for p in model.variant.parameters() if p.requires_grad]
    rates = [(others, learning_rate), ([model.reclassifier], RECLASSIFIER_RATE * learning_rate)]
    optimizer = _optimizer([(group, rate) for group, rate in rates if group])
    schedule = LambdaLR(optimizer, lambda step: (1 - step / max(steps, 1)) ** POLYNOMIAL_POWER)
    curve: list[dict[str, float]] = []
    for step, batch in _steps(batches, steps, "re-activation"):
        losses = _losses(model, batch, step)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        schedule.step()
        curve.append({name: float(loss.detach()) for name, loss in losses.items()})
    optimizer.zero_grad()
    return tuple(curve)


def _optimizer(groups: list[tuple[list[nn.Parameter], float]]) -> SGD:
    return SGD(
        [{"params": parameters, "lr": rate} for parameters, rate in groups],
        lr=groups[0][1],
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
    )


def _steps(batches: Batches, steps: int, what: str) -> Iterator[tuple[int, Sequence[Tensor]]]:
    endless = chain.from_iterable(repeat(batches))
    return progress(enumerate(islice(endless, steps), start=1), total=steps, what=what, unit="step")


def _losses(model: ReCam, batch: Sequence[Tensor], step: int) -> dict[str, Tensor]:
    images, labels = pair_of(batch)
    device, classes = model.weights.device, [str(n) for n in range(len(model.weights))]
    losses = model.loss(images.to(device), present_of(labels, classes).to(device))
    for name, loss in losses.items():
        if not math.isfinite(value := float(loss.detach())):
            raise UserError(
                f"loss {name}: expected a finite number, got {value} at step {step}; "
                "training diverged, so lower learning_rate"
            )
    return losses
