"""Predictions of a trained segmenter, as evaluate needs them."""

from pathlib import Path

from recam.catalogue.segmenters import load_segmenter
from recam.data.layout import WeakSplit, require_classes
from recam.io.resumable import ResumableFolder
from recam.models.folding import folded
from recam.pipeline.predictions import write_predictions
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first_after_all
from recam.runtime.precision import make_precision
from recam.steps.crf import crf_of
from recam.steps.sections.evaluate import Evaluate
from recam.steps.sections.machine import Machine


def predict(
    checkpoint: Path,
    folder: ResumableFolder,
    manifest: Path,
    numbers: Evaluate,
    machine: Machine,
    *,
    maps_split: WeakSplit,
    seg_split: WeakSplit,
) -> None:
    """Masks of the validation split, and of some training images for the picture."""
    model, model_config = load_segmenter(checkpoint)
    require_classes(model_config.classes, seg_split.classes, source=checkpoint)
    device = make_device(machine.device, threads=machine.threads)
    images = dict(zip(seg_split.ids, seg_split.images, strict=True))
    shown = slice(numbers.examples)  # of the training images, for the picture
    images |= dict(zip(maps_split.ids[shown], maps_split.images[shown], strict=True))
    model = folded(model.to(device), lambda network, images: network.logits(images))
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
    if is_first_after_all():
        folder.finish_with_manifest(manifest)
