"""Train CCAM on the images of a split, without labels, and write its saliency maps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.data.layout import load_weak_split
from recam.pipeline.salient_maps import write_salient_maps
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first_after_all
from recam.runtime.precision import make_precision
from recam.steps.command import fingerprint
from recam.steps.fit import fit
from recam.steps.folders import resumable
from recam.steps.launch import distributed
from recam.steps.paths import Out, TrainingPaths
from recam.steps.salient import initial_ccam, trainee_of
from recam.steps.sections.machine import Machine
from recam.steps.sections.train_saliency import TrainSaliencyRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths(TrainingPaths):
    """The paths of this step."""

    maps: Annotated[Path, Out("folder of saliency maps, grey PNG")]
    manifest: Annotated[Path, Out("checksums of the maps")]


@distributed
def main(paths: Paths, numbers: TrainSaliencyRun, machine: Machine) -> None:
    """Train, then write a map of every image of the split."""
    split = load_weak_split(paths.data, numbers.split)
    model, model_config = initial_ccam(numbers, split.classes)
    trainee = trainee_of(model, model_config, split, numbers, inputs=(paths.data,))
    fit(trainee, paths, numbers, machine)
    device = make_device(machine.device, threads=machine.threads)
    key = fingerprint(paths, numbers, machine, inputs=(paths.data,))
    folder = resumable(paths.maps, key=key)
    write_salient_maps(
        model.to(device),
        split,
        folder,
        batch_size=numbers.batch_size,
        precision=make_precision(machine.precision, device),
    )
    if is_first_after_all():
        folder.finish_with_manifest(paths.manifest)


if __name__ == "__main__":
    run(main)
