"""Parts of make_pseudo that depend on the refiner."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import device as Device  # noqa: N812 a type

from recam.catalogue.names import REFINERS, needs_irn
from recam.catalogue.refiners import RefinerNumbers, bytes_of_walk, make_irn, make_propagator
from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.data.coverage import covering_images, labels_of
from recam.data.layout import (
    CLASSES,
    IMAGES,
    LABELS,
    find_image,
    read_classes,
    read_labels,
    require_classes,
)
from recam.io.archives import files_in
from recam.io.atomic import require_listed, write_manifest
from recam.io.checkpoints import load_network
from recam.io.images import read_mask
from recam.io.resumable import ResumableFolder
from recam.pipeline.histograms import total_histogram, write_histogram
from recam.pipeline.pseudo_masks import (
    MIB,
    Cut,
    alike_batches,
    cut_masks,
    in_threads,
    propagate_maps,
    yen_threshold,
)
from recam.pipeline.saliency import Saliency
from recam.refine.interface import Need
from recam.refine.irn import Irn
from recam.refine.pamr import Pamr
from recam.refine.random_walk import Walk
from recam.report.refinement import Shown, draw
from recam.runtime.distributed import batches_left, is_first, wait_for_all
from recam.runtime.parts import WHOLE, Part
from recam.steps.affinity import affinity_of
from recam.steps.crf import crf_of
from recam.steps.sections.make_pseudo import MakePseudo
from recam.steps.shard_folders import (
    drop_shards,
    finish_shard,
    folder_of,
    folders_of_shards,
)
from recam.steps.shards import Shard

logger = logging.getLogger(__name__)

SPREAD = "spread"  # the folder of propagated maps, of this step alone
STAGES = {"affinity": "after affinity"}  # titles in the picture; others are "IRN's maps"


def images_of_cams(cams: Path, data: Path) -> dict[Path, Path]:
    """The files of cams in order, each with its image.

    Raises UserError where there are none, or fewer than make_cams wrote.
    """
    require_listed(cams)
    files = files_in(cams, ".npz")
    if not files:
        raise UserError(f"{cams}: has no maps; run the step that makes them")
    return {file: find_image(data / IMAGES, file.stem) for file in files}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The cams, and the folders that are filled from them."""

    cams: Path
    propagated: ResumableFolder
    scores: ResumableFolder
    masks: ResumableFolder
    of_shards: list[Path]  # folders of propagated maps

    @classmethod
    def begun(cls, cams: Path, scores: Path, masks: Path, *, key: str, shard: Shard) -> "Folders":
        """Folders to fill, or to resume under the same key."""
        spread = scores.with_name(SPREAD)
        return cls(
            cams=cams,
            propagated=folder_of(shard, spread, key=key),
            scores=folder_of(shard, scores, key=key),
            masks=folder_of(shard, masks, key=key),
            of_shards=list(folders_of_shards(spread, key=key)),
        )

    def maps(self) -> dict[str, Path]:
        """The propagated maps by name, of all jobs.

        Folders are listed: a look for each map in each folder would take a time that grows with
        the number of shards.
        """
        folders = [*self.of_shards, self.propagated.partial]
        return {file.name: file for folder in folders for file in files_in(folder, ".npz")}

    def is_cut(self, name: str) -> bool:
        """Whether the image ``name`` has its mask and its scores."""
        return self.masks.has(f"{name}.png") and self.scores.has(f"{name}.npz")

    def finish(self, *, cut: Path, manifests: list[Path]) -> None:
        """Finish the folders, with one list of the masks and ``cut`` and one of the scores."""
        of_masks, of_scores = manifests
        self.masks.finish()
        write_manifest(of_masks, [self.masks.path, cut])
        self.scores.finish_with_manifest(of_scores)
        self.propagated.drop()
        drop_shards(self.propagated.path, self.scores.path, self.masks.path)


