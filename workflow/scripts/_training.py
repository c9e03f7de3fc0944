"""What the three training steps share: from a section's numbers to a trained model."""

import argparse
from collections.abc import Callable
from pathlib import Path

import _step
from torch import nn

from recam.artifacts import Blueprint, save_checkpoint
from recam.build.backbones import backbone_of
from recam.build.devices import loader_workers, make_device
from recam.data.loading import Augmentation, LabelledImages, MaskedImages, training_batches
from recam.training import Recipe, train, write_curve

Images = LabelledImages | MaskedImages


def fit(
    args: argparse.Namespace,
    model: nn.Module,
    images: Callable[[Augmentation], Images],
    *,
    blueprint: Blueprint,
    learning_rates: dict[str, float],
    inputs: tuple[Path, ...],
    keeps_state: bool = False,
) -> None:
    """Train, then write the checkpoint and its curve; go on where a killed run stopped.

    Where the state is kept, a later run with the same numbers and inputs has nothing to train.
    """
    device = make_device(args.device, threads=args.threads)
    augmentation = Augmentation(
        resize_min=args.resize_min,
        resize_max=args.resize_max,
        crop=args.crop,
        mean=backbone_of(model).mean,
        std=backbone_of(model).std,
    )
    dataset = images(augmentation)
    state = state_file(args)
    curve = train(
        model,
        training_batches(dataset, batch_size=args.batch_size, workers=loader_workers(device)),
        steps_per_epoch=len(dataset) // args.batch_size,
        recipe=Recipe(
            epochs=args.epochs,
            learning_rates=learning_rates,
            momentum=args.momentum,
            weight_decay=args.weight_decay,
        ),
        device=device,
        state=state,
        key=_step.fingerprint(args, *inputs),
    )
    write_curve(args.curve, curve)
    save_checkpoint(args.checkpoint, model.state_dict(), blueprint)
    if not keeps_state:
        state.unlink(missing_ok=True)


def state_file(args: argparse.Namespace) -> Path:
    """Where a run is kept until it is finished; no engine knows of it."""
    return args.checkpoint.with_name(f"{args.checkpoint.stem}.last.pt")
