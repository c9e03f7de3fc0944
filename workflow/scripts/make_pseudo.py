"""Refine cams and cut them into pseudo masks, with a margin of ignored pixels."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.data.layout import CLASSES, read_classes
from recam.io.atomic import write_manifest, write_text
from recam.io.resumable import ResumableFolder
from recam.report.refinement import Shown, draw
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first_after_all
from recam.steps import refinement as steps
from recam.steps.command import fingerprint
from recam.steps.launch import distributed
from recam.steps.paths import In, Out
from recam.steps.sections.machine import Machine
from recam.steps.sections.make_pseudo import MakePseudo


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this step."""

    data: Annotated[Path, In("data set in VOC layout; its masks are not read")]
    cams: Annotated[Path, In("folder of cams")]
    irn: Annotated[Path, In("checkpoint of train_irn")]
    masks: Annotated[Path, Out("folder of pseudo masks, palette PNG")]
    scores: Annotated[Path, Out("folder of refined score maps, .npz")]
    manifest: Annotated[list[Path], Out("checksums of the masks, then of the scores", count=2)]
    cut: Annotated[Path, Out("JSON of the thresholds of the masks")]
    picture: Annotated[Path, Out("PNG of some images from cams to mask")]


@distributed
def main(paths: Paths, numbers: MakePseudo, machine: Machine) -> None:
    """Propagate the maps, find the background score, refine, cut and save."""
    classes = read_classes(paths.data / CLASSES)
    device = make_device(machine.device, threads=machine.threads)
    common = {"num_classes": len(classes), "device": device}
    irn = steps.trained_irn(paths.irn, numbers.refiner, classes=classes, device=device)
    refiner = steps.refiner_numbers(numbers, irn)
    images = steps.images_of_cams(paths.cams, paths.data)
    key = fingerprint(paths, numbers, machine, inputs=(paths.data, paths.cams, paths.irn))
    places = (paths.scores.with_name("spread"), paths.scores, paths.masks)
    propagated, scores, masks = (ResumableFolder(place, key=key) for place in places)
    maps = steps.propagate(images, propagated, numbers, of_refiner=refiner, **common)
    cut = steps.cut_of(numbers, list(maps))
    size = numbers.batch_size
    steps.cut(maps, cut, scores=scores, masks=masks, batch_size=size, **common)
    if not is_first_after_all():
        return
    steps.log_used_pixels(masks, [file.stem for file in maps])
    write_text(paths.cut, json.dumps(cut.numbers(), indent=2) + "\n")
    shown = steps.stages_of(numbers.refiner, paths.cams, propagated.partial, scores.partial)
    pictured = list(images.values())[: numbers.examples]
    pseudo = Shown(maps=shown, masks={"pseudo mask": masks.partial})
    draw(paths.picture, pictured, classes, shown=pseudo, irn=irn, walk=refiner.walk)
    for folder, manifest in zip((masks, scores), paths.manifest, strict=True):
        folder.finish()
        write_manifest(manifest, [folder.path])
    propagated.drop()


if __name__ == "__main__":
    run(main)
