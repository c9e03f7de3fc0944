"""Parts of make_pseudo that depend on the refiner."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import torch

from recam.catalogue.names import REFINERS, needs_irn
from recam.catalogue.refiners import RefinerNumbers, bytes_of_walk, make_irn, make_propagator
from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.data.layout import IMAGES, find_image, require_classes
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
from recam.runtime.distributed import shard, wait_for_all
from recam.steps.crf import crf_of
from recam.steps.sections.make_pseudo import MakePseudo

logger = logging.getLogger(__name__)


def images_of_cams(cams: Path, data: Path) -> dict[Path, Path]:
    """The files of cams in order, each with its image. Raises UserError where there are none."""
    files = sorted(cams.glob("*.npz"))
    if not files:
        raise UserError(f"{cams}: has no maps; run the step that makes them")
    return {file: find_image(data / IMAGES, file.stem) for file in files}


def trained_irn(
    path: Path, refiner: str, *, classes: tuple[str, ...], device: torch.device
) -> Irn | None:
    """The network of a checkpoint of train_irn, for a refiner that needs one."""
    if not needs_irn(refiner):
        return None
    tensors, model_config = load_checkpoint(path)
    require_classes(model_config.classes, classes, source=path)
    irn = make_irn(model_config)
    irn.load_state_dict(tensors)
    return irn.to(device).eval()


def refiner_numbers(numbers: MakePseudo, irn: Irn | None) -> RefinerNumbers:
    """The numbers of all refiners."""
    return RefinerNumbers(
        pamr=Pamr(dilations=numbers.pamr_dilations, iterations=numbers.pamr_iterations),
        walk=Walk(radius=numbers.irn_radius, power=numbers.irn_power, steps=numbers.irn_steps),
        irn=irn,
    )


def propagate(
    images: dict[Path, Path],
    folder: ResumableFolder,
    numbers: MakePseudo,
    *,
    of_refiner: RefinerNumbers,
    num_classes: int,
    device: torch.device,
) -> dict[Path, Path]:
    """Propagate all cams; return the files of the new maps, each with its image."""
    batches = alike_batches(
        {file: image for file, image in shard(list(images.items())) if not folder.has(file.name)},
        batch_size=numbers.batch_size,
        need=partial(bytes_of_walk, radius=numbers.irn_radius) if of_refiner.irn else None,
        memory=numbers.memory * MIB,
    )
    work = partial(
        propagate_maps,
        folder=folder.partial,
        spread=make_propagator(numbers.refiner, of_refiner),
        num_classes=num_classes,
        device=device,
    )
    for _ in in_threads(work, batches, what="maps"):
        pass
    wait_for_all()
    return {folder.partial / file.name: image for file, image in images.items()}


def cut_of(numbers: MakePseudo, maps: list[Path]) -> Cut:
    """The background score against propagated maps, the margin, and the CRF."""
    has_crf = REFINERS[numbers.refiner].has_crf
    if numbers.threshold == "yen":
        background = yen_threshold(score_histogram(maps))
        logger.info("background score %.2f, found in the maps", background)
    elif has_crf:
        background = numbers.crf_background
    else:
        background = numbers.irn_background if needs_irn(numbers.refiner) else numbers.background
    return Cut(
        background=background, margin=numbers.margin, crf=crf_of(numbers) if has_crf else None
    )


def stages_of(refiner: str, cams: Path, propagated: Path, scores: Path) -> dict[str, Path]:
    """The folders of maps that differ from those before, by the titles of their columns."""
    parts = REFINERS[refiner]
    stages = {"cams": cams}
    if parts.propagation != "none":
        stages[f"{parts.propagation.upper()}'s maps"] = propagated
    if parts.has_crf:
        stages["after CRF"] = scores
    return stages


def cut(
    maps: dict[Path, Path],
    of_run: Cut,
    *,
    scores: ResumableFolder,
    masks: ResumableFolder,
    batch_size: int,
    num_classes: int,
    device: torch.device,
) -> None:
    """Write the final scores and the masks of this rank's shard of ``maps`` (maps -> image)."""
    left = {f: image for f, image in shard(list(maps.items())) if not masks.has(f"{f.stem}.png")}
    work = partial(
        cut_masks,
        scores=scores.partial,
        masks=masks.partial,
        cut=of_run,
        num_classes=num_classes,
        device=device,
    )
    for _ in in_threads(work, alike_batches(left, batch_size=batch_size), what="pseudo masks"):
        pass


def log_used_pixels(masks: ResumableFolder, names: list[str]) -> None:
    """Log the share of pixels that are not ignored."""
    used = [(read_mask(masks.partial / f"{name}.png") != IGNORE).mean() for name in names]
    logger.info("%d masks, %.1f %% of their pixels to train on", len(used), 100 * np.mean(used))
