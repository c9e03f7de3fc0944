"""One training loop, for anything with ``loss(*batch)``, that can be killed and goes on."""

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

from recam.artifacts import load_state, save_state
from recam.errors import UserError
from recam.files import write_text
from recam.progress import progress

POLYNOMIAL_POWER = 0.9  # of the learning rate's decay to zero, per step (authors' code)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The numbers of a training run."""

    epochs: int
    learning_rates: dict[str, float]  # by attribute of the model; "" takes all that is left
    momentum: float
    weight_decay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochLoss:
    """One line of a training curve: the mean of one loss over an epoch."""

    epoch: int
    loss: str
    value: float


def train(
    model: nn.Module,
    batches: Callable[[int], Iterable[list[Tensor]]],
    *,
    steps_per_epoch: int,
    recipe: Recipe,
    device: torch.device,
    state: Path,
    key: str,
) -> list[EpochLoss]:
    """Train in place with SGD and polynomial decay; return the curve.

    After every epoch all that is needed to go on is kept in ``state`` under ``key``; a run that
    finds its own key there goes on and ends with the same numbers as an unbroken one. Raises
    UserError where a loss is not finite.
    """
    model.to(device).to(memory_format=torch.channels_last)
    optimizer = SGD(
        parameter_groups(model, recipe.learning_rates),
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    steps = recipe.epochs * steps_per_epoch
    schedule = LambdaLR(optimizer, lambda step: (1 - step / steps) ** POLYNOMIAL_POWER)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    curve = _resume(state, key=key, parts=parts)
    done = max((line.epoch for line in curve), default=0)
    if 0 < done < recipe.epochs:
        logger.info("going on after epoch %d of an unfinished run", done)
    model.train()
    for epoch in range(done + 1, recipe.epochs + 1):
        what = f"epoch {epoch}/{recipe.epochs}"
        shown = progress(batches(epoch), total=steps_per_epoch, what=what, unit="batch")
        means = _run_epoch(model, shown, optimizer, schedule, device=device)
        curve += [EpochLoss(epoch=epoch, loss=name, value=mean) for name, mean in means.items()]
        logger.info("%s: %s", what, ", ".join(f"{n} {m:.4f}" for n, m in means.items()))
        save_state(state, _state(curve, key=key, parts=parts))
    return curve


def epochs_done(state: Path, *, key: str) -> int:
    """How far the run of that key had come when it was last seen."""
    content = load_state(state) or {}
    return content["curve"][-1][0] if content.get("key") == key else 0


def write_curve(path: Path, curve: list[EpochLoss]) -> None:
    """A training curve as CSV: epoch, loss, value."""
    lines = [f"{line.epoch},{line.loss},{line.value:.6f}\n" for line in curve]
    write_text(path, "epoch,loss,value\n" + "".join(lines))


def parameter_groups(model: nn.Module, learning_rates: dict[str, float]) -> list[dict]:
    """Trainable parameters by the attribute they belong to, each group with its learning rate."""
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in learning_rates}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            owner = name.split(".")[0]
            groups[owner if owner in groups else ""].append(parameter)
    return [{"params": groups[name], "lr": rate} for name, rate in learning_rates.items()]


class _WithLosses(Protocol):
    def loss(self, images: Tensor, targets: Tensor, /) -> dict[str, Tensor]: ...


def _run_epoch(
    model: nn.Module,
    batches: Iterable[list[Tensor]],
    optimizer: SGD,
    schedule: LambdaLR,
    *,
    device: torch.device,
) -> dict[str, float]:
    sums: dict[str, Tensor] = {}
    count = 0
    for images, targets in batches:
        first = images.to(device, non_blocking=True, memory_format=torch.channels_last)
        losses = cast(_WithLosses, model).loss(first, targets.to(device, non_blocking=True))
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        schedule.step()
        for name, loss in losses.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + loss.detach()
        count += 1
    means = {name: float(total) / count for name, total in sums.items()}
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise UserError(
                f"the loss {name} is {mean}: training diverged; lower the learning rate"
            )
    return means


def _state(curve: list[EpochLoss], *, key: str, parts: dict) -> dict[str, object]:
    lines = [(line.epoch, line.loss, line.value) for line in curve]
    return {"key": key, "curve": lines, **{n: part.state_dict() for n, part in parts.items()}}


def _resume(state: Path, *, key: str, parts: dict) -> list[EpochLoss]:
    content = load_state(state)
    if content is None or content.get("key") != key:
        return []
    for name, part in parts.items():
        part.load_state_dict(content[name])
    return [EpochLoss(epoch=e, loss=name, value=value) for e, name, value in content["curve"]]