class Refinement:
    """A refiner and its numbers, on one device; with IRN its trained network."""

    def __init__(
        self,
        numbers: MakePseudo,
        irn: Path,
        classes: tuple[str, ...],
        device: Device,
        *,
        saliency: Path | None,
        classifier: Path | None,
    ):
        self.numbers = numbers
        self.saliency = _saliency(numbers, saliency) if saliency else None
        self.classes = classes
        self.device = device
        self.parts = REFINERS[numbers.refiner]
        needs_network = needs_irn(numbers.refiner)
        self.irn = _trained_irn(irn, classes).to(device) if needs_network else None
        self.affinity = affinity_of(numbers, classifier, classes, device)
        self.walk = Walk(
            radius=numbers.irn_radius,
            power=numbers.irn_power,
            steps=numbers.irn_steps,
            cams_power=numbers.irn_cams_power,
        )

    def propagate(
        self, images: dict[Path, Path], folders: Folders, *, part: Part = WHOLE
    ) -> dict[Path, Path]:
        """Propagate this rank's batches of a part of the cams; return all maps with their images.

        Raises UserError if an image has no saliency map.
        """
        numbers, folder = self.numbers, folders.propagated
        if self.saliency:
            self.saliency.require(file.stem for file in images)
        made = folders.maps().keys()
        batches = batches_left(
            list(images.items()),
            lambda pairs: alike_batches(
                dict(pairs),
                batch_size=numbers.batch_size,
                need=self._need(),
                memory=numbers.memory * MIB,
            ),
            is_done=lambda pair: pair[0].name in made,
            part=part,
        )
        pamr = Pamr(dilations=numbers.pamr_dilations, iterations=numbers.pamr_iterations)
        of_refiner = RefinerNumbers(pamr=pamr, walk=self.walk, irn=self.irn, affinity=self.affinity)
        work = partial(
            propagate_maps,
            folder=folder.partial,
            propagate=make_propagator(numbers.refiner, of_refiner),
            num_classes=len(self.classes),
            device=self.device,
        )
        for _ in in_threads(work, batches, what="maps"):
            pass
        wait_for_all()
        maps = folders.maps()
        return {maps[file.name]: image for file, image in images.items() if file.name in maps}

    def propagate_part(self, images: dict[Path, Path], folders: Folders, shard: Shard) -> None:
        """Propagate the cams of a shard, and count its best scores."""
        self.propagate(images, folders, part=shard.part)
        if self.numbers.threshold == "yen" and is_first():
            folder = folders.propagated.partial
            write_histogram(folder, files_in(folder, ".npz"))
        finish_shard(shard, folders.propagated)

    def _need(self) -> Need | None:
        if self.affinity:
            return self.affinity.need
        return partial(bytes_of_walk, radius=self.numbers.irn_radius) if self.irn else None

    def cut_for(self, maps: Iterable[Path], folders: Folders) -> Cut:
        """The background score against propagated maps, the margin, and the CRF."""
        numbers = self.numbers
        if numbers.threshold == "yen":
            found = yen_threshold(total_histogram(maps, folders.of_shards))
            discount = numbers.crf_discount if self.parts.has_crf else 0.0
            # At score 0 every pixel would become foreground.
            background = round(max(found / 2, found - discount), 4)
            logger.info("background score %.2f, found in the maps", background)
        elif self.parts.has_crf:
            background = numbers.crf_background
        else:
            own = {"irn": numbers.irn_background, "affinity": numbers.affinity_background}
            background = own.get(self.parts.propagation, numbers.background)
        return Cut(
            background=background,
            margin=numbers.margin,
            crf=crf_of(numbers) if self.parts.has_crf else None,
            saliency=self.saliency,
        )

    def write_masks(self, maps: dict[Path, Path], cut: Cut, *, folders: Folders) -> None:
        """Write final scores and masks of this rank's batches of ``maps`` (maps -> image)."""
        batches = batches_left(
            list(maps.items()),
            lambda pairs: alike_batches(dict(pairs), batch_size=self.numbers.batch_size),
            is_done=lambda pair: folders.is_cut(pair[0].stem),
            part=folders.masks.part,
        )
        work = partial(
            cut_masks,
            scores=folders.scores.partial,
            masks=folders.masks.partial,
            cut=cut,
            num_classes=len(self.classes),
            device=self.device,
        )
        for _ in in_threads(work, batches, what="pseudo masks"):
            pass

    def draw(self, path: Path, images: list[Path], folders: Folders, *, data: Path) -> None:
        """Draw some images, which show many classes, on their way from cams to masks."""
        stages = {"cams": folders.cams}
        if (propagation := self.parts.propagation) != "none":
            stages[STAGES.get(propagation, f"{propagation.upper()}'s maps")] = (
                folders.propagated.partial
            )
        if self.parts.has_crf:
            stages["after CRF"] = folders.scores.partial
        if self.saliency:
            stages.pop("after CRF", None)
            stages["after saliency"] = folders.scores.partial
        shown = Shown(maps=stages, masks={"pseudo mask": folders.masks.partial})
        pictured = _covering(images, data, count=self.numbers.examples)
        draw(path, pictured, self.classes, shown=shown, irn=self.irn, walk=self.walk)


def log_used_pixels(masks: Path, names: Iterable[str]) -> None:
    """Log the share of pixels that are not ignored."""
    used = [(read_mask(masks / f"{name}.png") != IGNORE).mean() for name in names]
    logger.info("%d masks, %.1f %% of their pixels to train on", len(used), 100 * np.mean(used))


def _covering(images: list[Path], data: Path, *, count: int) -> list[Path]:
    files = {file.stem: file for file in images}
    labels = labels_of(list(files), read_labels(data / LABELS, read_classes(data / CLASSES)))
    return [files[i] for i in covering_images(list(files), labels, count=count)]


def _saliency(numbers: MakePseudo, folder: Path) -> Saliency:
    return Saliency(source=numbers.saliency, folder=folder, threshold=numbers.saliency_threshold)


def _trained_irn(path: Path, classes: tuple[str, ...]) -> Irn:
    irn, model_config = load_network(
        path,
        make_irn,
        methods=["irn"],
        expected="an IRN",
        give="an irn.pt, which train_irn makes",
    )
    require_classes(model_config.classes, classes, source=path)
    return irn.eval()
