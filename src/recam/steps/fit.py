"""What the training steps share: from a section's numbers to a trained model."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from recam.core.errors import UserError
from recam.data.loading import Augmentation, LabelledImages, MaskedImages, training_batches
from recam.io.checkpoints import ModelConfig, save_checkpoint
from recam.models.backbones import backbone_of
from recam.pipeline.training import Recipe, train, write_curve
from recam.runtime.devices import loader_workers, make_device
from recam.runtime.distributed import is_first
from recam.runtime.precision import make_precision
from recam.steps import command

Images = LabelledImages | MaskedImages


def fit(
    args: argparse.Namespace,
    model: nn.Module,
    images: Callable[[Augmentation], Images],
    *,
    model_config: ModelConfig,
    learning_rates: dict[str, float],
    inputs: tuple[Path, ...],
    keeps_state: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> None:
    """Train, then write the checkpoint and its curve; go on where a killed run stopped.

    Where the state is kept, a later run with the same numbers and inputs has nothing to train.
    ``watch`` is called now and then, and may stop the run.
    """
    device = make_device(args.device, threads=args.threads)
    dataset = images(_augmentation(args, model))
    state = state_file(args)
    curve = train(
        model,
        training_batches(dataset, batch_size=args.batch_size, workers=loader_workers(device)),
        steps_per_epoch=len(dataset) // args.batch_size,
        recipe=_recipe(args, learning_rates, make_precision(args.precision, device)),
        device=device,
        state=state,
        key=command.fingerprint(args, *inputs),
        watch=watch,
    )
    if not is_first():
        return
    write_curve(args.curve, curve)
    save_checkpoint(args.checkpoint, model.state_dict(), model_config)
    if not keeps_state:
        state.unlink(missing_ok=True)


def state_file(args: argparse.Namespace) -> Path:
    """Where a run is kept until it is finished; no engine knows of it."""
    return args.checkpoint.with_name(f"{args.checkpoint.stem}.last.pt")


def _augmentation(args: argparse.Namespace, model: nn.Module) -> Augmentation:
    if args.crop > args.resize_max:
        raise UserError(
            f"crop: expected no more than resize_max ({args.resize_max}), since every image would "
            f"be smaller than the crop, got {args.crop}; lower crop or raise resize_max"
        )
    return Augmentation(
        resize_min=args.resize_min,
        resize_max=args.resize_max,
        crop=args.crop,
        mean=backbone_of(model).mean,
        std=backbone_of(model).std,
    )


def _recipe(
    args: argparse.Namespace, learning_rates: dict[str, float], precision: torch.dtype
) -> Recipe:
    """Only train_seg has ``gradient_accumulation_steps`` and ``lr_step_interval``."""
    only_segmenters = {
        n: v
        for n, v in vars(args).items()
        if n in ("gradient_accumulation_steps", "lr_step_interval")
    }
    return Recipe(
        epochs=args.epochs,
        learning_rates=learning_rates,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        batch_size=args.batch_size,
        precision=precision,
        **only_segmenters,
    )
