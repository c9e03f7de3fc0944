"""Train a segmenter on masks: pseudo masks, or ground truth for the upper bound."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from _library import run

from recam.checks.masks import remedy_for
from recam.core.randomness import derived_seed
from recam.data.layout import load_weak_split
from recam.data.loading import MaskedImages
from recam.models.segmenters import PIXEL_LOSSES
from recam.pipeline.watch import Watch
from recam.steps.fit import Trainee, fit
from recam.steps.launch import distributed
from recam.steps.paths import In, TrainingPaths
from recam.steps.sections.machine import Machine
from recam.steps.sections.train_seg import TrainSegRun
from recam.steps.segmenter import initial_segmenter, load_initial_weights, report_on_masks


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths(TrainingPaths):
    """The paths of this step."""

    masks: Annotated[Path, In("folder of masks to train on, palette PNG")]
    classifier: Annotated[Path, In("checkpoint of train_cam, for weights: classifier")]


@distributed
def main(paths: Paths, numbers: TrainSegRun, machine: Machine) -> None:
    """Check the masks, build the network, load its weights, train it, save it."""
    split = load_weak_split(paths.data, numbers.split)
    model, model_config = initial_segmenter(numbers, split.classes)
    model.pixel_loss = PIXEL_LOSSES[numbers.loss]
    report_on_masks(split, paths.masks)
    load_initial_weights(model, model_config, numbers.weights, paths.classifier)
    seed = derived_seed(numbers.random_seed, "train_seg")
    rates = {"backbone": numbers.lr, "": numbers.lr_head, ".bias": numbers.lr_head_bias}
    trainee = Trainee(
        model=model,
        model_config=model_config,
        images=partial(MaskedImages, split, paths.masks, random_seed=seed),
        learning_rates=rates,
        inputs=(paths.data, paths.masks, paths.classifier),
        gradient_accumulation_steps=numbers.gradient_accumulation_steps,
        lr_step_interval=numbers.lr_step_interval,
        watch=Watch(model, remedy=remedy_for(paths.masks)),
    )
    fit(trainee, paths, numbers, machine)


if __name__ == "__main__":
    run(main)
