"""Score cams and pseudo masks on training images, the segmenter on validation images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.io.atomic import write_manifest
from recam.pipeline.scoring import maps_of_run, score_run
from recam.pipeline.signs import signs_of_run
from recam.runtime.distributed import is_first
from recam.steps.command import fingerprint
from recam.steps.evaluation import add_causal, load_splits, predict, pseudo_masks, write_scores
from recam.steps.launch import distributed
from recam.steps.paths import In, Optional, Out
from recam.steps.prediction import write_numbers
from recam.steps.sections.evaluate import Evaluate
from recam.steps.sections.machine import Machine
from recam.steps.shard_folders import folder_of
from recam.steps.shards import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this step."""

    data: Annotated[Path, In("data set in VOC layout")]
    truth: Annotated[Path, In("folder of ground-truth masks, of all, some or no images")]
    checkpoint: Annotated[Path, In("trained segmenter")]
    classifier: Annotated[Path | None, Optional("trained classifier of the cams")]
    cams: Annotated[Path | None, Optional("folder of cams")]
    scores: Annotated[Path | None, Optional("folder of refined score maps")]
    cut: Annotated[Path | None, Optional("JSON of the thresholds of make_pseudo")]
    pseudo: Annotated[Path | None, Optional("folder of pseudo masks")]
    cam_pseudo: Annotated[Path | None, Optional("folder of CAM's pseudo masks, to compare")]
    predictions: Annotated[Path, Out("folder of predicted masks, palette PNG")]
    prediction: Annotated[Path, Out("JSON of the numbers of a prediction, for other images")]
    manifest: Annotated[Path, Out("checksums of the predictions and of the tables")]
    metrics: Annotated[Path, Out("JSON of mIoU and shares of errors, in percent")]
    plots: Annotated[list[Path], Out("IoU by class, mIoU by threshold, confusion", count=3)]
    counts: Annotated[Path, Out("CSV of the confusion of every image")]
    signs: Annotated[Path, Out("JSON of signs of failure that need no ground truth")]


@distributed
def main(paths: Paths, numbers: Evaluate, machine: Machine, shard: Shard) -> None:
    """Predict masks, then score everything against ground truth and write the tables.

    A shard predicts only.
    """
    splits = load_splits(paths.data, numbers)
    given = (paths.cams, paths.scores, paths.cut)
    # A shard scores nothing: the last job reads all cams for their threshold.
    is_given = numbers.threshold == "fixed" or not shard.is_last
    threshold = numbers.cams_threshold if is_given else None
    maps = maps_of_run(*given, threshold, splits["maps_split"])
    key = fingerprint(paths, numbers, machine, inputs=(paths.data, paths.checkpoint))
    folder = folder_of(shard, paths.predictions, key=key)
    pseudo = pseudo_masks(paths.pseudo, paths.cams, paths.cam_pseudo, numbers, splits["maps_split"])
    predict(paths.checkpoint, folder, numbers, machine, pseudo.compared, shard, **splits)
    if not shard.is_last or not is_first():
        return
    found = score_run(maps, paths.predictions, ground_truth=paths.truth, **splits)
    add_causal(found, paths.classifier, paths.cams, numbers, machine, splits["maps_split"])
    classes = splits["seg_split"].classes
    write_scores(found, classes, paths.metrics, tables=paths.plots, counts=paths.counts)
    write_numbers(paths.prediction, numbers, splits["seg_split"])
    signs_of_run(paths.predictions, pseudo, **splits).write(paths.signs)
    tables = [paths.metrics, *paths.plots, paths.counts, paths.signs, paths.prediction]
    write_manifest(paths.manifest, [paths.predictions, *tables])


if __name__ == "__main__":
    run(main)
