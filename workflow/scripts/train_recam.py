"""Stage two: train on from a CAM, with the softmax loss (recam) or without it (control)."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from _library import run

from recam.core.randomness import derived_seed
from recam.data.layout import load_weak_split
from recam.pipeline.held_out import divided
from recam.steps.fit import Trainee, fit
from recam.steps.labelled import labelled, saliency_of
from recam.steps.launch import distributed
from recam.steps.paths import ClassifierPaths, In
from recam.steps.retraining import initial_model, warm_up_of
from recam.steps.sections.machine import Machine
from recam.steps.sections.train_recam import TrainRecamRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths(ClassifierPaths):
    """The paths of this step."""

    cam: Annotated[Path, In("checkpoint of train_cam")]


@distributed
def main(paths: Paths, numbers: TrainRecamRun, machine: Machine) -> None:
    """Load stage one, re-activate it, train, save."""
    whole = load_weak_split(paths.data, numbers.split)
    saliency = saliency_of(numbers.method, paths.saliency_maps, whole)
    split, held_out = divided(whole, numbers.held_out)
    model, of_cam = initial_model(paths.cam, numbers, split.classes)
    # One seed for all methods: control sees the batches of recam and differs by the loss alone.
    seed = derived_seed(numbers.random_seed, "train_recam")
    rates = dict.fromkeys(("backbone", "classifier", "pcm", "class_tokens"), numbers.lr)
    trainee = Trainee(
        model=model,
        model_config=replace(of_cam, method=numbers.method, weight=numbers.weight),
        images=labelled(split, saliency, random_seed=seed),
        learning_rates=rates | {"reclassifier": numbers.lr_reclassifier},
        warm_up=warm_up_of(model, numbers),
        held_out=held_out and labelled(held_out, saliency, random_seed=0),
        inputs=paths.inputs(paths.cam),
    )
    fit(trainee, paths, numbers, machine)


if __name__ == "__main__":
    run(main)
