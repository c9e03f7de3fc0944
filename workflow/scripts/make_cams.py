"""Turn a trained classifier into cams: maps of the present classes, averaged over scales."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.checks.experiment import log_small_images
from recam.models.backbones import backbone_of
from recam.pipeline.cams import write_cams
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first_after_all
from recam.runtime.precision import make_precision
from recam.steps.classifier import classifier_and_split
from recam.steps.command import fingerprint
from recam.steps.launch import distributed
from recam.steps.paths import In, Optional, Out
from recam.steps.readout import readout_of
from recam.steps.sections.machine import Machine
from recam.steps.sections.make_cams import MakeCamsRun
from recam.steps.shard_folders import drop_shards, finish_shard, folder_of
from recam.steps.shards import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this step."""

    data: Annotated[Path, In("data set in VOC layout; its masks are not read")]
    checkpoint: Annotated[Path, In("trained classifier")]
    prototypes: Annotated[Path | None, Optional("output of make_clusters, for LPCAM only")]
    cams: Annotated[Path, Out("folder of one .npz per image")]
    manifest: Annotated[Path, Out("checksums of the cams")]


@distributed
def main(paths: Paths, numbers: MakeCamsRun, machine: Machine, shard: Shard) -> None:
    """Load, extract, save the cams of each image of the shard."""
    device = make_device(machine.device, threads=machine.threads)
    model, split = classifier_and_split(paths.checkpoint, paths.data, split=numbers.split)
    stride = backbone_of(model).level_strides[-1]
    log_small_images(split, key="make_cams.scales", scales=numbers.scales, stride=stride)
    readout = readout_of(numbers, model.to(device), split.classes, prototypes=paths.prototypes)
    inputs = (paths.data, paths.checkpoint, *filter(None, [paths.prototypes]))
    folder = folder_of(shard, paths.cams, key=fingerprint(paths, numbers, machine, inputs=inputs))
    write_cams(
        readout,
        backbone_of(model),
        split,
        folder,
        scales=numbers.scales,
        batch_size=numbers.batch_size,
        precision=make_precision(machine.precision, device),
        geometry=numbers.geometry,
    )
    finish_shard(shard, folder)
    if shard.is_last and is_first_after_all():
        folder.finish_with_manifest(paths.manifest)
        drop_shards(paths.cams)


if __name__ == "__main__":
    run(main)
