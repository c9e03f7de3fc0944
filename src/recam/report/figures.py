"""All figures of the report, from the results of finished and unfinished runs."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from recam.io.atomic import replace_with
from recam.report import charts, error_charts, outcome_charts, training_charts
from recam.report.examples import Material, draw_selected, material_of
from recam.report.methods import STAGES, before_and_after
from recam.report.object_outcomes import object_outcomes, outcome_shares, size_groups
from recam.report.summary import (
    Run,
    evaluated,
    gathered_curves,
    gathered_metrics,
    gathered_table,
)
from recam.report.trust import harm

MIOU = (
    "mIoU of the maps, the pseudo masks and the segmenter. Compare the gap between the methods, "
    "whether it persists from stage to stage, and the distance to full supervision."
)
THRESHOLDS = (
    "mIoU by threshold, the background score at which masks are cut. Filled: the threshold used. "
    "Open: the oracle threshold, chosen on the ground truth. A flat top tolerates an inexact "
    "threshold."
)
LOSSES = (
    "Training losses by epoch. ReCAM and the control start from a trained classifier and count "
    "their epochs from 1; epochs of self-training follow those of the segmenter's first round. A "
    "loss that still falls steeply in its last epoch calls for more epochs."
)
HELD_OUT = (
    "The classifiers on labels that they were not trained on. Epoch 0 of ReCAM and of the control "
    "is the classifier of stage one: a binary cross-entropy that rises from there, or a recall "
    "that falls, is harm done to the classifier. A dashed line that falls alone is over-fitting."
)
CONFUSIONS = (
    "confusions between object classes, before and after re-activation, in percent of the true "
    "class's pixels. Right: the sum over all other object classes; lower is better."
)
BY_CLASS = (
    "false negatives and false positives by class, in percent of the class's ground truth pixels; "
    "the most frequent class on top."
)
BY_SIZE = (
    "objects by size, in quartiles. False positives weigh more for small objects: compare how far "
    "each method exceeds their outlines."
)
ALONE_OR_WITH_OTHERS = (
    "objects alone in their image, and objects beside other classes. Confusions between classes "
    "arise in the latter, where re-activation should help."
)
ONLY_LABELLED = (
    " In maps and pseudo masks only the image's labels can occur, so an object that is alone "
    "cannot be labelled as another."
)

Captioned = dict[str, tuple[Figure | None, str]]  # figure and caption by title


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of the figures, one for each category of the report."""

    maps: Path
    pseudo: Path
    segmentation: Path
    curves: Path
    errors: Path


def draw_figures(
    runs: list[Run], folders: Folders, *, data: Path, truth: Path, examples: int
) -> int:
    """Replace all figures by those of the results so far, and return their number.

    ``examples`` is the number of images in each grid.
    """
    done = evaluated(runs)
    counts = gathered_table(done, "counts.csv") if done else None
    material = material_of(runs, data=data, truth=truth, counts=counts)
    with ExitStack() as stack:  # all are drawn before any is replaced
        maps, pseudo, segmentation, curves, errors = partials = [
            stack.enter_context(_replacing(folder)) for folder in astuple(folders)
        ]
        for partial, stage in ((maps, "cams"), (pseudo, "pseudo"), (segmentation, "seg")):
            if material.ids(stage):
                draw_selected(partial, material, stage, examples=examples)
        _draw_curves(curves, runs, done)
        if counts is not None:
            _draw_errors(errors, done, counts, material)
        return sum(len(list(partial.iterdir())) for partial in partials)


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of ``folder`` once it is filled."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    replace_with(folder, partial)


def _draw_curves(folder: Path, runs: list[Run], done: list[Run]) -> None:
    metrics = gathered_metrics(done)
    _save(charts.miou_by_stage(metrics), folder / "1-mIoU.png", MIOU)
    if done:
        sweeps = gathered_table(done, "thresholds.csv")
        _save(charts.sweeps(sweeps, metrics), folder / "2-thresholds.png", THRESHOLDS)
    losses = gathered_curves(runs)
    _save(training_charts.losses(losses), folder / "3-losses.png", LOSSES)
    caption = " ".join([HELD_OUT, *harm(runs)])
    _save(training_charts.held_out(losses), folder / "4-held-out-labels.png", caption)


def _draw_errors(folder: Path, done: list[Run], counts: pd.DataFrame, material: Material) -> None:
    confusion = gathered_table(done, "confusion.csv")
    stages = [stage for stage in STAGES if stage in set(counts["stage"])]
    for number, stage in enumerate(stages, 1):
        figures = _class_errors(charts.rows_of(confusion, "stage", stage), material.classes)
        figures |= _outcomes(charts.rows_of(counts, "stage", stage), stage)
        name = STAGES[stage]
        for letter, (title, (figure, caption)) in zip("abcd", figures.items(), strict=False):
            file = f"{number}{letter}-{name}-{title}.png".replace(" ", "-")
            _save(figure, folder / file, f"{name.capitalize()}: {caption}")


def _class_errors(confusion: pd.DataFrame, classes: tuple[str, ...]) -> Captioned:
    methods = charts.methods_in(confusion)
    before, after = before_and_after(methods) or (methods[0], None)
    confusions = error_charts.confusions(confusion, before=before, after=after, classes=classes)
    by_class = error_charts.by_class(confusion, methods=methods)
    return {"confusions": (confusions, CONFUSIONS), "by-class": (by_class, BY_CLASS)}


def _outcomes(counts: pd.DataFrame, stage: str) -> Captioned:
    rows = object_outcomes(counts)
    if rows.empty:
        return {}
    by_size = outcome_shares(rows.assign(size=size_groups(rows)), "size")
    alone = outcome_charts.alone_or_with_others(outcome_shares(rows, "alone"))
    caption = ALONE_OR_WITH_OTHERS + (ONLY_LABELLED if stage != "seg" else "")
    return {
        "by-size": (outcome_charts.by_size(by_size), BY_SIZE),
        "alone-or-with-others": (alone, caption),
    }


def _save(figure: Figure | None, path: Path, caption: str) -> None:
    if figure is not None:
        charts.save(figure, path, caption=caption)
