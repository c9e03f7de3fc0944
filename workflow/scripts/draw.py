"""Draw the report's figures: maps and masks of the same images, curves, errors, and the answer."""
# Pandas' types are too wide.
# pyright: reportArgumentType=false, reportCallIssue=false

import argparse
import logging
import shutil
from pathlib import Path

import pandas as pd
from _library import run
from matplotlib.figure import Figure

from recam.data.layout import CLASSES, read_classes
from recam.io.atomic import replace_with
from recam.report import charts, error_charts
from recam.report.examples import Material, draw_extremes
from recam.report.first_page import scored, write_answer
from recam.report.objects import objects, outcomes, size_groups
from recam.report.style import LOOKS, STAGES
from recam.report.summary import Run, gathered_curves, gathered_table

NOT_BY_CHANCE = (
    " (In maps and pseudo masks only classes of the image's label can appear, so one class alone "
    "cannot be called another.)"
)

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    """Draw what there is: of a run that is not finished, as far as it came."""
    runs = [Run(folder=path.parent) for path in args.runs]
    folders = [_begun(folder) for folder in args.figures]
    maps, pseudo, segmentation, curves, errors = folders
    classes = read_classes(args.data / CLASSES)
    done = scored(runs)[1]
    counts = gathered_table(done, "counts.csv") if done else pd.DataFrame(columns=["stage"])
    first = {m: r for m in LOOKS for r in runs if r.method == m and _is_first(r, runs)}
    material = Material(
        data=args.data,
        truth=args.truth,
        classes=classes,
        runs=first,
        counts=counts[counts["random_seed"] == runs[0].random_seed] if len(counts) else None,
    )
    for folder, stage in ((maps, "cams"), (pseudo, "pseudo"), (segmentation, "seg")):
        if material.ids(stage):
            draw_extremes(folder, material, stage, examples=args.examples)
    _draw_curves(curves, runs, done)
    if len(counts):
        _draw_errors(errors, done, counts, classes)
    write_answer(args.answer, runs, picture=args.picture)
    for folder, path in zip(folders, args.figures, strict=True):
        replace_with(path, folder)
    logger.info("%d figures", sum(len(list(path.iterdir())) for path in args.figures))


def _begun(folder: Path) -> Path:
    """An empty folder beside the one that is to be made."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def _is_first(run: Run, runs: list[Run]) -> bool:
    return run.random_seed == runs[0].random_seed


def _draw_curves(folder: Path, runs: list[Run], done: list[Run]) -> None:
    metrics, _ = scored(runs)
    _save(
        charts.answer(metrics),
        folder / "1-mIoU.png",
        "mIoU from maps to pseudo masks to the segmenter. Look at the gap between the methods, "
        "whether it lasts, and how far it is to full supervision.",
    )
    if done:
        sweeps = gathered_table(done, "thresholds.csv")
        _save(
            charts.sweeps(sweeps, metrics),
            folder / "2-thresholds.png",
            "mIoU by background score. Filled: the score of params.yaml; open: the best one, which "
            "takes true masks to find. A flat top forgives a score that is a little off.",
        )
    trained = gathered_curves(runs)
    _save(
        charts.losses(trained),
        folder / "3-losses.png",
        "Training losses by epoch. ReCAM and the control go on from CAM's classifier and count "
        "their epochs anew. A loss that still falls steeply at its end asks for more epochs.",
    )


def _draw_errors(
    folder: Path, done: list[Run], counts: pd.DataFrame, classes: tuple[str, ...]
) -> None:
    confusion = gathered_table(done, "confusion.csv")
    for number, stage in enumerate((s for s in STAGES if s in set(counts["stage"])), 1):
        table = confusion[confusion["stage"] == stage]
        present = [m for m in LOOKS if m in set(table["method"])]
        before = "cam" if "cam" in present else present[0]
        after = "recam" if before == "cam" and "recam" in present else None
        what = STAGES[stage]
        _save(
            error_charts.confusions(table, before=before, after=after, classes=classes),
            folder / f"{number}a-{what}-object-for-object.png",
            f"{what.capitalize()}: which object is taken for which, before and after "
            "re-activation, in percent of the true object's pixels. Right: all other classes "
            "together; points that move left are the gain.",
        )
        _save(
            error_charts.by_class(table, methods=present),
            folder / f"{number}b-{what}-by-class.png",
            f"{what.capitalize()}: what is missed and what is wrongly claimed, class by class, "
            "in percent of the class's true pixels; the most frequent class on top.",
        )
        rows = objects(counts[counts["stage"] == stage])
        if rows.empty:
            continue
        sized = outcomes(rows.assign(size=size_groups(rows)), "size")
        _save(
            error_charts.by_size(sized),
            folder / f"{number}c-{what}-by-size.png",
            f"{what.capitalize()}: small objects and large ones, a quarter of all objects each. "
            "Extra pixels weigh more in small ones: look how far each method runs over.",
        )
        _save(
            error_charts.together(outcomes(rows, "company")),
            folder / f"{number}d-{what}-alone-or-together.png",
            f"{what.capitalize()}: objects alone in their image against objects beside others, "
            "where classes are mistaken for each other and re-activation should help."
            + (NOT_BY_CHANCE if stage != "seg" else ""),
        )


def _save(figure: Figure | None, path: Path, caption: str) -> None:
    if figure is not None:
        charts.save(figure, path.with_name(path.name.replace(" ", "-")), caption=caption)


if __name__ == "__main__":
    run(
        main,
        description=__doc__,
        paths={
            "data": "data set in VOC layout",
            "truth": "folder of true masks, of all, some or no images",
            "runs": "several: metrics.json of every replicate and method, in its folder",
            "picture": "optional: PNG of images, maps and masks, for the first page",
            "answer": "out: the report's first page, HTML",
            "figures": "out: five folders: maps, pseudo masks, segmentation, curves, errors",
        },
        section="draw",
    )
