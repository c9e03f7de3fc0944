"""Parts of evaluate: predictions of the segmenter, and the files of all scores."""

import logging
from pathlib import Path

from recam.catalogue.methods import load_classifier
from recam.catalogue.segmenters import load_segmenter
from recam.checks.experiment import log_small_images
from recam.data.coverage import covering_images
from recam.data.layout import WeakSplit, load_weak_split, require_classes
from recam.io.atomic import write_text
from recam.io.records import write_record
from recam.io.resumable import ResumableFolder
from recam.models.backbones import backbone_of
from recam.pipeline.causal import Classifier, causal_metrics
from recam.pipeline.predictions import write_predictions
from recam.pipeline.scoring import CAMS, RunScores
from recam.pipeline.signs import PseudoMasks, evenly_spaced
from recam.report.style import STAGES
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first_after_all
from recam.runtime.precision import make_precision
from recam.steps.crf import crf_of
from recam.steps.sections.evaluate import Evaluate
from recam.steps.sections.machine import Machine
from recam.steps.shard_folders import drop_shards, finish_shard
from recam.steps.shards import Shard

logger = logging.getLogger(__name__)


def load_splits(data: Path, numbers: Evaluate) -> dict[str, WeakSplit]:
    """The splits of maps and of predictions, by the names of their parameters."""
    return {
        "maps_split": load_weak_split(data, numbers.maps_split),
        "seg_split": load_weak_split(data, numbers.seg_split),
    }


def pseudo_masks(
    folder: Path | None,
    cams: Path | None,
    of_cam: Path | None,
    numbers: Evaluate,
    split: WeakSplit,
) -> PseudoMasks:
    """The pseudo masks of a run; the images to compare are all those that are predicted anyway."""
    if not folder:
        return PseudoMasks(folder=None)
    is_predicted = numbers.seg_split == numbers.maps_split
    compared = split.ids if is_predicted else evenly_spaced(split.ids, numbers.agreement_images)
    return PseudoMasks(folder=folder, cams=cams, of_cam=of_cam, compared=compared)


def predict(
    checkpoint: Path,
    folder: ResumableFolder,
    numbers: Evaluate,
    machine: Machine,
    compared: tuple[str, ...],
    shard: Shard,
    *,
    maps_split: WeakSplit,
    seg_split: WeakSplit,
) -> None:
    """Masks of the validation split, and of the training images in the picture or ``compared``.

    A shard predicts its part of them.
    """
    model, model_config = load_segmenter(checkpoint)
    require_classes(model_config.classes, seg_split.classes, source=checkpoint)
    stride = model_config.output_stride
    log_small_images(seg_split, key="evaluate.scales", scales=numbers.scales, stride=stride)
    device = make_device(machine.device, threads=machine.threads)
    images = dict(zip(seg_split.ids, seg_split.images, strict=True))
    training = dict(zip(maps_split.ids, maps_split.images, strict=True))
    pictured = covering_images(maps_split.ids, maps_split.labels, count=numbers.examples)
    images |= {i: training[i] for i in (*pictured, *compared)}
    model.to(device)
    write_predictions(
        model,
        images,
        folder,
        num_classes=len(seg_split.classes),
        scales=numbers.scales,
        batch_size=numbers.batch_size,
        crf=crf_of(numbers) if numbers.crf else None,
        precision=make_precision(machine.precision, device),
    )
    finish_shard(shard, folder)
    if shard.is_last and is_first_after_all():
        folder.finish()
        drop_shards(folder.path)


def add_causal(
    found: RunScores,
    checkpoint: Path | None,
    cams: Path | None,
    numbers: Evaluate,
    machine: Machine,
    split: WeakSplit,
) -> None:
    """Add insertion and deletion scores of ``causal_images`` images to the metrics of the cams."""
    if not checkpoint or not cams or not numbers.causal_images:
        return
    model, classes = load_classifier(checkpoint)
    require_classes(classes, split.classes, source=checkpoint)
    device = make_device(machine.device, threads=machine.threads)
    classifier = Classifier(
        normalise=backbone_of(model.to(device)).normalise,
        logits=model.logits,
        device=device,
        precision=make_precision(machine.precision, device),
        batch_size=numbers.batch_size,
    )
    images = dict(zip(split.ids, split.images, strict=True))
    chosen = {i: images[i] for i in evenly_spaced(split.ids, numbers.causal_images)}
    found.metrics[CAMS] |= causal_metrics(classifier, cams, chosen)


def write_scores(
    found: RunScores,
    classes: tuple[str, ...],
    metrics: Path,
    *,
    tables: list[Path],
    counts: Path,
) -> None:
    """Write metrics (JSON), the three tables and the counts of every image; log mIoU."""
    write_record(metrics, found.metrics)
    for path, table in zip(tables, found.tables(classes), strict=True):
        write_text(path, table.to_csv(index=False))
    write_text(counts, found.counts_table().to_csv(index=False))
    miou = [f"{STAGES[s]} {m['miou']:.1f}" for s, m in found.metrics.items() if "miou" in m]
    logger.info("mIoU, %%: %s", ", ".join(miou) or "no ground truth")
