"""The training loop for every network with ``loss(*batch)``; a killed run can be resumed.

Several processes can share it, each with its shard of every batch: the averaged gradients are those
of the whole batch (``recam.runtime.distributed``).
"""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR

from recam.core.errors import UserError
from recam.io.atomic import write_text
from recam.io.checkpoints import load_state, save_state
from recam.io.origins import damaged
from recam.models.backbones import share_batch_norms
from recam.pipeline.optimizer import Recipe, make_optimizer
from recam.pipeline.recorder import Recorder
from recam.runtime.distributed import all_reduce_sum, is_first, processes, wait_for_all
from recam.runtime.precision import autocast
from recam.runtime.progress import progress

CHECK_EVERY = 50  # steps between checks of a running epoch; each waits for the device

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """Functions that a training run calls."""

    # Every CHECK_EVERY steps, with the step and the number of steps; may raise to end the run.
    watch: Callable[[int, int], None] | None = None
    # Before training (epoch 0) and after every epoch; the values join the curve.
    judge: Callable[[], dict[str, float]] | None = None
    record: Recorder | None = None  # of rank 0


NONE = Callbacks()


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochLoss:
    """A point of a training curve: the mean of one loss over an epoch."""

    epoch: int
    loss: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    curve: list[EpochLoss]
    parts: dict  # state dicts of network, optimizer and schedule, by name


def train(
    model: nn.Module,
    batches: Callable[[int], Iterable[list[Tensor]]],
    *,
    steps_per_epoch: int,
    recipe: Recipe,
    device: torch.device,
    state: Path,
    key: str,
    callbacks: Callbacks = NONE,
) -> list[EpochLoss]:
    """Train in place with the recipe's optimizer; return the training curve.

    ``batches`` gives the batches (images, targets, ...) of an epoch, counted from 1. Every epoch is
    saved in ``state``; a run with the same ``key`` resumes from it and gives the same numbers as an
    unbroken one. Raises UserError if a loss is not finite or a batch cannot be divided.
    """
    if processes() > 1:
        share_batch_norms(model, device=device)
    model.to(device).to(memory_format=torch.channels_last)
    steps, images = recipe.epochs * steps_per_epoch, steps_per_epoch * recipe.batch_size
    optimizer, schedule = make_optimizer(model, recipe, steps=steps)
    kept = {"model": model, "optimizer": optimizer, "schedule": schedule}
    curve = _resume(state, key=key, kept=kept, epochs=recipe.epochs)
    losses = _shared(_Losses(model, recipe.precision, device))
    model.train()
    if callbacks.judge and not curve:
        curve += _ended(0, {}, step=0, calls=callbacks)
    for epoch in range(_epochs_of(curve) + 1, recipe.epochs + 1):
        what = f"epoch {epoch}/{recipe.epochs}"
        of_epoch = progress(
            batches(epoch), total=images, what=what, unit="image", each=recipe.batch_size
        )
        means = _run_epoch(losses, of_epoch, schedule, recipe=recipe, steps=steps, calls=callbacks)
        curve += _ended(epoch, means, step=epoch * steps_per_epoch, calls=callbacks)
        logger.info("%s: %s", what, _said(curve, epoch))
        if is_first():
            save_state(state, _state(curve, key=key, kept=kept))
    wait_for_all()
    return curve


def epochs_done(state: Path, *, key: str) -> int:
    """The number of epochs in the saved state of the run with ``key``; 0 without one."""
    content = _state_of_run(state, key=key)
    return _epochs_of(content.curve) if content else 0


def write_curve(path: Path, curve: list[EpochLoss]) -> None:
    """Write a training curve as CSV with columns epoch, loss, value."""
    lines = [f"{line.epoch},{line.loss},{line.value:.6f}\n" for line in curve]
    write_text(path, "epoch,loss,value\n" + "".join(lines))


def _ended(epoch: int, means: dict[str, float], *, step: int, calls: Callbacks) -> list[EpochLoss]:
    """The points of an epoch that ended with ``step``, judged and recorded."""
    values = means | (calls.judge() if calls.judge else {})
    if calls.record:
        calls.record.epoch(step, values)
    return [EpochLoss(epoch=epoch, loss=name, value=value) for name, value in values.items()]


def _said(curve: list[EpochLoss], epoch: int) -> str:
    return ", ".join(f"{point.loss} {point.value:.4f}" for point in curve if point.epoch == epoch)


class _WithLosses(Protocol):
    def loss(self, images: Tensor, /, *targets: Tensor) -> dict[str, Tensor]: ...


class _Losses(nn.Module):
    """A model's losses by name, under autocast."""

    def __init__(self, model: nn.Module, precision: torch.dtype, device: torch.device):
        super().__init__()
        self.model = model
        self.precision = precision
        self.device = device

    def forward(self, images: Tensor, *targets: Tensor) -> dict[str, Tensor]:
        """The losses of this rank's part of a batch."""
        with autocast(self.precision, self.device):
            return cast(_WithLosses, self.model).loss(images, *targets)


