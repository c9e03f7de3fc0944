"""Training as all training steps do it: from a section's numbers to a checkpoint and a curve."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from recam.data.augmentation import Augmentation, ResizeUnit
from recam.data.loading import LabelledImages, MaskedImages, training_batches
from recam.io.checkpoints import ModelConfig, save_checkpoint
from recam.methods.recam import ReCam
from recam.methods.variant import Variant
from recam.models.backbones import backbone_of
from recam.pipeline.frozen import FrozenImages
from recam.pipeline.held_out import held_out_scores
from recam.pipeline.optimizer import Recipe
from recam.pipeline.training import Callbacks, EpochLoss, epochs_done, train, write_curve
from recam.pipeline.warmup import WarmUp, warm_up
from recam.runtime.devices import loader_workers, make_device
from recam.runtime.distributed import is_first
from recam.runtime.precision import make_precision
from recam.steps.command import fingerprint
from recam.steps.frozen import frozen_features, refuse_changed_colours
from recam.steps.labelled import LabelledBy
from recam.steps.live import recorder_of
from recam.steps.paths import TrainingPaths
from recam.steps.sections.machine import Machine
from recam.steps.sections.shared import Training

Images = LabelledImages | MaskedImages
ItemsBy = Callable[[Callable[[Augmentation], Images], Augmentation], Images | FrozenImages]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainee:
    """A network, and its own part of the training."""

    model: nn.Module
    model_config: ModelConfig
    images: Callable[[Augmentation], Images]
    learning_rates: dict[str, float]  # by prefix or suffix of the parameters' names
    inputs: tuple[Path, ...]  # a state is resumed only with the same
    resize_unit: ResizeUnit = "pixels"  # of resize_min and resize_max
    keeps_state: bool = False  # a later run with the same numbers and inputs trains nothing
    gradient_accumulation_steps: int = 1
    lr_step_interval: int = 1
    watch: Callable[[int, int], None] | None = None  # called now and then; may stop the run
    warm_up: WarmUp | None = None  # of a re-classifier, before the first epoch
    held_out: LabelledBy | None = None  # a classifier's losses on them join the curve


def fit(trainee: Trainee, paths: TrainingPaths, numbers: Training, machine: Machine) -> None:
    """Train, then write the checkpoint and its curve; resume a killed run."""
    model, config = trainee.model, trainee.model_config
    device = make_device(machine.device, threads=machine.threads)
    if config.frozen_backbone:
        refuse_changed_colours(numbers.colour)
        precision = make_precision(machine.precision, device)
        with frozen_features(
            model, config, paths.data, device=device, precision=precision
        ) as frozen:
            curve = _trained(trainee, paths, numbers, machine, items_by=frozen)
    else:
        curve = _trained(trainee, paths, numbers, machine, items_by=_with_images)
    if not is_first():
        return
    write_curve(paths.curve, curve)
    save_checkpoint(paths.checkpoint, model.state_dict(), config, beside=[paths.curve])
    if not trainee.keeps_state:
        paths.state.unlink(missing_ok=True)


def _with_images(images: Callable[[Augmentation], Images], augmentation: Augmentation) -> Images:
    return images(augmentation)


def _trained(
    trainee: Trainee,
    paths: TrainingPaths,
    numbers: Training,
    machine: Machine,
    *,
    items_by: ItemsBy,
) -> list[EpochLoss]:
    """The curve of the finished training; ``items_by`` makes its items of images."""
    device = make_device(machine.device, threads=machine.threads)
    model, augmentation = trainee.model, _augmentation(numbers, trainee)
    items = items_by(trainee.images, augmentation)
    precision = make_precision(machine.precision, device)
    batches = _batches(items, batch_size=numbers.batch_size, workers=loader_workers(device))
    key = fingerprint(paths, numbers, machine, inputs=trainee.inputs)
    if trainee.warm_up and not epochs_done(paths.state, key=key):
        recam = cast(ReCam, model)
        warm_up(recam, batches, trainee.warm_up, device=device, precision=precision)
    shown = trainee.images(augmentation)
    record = recorder_of(model, shown, paths, batch_size=numbers.batch_size)
    return train(
        model,
        batches,
        steps_per_epoch=len(items) // numbers.batch_size,
        recipe=_recipe(trainee, numbers, epochs=numbers.epochs_for(len(items)), to=precision),
        device=device,
        state=paths.state,
        key=key,
        callbacks=Callbacks(
            watch=trainee.watch,
            judge=_judge(trainee, replace(augmentation, colour=0.0), items_by),
            record=record if is_first() else None,
        ),
    )


def _batches(
    items: Images | FrozenImages, *, batch_size: int, workers: int
) -> Callable[[int], Iterable[list[Tensor]]]:
    if isinstance(items, FrozenImages):
        return items.batches(batch_size=batch_size, workers=workers)
    return training_batches(items, batch_size=batch_size, workers=workers)


def _recipe(trainee: Trainee, numbers: Training, *, epochs: int, to: torch.dtype) -> Recipe:
    """The hyperparameters, with autocast ``to`` a precision."""
    return Recipe(
        epochs=epochs,
        learning_rates=trainee.learning_rates,
        optimizer=numbers.optimizer,
        momentum=numbers.momentum,
        weight_decay=numbers.weight_decay,
        batch_size=numbers.batch_size,
        precision=to,
        gradient_accumulation_steps=trainee.gradient_accumulation_steps,
        lr_step_interval=trainee.lr_step_interval,
    )


def _judge(
    trainee: Trainee, augmentation: Augmentation, items_by: ItemsBy
) -> Callable[[], dict[str, float]] | None:
    if trainee.held_out is None:
        return None
    items = items_by(trainee.held_out, augmentation)
    return held_out_scores(cast(Variant, trainee.model), items)


def _augmentation(numbers: Training, trainee: Trainee) -> Augmentation:
    backbone = backbone_of(trainee.model)
    return Augmentation(
        resize_min=numbers.resize_min,
        resize_max=numbers.resize_max,
        crop=numbers.crop,
        mean=backbone.mean,
        std=backbone.std,
        colour=numbers.colour,
        resize_unit=trainee.resize_unit,
    )
