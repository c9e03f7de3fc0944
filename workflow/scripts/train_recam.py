"""Stage two: train on from a CAM, with the softmax loss (recam) or without it (control)."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from _library import run

from recam.catalogue.methods import METHODS, make_classifier
from recam.core.randomness import derived_seed
from recam.data.layout import load_weak_split, require_classes
from recam.data.loading import LabelledImages
from recam.io.checkpoints import load_checkpoint
from recam.models.initialisation import seeded_initialisation
from recam.steps.fit import Trainee, fit
from recam.steps.launch import distributed
from recam.steps.paths import In, TrainingPaths
from recam.steps.sections.machine import Machine
from recam.steps.sections.train_recam import TrainRecamRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths(TrainingPaths):
    """The paths of this step."""

    cam: Annotated[Path, In("checkpoint of train_cam")]


@distributed
def main(paths: Paths, numbers: TrainRecamRun, machine: Machine) -> None:
    """Load stage one, re-activate it, train, save."""
    split = load_weak_split(paths.data, numbers.split)
    tensors, of_cam = load_checkpoint(paths.cam)
    require_classes(of_cam.classes, split.classes, source=paths.cam)
    cam = make_classifier(of_cam)
    cam.load_state_dict(tensors)
    with seeded_initialisation(numbers.random_seed, "train_recam"):
        model = METHODS[numbers.method](cam, numbers.weight)
    # One seed for all methods: control sees the batches of recam and differs by the loss alone.
    seed = derived_seed(numbers.random_seed, "train_recam")
    rates = {"backbone": numbers.lr, "classifier": numbers.lr}
    trainee = Trainee(
        model=model,
        model_config=replace(of_cam, method=numbers.method, weight=numbers.weight),
        images=partial(LabelledImages, split, random_seed=seed),
        learning_rates=rates | {"reclassifier": numbers.lr_reclassifier},
        inputs=(paths.data, paths.cam),
    )
    fit(trainee, paths, numbers, machine)


if __name__ == "__main__":
    run(main)