def _shared(losses: _Losses) -> _Losses | DistributedDataParallel:
    """Average gradients over all ranks during the backward pass."""
    if processes() == 1:
        return losses
    # Some timm networks have layers behind the ones used here.
    return DistributedDataParallel(losses, find_unused_parameters=True)


def _run_epoch(
    losses_of: _Losses | DistributedDataParallel,
    batches: Iterable[list[Tensor]],
    schedule: LambdaLR,
    *,
    recipe: Recipe,
    steps: int,
    calls: Callbacks,
) -> dict[str, float]:
    device = next(losses_of.parameters()).device
    sums: dict[str, Tensor] = {}
    count = 0
    for images, *targets in batches:
        first = images.to(device, non_blocking=True, memory_format=torch.channels_last)
        schedule.optimizer.zero_grad(set_to_none=True)
        pieces = recipe.gradient_accumulation_steps
        rest = [each.to(device, non_blocking=True) for each in targets]
        parts = _parts([first, *rest], pieces)
        of_step: dict[str, Tensor] = {}
        # Groups without weight decay follow, with the same rates.
        rates = dict(zip(recipe.learning_rates, map(float, schedule.get_last_lr()), strict=False))
        for number, part in enumerate(parts, start=1):
            with _kept(losses_of, more=number < pieces):
                losses = losses_of(*part)
                (torch.stack(list(losses.values())).sum() / pieces).backward()
            for values in (sums, of_step):
                _add(values, losses, pieces=pieces)
        schedule.optimizer.step()
        schedule.step()
        count += 1
        done = schedule.last_epoch  # counts steps
        if calls.record:
            calls.record.step(done, of_step, rates=rates)
        if done % CHECK_EVERY == 0:
            _finite_means(sums, count)
            if calls.watch is not None:
                calls.watch(done, steps)
    return _finite_means(sums, count)


def _add(sums: dict[str, Tensor], losses: dict[str, Tensor], *, pieces: int) -> None:
    """Add the losses of one of ``pieces`` equal parts of a batch."""
    for name, loss in losses.items():
        sums[name] = sums.get(name, torch.zeros_like(loss)) + loss.detach() / pieces


def _kept(
    losses: _Losses | DistributedDataParallel, *, more: bool
) -> AbstractContextManager[object]:
    """Skip the averaging over ranks if more parts of the batch follow."""
    if more and isinstance(losses, DistributedDataParallel):
        return losses.no_sync()
    return nullcontext()


def _parts(batch: list[Tensor], count: int) -> Iterable[Sequence[Tensor]]:
    if count == 1:
        return [batch]
    if len(batch[0]) % count:
        shared = " / devices" if processes() > 1 else ""
        raise UserError(
            f"gradient_accumulation_steps: expected a divisor of batch_size{shared} "
            f"({len(batch[0])}), got {count}; change one"
        )
    return zip(*(each.chunk(count) for each in batch), strict=True)


def _finite_means(sums: dict[str, Tensor], count: int) -> dict[str, float]:
    shared = all_reduce_sum(torch.stack(list(sums.values()))).tolist() if sums else []
    means = {name: total / (count * processes()) for name, total in zip(sums, shared, strict=True)}
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise UserError(
                f"loss {name}: expected a finite mean, got {mean}; training diverged, so lower the "
                "learning rate"
            )
    return means


def _state(curve: list[EpochLoss], *, key: str, kept: dict) -> dict[str, object]:
    lines = [(line.epoch, line.loss, line.value) for line in curve]
    return {"key": key, "curve": lines, **{n: part.state_dict() for n, part in kept.items()}}


def _state_of_run(state: Path, *, key: str) -> _State | None:
    """The saved state of the run with ``key``; None without one."""
    content = load_state(state)
    if content is None or content.get("key") != key:
        return None
    try:
        points = TypeAdapter(list[tuple[int, str, float]]).validate_python(content["curve"])
    except (KeyError, ValidationError) as error:
        raise damaged(state, "expected a training curve") from error
    return _State(curve=[EpochLoss(epoch=e, loss=n, value=v) for e, n, v in points], parts=content)


def _resume(state: Path, *, key: str, kept: dict, epochs: int) -> list[EpochLoss]:
    content = _state_of_run(state, key=key)
    if content is None:
        return []
    try:
        for name, part in kept.items():
            part.load_state_dict(content.parts[name])
    except Exception as error:  # torch raises many kinds for parts of another network
        raise damaged(state, "its parts do not fit the network") from error
    curve = content.curve
    if _epochs_of(curve) < epochs:
        logger.info("resuming after epoch %d", _epochs_of(curve))
    return curve


def _epochs_of(curve: list[EpochLoss]) -> int:
    return max((line.epoch for line in curve), default=0)
