"""Refine cams and cut them into pseudo masks, with a margin of ignored pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.data.layout import CLASSES, read_classes
from recam.io.records import write_record
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first_after_all
from recam.steps.command import fingerprint
from recam.steps.launch import distributed
from recam.steps.paths import In, Optional, Out
from recam.steps.refinement import (
    SPREAD,
    Folders,
    Refinement,
    images_of_cams,
    log_used_pixels,
)
from recam.steps.sections.machine import Machine
from recam.steps.sections.make_pseudo import MakePseudo
from recam.steps.shard_folders import finish_shard
from recam.steps.shards import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this step."""

    data: Annotated[Path, In("data set in VOC layout; its masks are not read")]
    cams: Annotated[Path, In("folder of cams")]
    irn: Annotated[Path, In("checkpoint of train_irn")]
    classifier: Annotated[
        Path | None, Optional("classifier of the method, read for its affinities")
    ]
    saliency_maps: Annotated[Path | None, Optional("folder of saliency maps, grey PNG")]
    masks: Annotated[Path, Out("folder of pseudo masks, palette PNG")]
    scores: Annotated[Path, Out("folder of refined score maps, .npz")]
    manifest: Annotated[list[Path], Out("checksums of the masks, then of the scores", count=2)]
    cut: Annotated[Path, Out("JSON of the thresholds of the masks")]
    picture: Annotated[Path, Out("PNG of some images from cams to mask")]


@distributed
def main(paths: Paths, numbers: MakePseudo, machine: Machine, shard: Shard) -> None:
    """Propagate the maps, find the background score, refine, cut and save.

    The background score is that of all maps: shards of a first round propagate, those of a second
    one do the rest.
    """
    classes = read_classes(paths.data / CLASSES)
    device = make_device(machine.device, threads=machine.threads)
    refiner = Refinement(
        numbers,
        paths.irn,
        classes,
        device,
        saliency=paths.saliency_maps,
        classifier=paths.classifier,
    )
    others = (paths.saliency_maps, paths.classifier, numbers.affinity_file)
    inputs = (paths.data, paths.cams, paths.irn, *filter(None, others))
    key = fingerprint(paths, numbers, machine, inputs=inputs)
    folders = Folders.begun(paths.cams, paths.scores, paths.masks, key=key, shard=shard)
    images = images_of_cams(paths.cams, paths.data)
    if shard.is_of(SPREAD):
        refiner.propagate_part(images, folders, shard)
        return
    maps = refiner.propagate(images, folders)
    cut = refiner.cut_for(maps, folders)
    refiner.write_masks(maps, cut, folders=folders)
    finish_shard(shard, folders.scores, folders.masks)
    if not shard.is_last or not is_first_after_all():
        return
    log_used_pixels(folders.masks.partial, [file.stem for file in maps])
    write_record(paths.cut, cut.numbers())
    refiner.draw(paths.picture, list(images.values()), folders, data=paths.data)
    folders.finish(cut=paths.cut, manifests=paths.manifest)


if __name__ == "__main__":
    run(main)
