"""Fit cams to their images and cut masks to train on, with a band of ignored pixels."""

import argparse
import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _library import run

from recam.catalogue.names import REFINERS, needs_irn
from recam.catalogue.refiners import RefinerNumbers, bytes_of_walk, make_irn, make_propagator
from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.data.layout import CLASSES, IMAGES, find_image, read_classes, require_classes
from recam.io.atomic import write_manifest, write_text
from recam.io.checkpoints import load_checkpoint
from recam.io.images import read_mask
from recam.io.resumable import ResumableFolder
from recam.pipeline.pseudo_masks import (
    MIB,
    Cut,
    alike_batches,
    cut_masks,
    in_threads,
    propagate_maps,
    score_histogram,
    yen_threshold,
)
from recam.refine.irn import Irn
from recam.refine.pamr import Pamr
from recam.refine.random_walk import Walk
from recam.report.refinement import Shown, draw
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first_after_all, shard, wait_for_all
from recam.steps import command
from recam.steps.crf import crf_of
from recam.steps.launch import shared

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    """Propagate the maps, find the background's score, sharpen, cut and save."""
    classes = read_classes(args.data / CLASSES)
    device = make_device(args.device, threads=args.threads)
    irn = _trained_irn(args.irn, classes).to(device) if needs_irn(args.refiner) else None
    images = _images_of_cams(args)
    walk = Walk(radius=args.irn_radius, power=args.irn_power, steps=args.irn_steps)
    spread, scores, masks = _folders(args)
    numbers = RefinerNumbers(
        pamr=Pamr(dilations=tuple(args.pamr_dilations), iterations=args.pamr_iterations),
        walk=walk,
        irn=irn,
    )
    _spread(args, images, spread, numbers, num_classes=len(classes), device=device)
    maps = {spread.partial / file.name: image for file, image in images.items()}
    cut = Cut(
        background=_background(args, list(maps)),
        margin=args.margin,
        crf=crf_of(args) if REFINERS[args.refiner].has_crf else None,
    )
    left = {f: image for f, image in shard(list(maps.items())) if not masks.has(f"{f.stem}.png")}
    batches = alike_batches(left, batch_size=args.batch_size)
    to = {"scores": scores.partial, "masks": masks.partial}
    make = partial(cut_masks, **to, cut=cut, num_classes=len(classes), device=device)
    for _ in in_threads(make, batches, what="pseudo masks"):
        pass
    if not is_first_after_all():
        return
    used = [(read_mask(masks.partial / f"{f.stem}.png") != IGNORE).mean() for f in maps]
    logger.info("%d masks, %.1f %% of their pixels to train on", len(used), 100 * np.mean(used))
    write_text(args.cut, json.dumps(cut.numbers(), indent=2) + "\n")
    shown = Shown(maps=_stages(args, spread, scores), masks={"pseudo mask": masks.partial})
    pictured = list(images.values())[: args.examples]
    draw(args.picture, pictured, classes, shown=shown, irn=irn, walk=walk)
    for folder, manifest in zip((masks, scores), args.manifest, strict=True):
        folder.finish()
        write_manifest(manifest, [folder.path])
    spread.drop()


def _folders(args: argparse.Namespace) -> Iterator[ResumableFolder]:
    """For spread maps, final scores and masks."""
    key = command.fingerprint(args, args.data, args.cams, args.irn)
    for path in (args.scores.with_name("spread"), args.scores, args.masks):
        yield ResumableFolder(path, key=key)


def _trained_irn(path: Path, classes: tuple[str, ...]) -> Irn:
    tensors, model_config = load_checkpoint(path)
    require_classes(model_config.classes, classes, source=path)
    irn = make_irn(model_config)
    irn.load_state_dict(tensors)
    return irn.eval()


def _images_of_cams(args: argparse.Namespace) -> dict[Path, Path]:
    files = sorted(args.cams.glob("*.npz"))
    if not files:
        raise UserError(f"{args.cams}: has no maps; run the step that makes them")
    return {file: find_image(args.data / IMAGES, file.stem) for file in files}


def _spread(
    args: argparse.Namespace,
    images: dict[Path, Path],
    folder: ResumableFolder,
    numbers: RefinerNumbers,
    *,
    num_classes: int,
    device: torch.device,
) -> None:
    batches = alike_batches(
        {file: image for file, image in shard(list(images.items())) if not folder.has(file.name)},
        batch_size=args.batch_size,
        need=partial(bytes_of_walk, radius=args.irn_radius) if numbers.irn else None,
        memory=args.memory * MIB,
    )
    spread = make_propagator(args.refiner, numbers)
    common = {"spread": spread, "num_classes": num_classes, "device": device}
    make = partial(propagate_maps, folder=folder.partial, **common)
    for _ in in_threads(make, batches, what="maps"):
        pass
    wait_for_all()


def _stages(
    args: argparse.Namespace, spread: ResumableFolder, scores: ResumableFolder
) -> dict[str, Path]:
    """The folders of maps that differ from those before, by the titles of their columns."""
    parts = REFINERS[args.refiner]
    stages = {"cams": args.cams}
    if parts.spread != "none":
        stages[f"{parts.spread.upper()}'s maps"] = spread.partial
    if parts.has_crf:
        stages["after CRF"] = scores.partial
    return stages


def _background(args: argparse.Namespace, maps: list[Path]) -> float:
    """The score of the background against the maps as they are spread."""
    if args.threshold == "yen":
        found = yen_threshold(score_histogram(maps))
        logger.info("background score %.2f, found in the maps", found)
        return found
    if REFINERS[args.refiner].has_crf:
        return args.crf_background
    return args.irn_background if needs_irn(args.refiner) else args.background


if __name__ == "__main__":
    run(
        shared(main),
        description=__doc__,
        paths={
            "data": "data set in VOC layout; its masks are not read",
            "cams": "folder of cams",
            "irn": "checkpoint of train_irn",
            "masks": "out: folder of pseudo masks, palette PNG",
            "scores": "out: folder of refined score maps, .npz",
            "manifest": "out: two lists of checksums, of the masks and of the scores",
            "cut": "out: JSON of the scores at which masks were cut",
            "picture": "out: PNG of some images on their way from map to mask",
        },
        section="make_pseudo",
        common=("device", "devices", "threads"),
    )
