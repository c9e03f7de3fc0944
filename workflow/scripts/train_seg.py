"""Train a segmenter on masks: pseudo masks, or ground truth for the upper bound."""

from _library import run

from recam.data.layout import load_weak_split
from recam.steps.fit import fit
from recam.steps.launch import distributed
from recam.steps.paths import SegmenterPaths
from recam.steps.sections.machine import Machine
from recam.steps.sections.train_seg import TrainSegRun
from recam.steps.segmenter import trainee_on
from recam.steps.self_training import fit_twice, forget_second_round, has_second_round


@distributed
def main(paths: SegmenterPaths, numbers: TrainSegRun, machine: Machine) -> None:
    """Check the masks, build the network, load its weights, train it once or twice, save it."""
    split = load_weak_split(paths.data, numbers.split)
    trainee = trainee_on(paths.masks, split, paths, numbers)
    if has_second_round(paths, numbers):
        fit_twice(trainee, split, paths, numbers, machine)
    else:
        fit(trainee, paths, numbers, machine)
    forget_second_round(paths)


if __name__ == "__main__":
    run(main)
