"""Seconds of the steps that refine maps: IRN's confident pixels, and make_pseudo."""

from dataclasses import replace
from pathlib import Path

from recam.catalogue.names import REFINERS, needs_irn
from recam.catalogue.refiners import RefinerNumbers, make_irn, make_propagator
from recam.io.checkpoints import ModelConfig
from recam.io.resumable import ResumableFolder
from recam.pipeline.confident import ConfidentLabels, write_confident_masks
from recam.pipeline.pseudo_masks import Cut, alike_batches, cut_masks, in_threads, propagate_maps
from recam.refine.irn import Irn
from recam.refine.pamr import Pamr
from recam.refine.random_walk import Walk
from recam.steps.affinity import untrained_affinity
from recam.steps.bench import Bench
from recam.steps.clock import Run
from recam.steps.crf import crf_of


def untrained_irn(bench: Bench, config: ModelConfig) -> Irn:
    """IRN with fresh weights; ``config`` is that of a classifier."""
    numbers = bench.numbers.train_irn
    of_irn = replace(
        config,
        method="irn",
        backbone=numbers.backbone,
        output_stride=numbers.output_stride,
        frozen_batch_norm=True,
        frozen_stem=True,
        radius=numbers.radius,
    )
    return make_irn(of_irn).to(bench.device)


def confident_pixels(bench: Bench) -> tuple[Run, int]:
    """The choice of pixels on which IRN trains, and its images."""
    numbers, cams = bench.numbers.train_irn, bench.cams()
    labels = ConfidentLabels(
        foreground=numbers.foreground,
        background=numbers.background,
        certainty=numbers.certainty,
        crf=crf_of(numbers),
    )
    num_classes, device = len(bench.split.classes), bench.device

    def run() -> None:
        folder = ResumableFolder(bench.folder / "confident", key="")
        write_confident_masks(cams, folder, labels=labels, num_classes=num_classes, device=device)
        folder.drop()

    return run, len(cams)


def refinement(bench: Bench, config: ModelConfig) -> tuple[Run, int]:
    """make_pseudo with the classifier of ``config``, and its images."""
    numbers, device = bench.numbers.make_pseudo, bench.device
    parts = REFINERS[numbers.refiner]
    propagate = make_propagator(
        numbers.refiner,
        RefinerNumbers(
            pamr=Pamr(dilations=numbers.pamr_dilations, iterations=numbers.pamr_iterations),
            walk=Walk(radius=numbers.irn_radius, power=numbers.irn_power, steps=numbers.irn_steps),
            irn=untrained_irn(bench, config).eval() if needs_irn(numbers.refiner) else None,
            affinity=untrained_affinity(numbers, config, device),
        ),
    )
    cut = Cut(
        background=numbers.crf_background if parts.has_crf else numbers.background,
        margin=numbers.margin,
        crf=crf_of(numbers) if parts.has_crf else None,
    )
    num_classes = len(bench.split.classes)
    batches = alike_batches(bench.cams(), batch_size=numbers.batch_size)
    spread, scores, masks = (bench.folder / name for name in ("spread", "scores", "masks"))

    def refine(batch: list[tuple[Path, Path]]) -> None:
        propagate_maps(batch, spread, propagate=propagate, num_classes=num_classes, device=device)
        maps = [(spread / file.name, image) for file, image in batch]
        cut_masks(maps, scores=scores, masks=masks, cut=cut, num_classes=num_classes, device=device)

    def run() -> None:
        for _ in in_threads(refine, batches, what="pseudo masks"):
            pass

    return run, len(bench.split.ids)
