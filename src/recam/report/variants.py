"""One table of CAM variants, each alone, with longer training, and with ReCAM; and its figure.

A variant is a training with or without a read-out. Its three methods differ by re-activation only.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import product
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from recam.report.charts import in_style, mean_and_std, points, rows_of
from recam.report.methods import CAM, CONTROL, RECAM, STAGES, learned_saliency, ordered, parts_of
from recam.report.replicates import (
    ABSENT,
    INDEX,
    Target,
    by_method_and_stage,
    listed,
    markdown,
    mean_text,
    of_dataset,
    shortfall,
)
from recam.report.style import PAGE, look_of
from recam.report.summary import MARK

DATASETS, SEEDS = ("shapes", "street"), (0, 1, 2)  # of the whole protocol
COLUMNS = {"": "alone", CONTROL: "control", RECAM: "ReCAM"}  # re-activations
LOOK = {"": CAM, CONTROL: CONTROL, RECAM: RECAM}  # the method whose look a re-activation has
SAME_AS_CAM = ("cam-gradcam",)  # at the last level it equals CAM up to scale, so it is no row
TRAIN, MAPS, MASKS, SEGMENTER = "training", "maps", "pseudo masks", "segmentation"
# Steps of Snakemake by the column of their time.
STEPS = {
    **dict.fromkeys(("train_cam", "train_recam"), TRAIN),
    **dict.fromkeys(("make_clusters", "make_cams"), MAPS),
    **dict.fromkeys(("train_irn", "train_saliency", "make_pseudo"), MASKS),
    **dict.fromkeys(("train_seg", "evaluate"), SEGMENTER),
}
SALIENCY_OWNER = "saliency"  # of the step that learns saliency maps for all methods
COST = [*INDEX, "method", "step", "seconds", "max_rss"]
NOTE = (
    "mIoU in percent, mean ± sample standard deviation over random seeds {}; in brackets at the "
    "oracle threshold. Time is the mean in seconds, memory the peak of the largest step. The time "
    "of training includes every step of the row's classifier; a step that rows share counts in "
    "each of them.\n"
)
SALIENCY = f"\n{MARK.strip()} used saliency maps.\n"


class Aim(NamedTuple):
    """A difference between two methods, and its target."""

    first: str
    second: str
    target: Target
    dataset: str = ""  # empty for every data set


GAINS = [
    Aim("recam-lpcam", "recam", Target("cams", 4), "shapes"),
    Aim("cam-lpcam", "cam", Target("cams", 6), "shapes"),
    Aim("cam-advcam", "cam", Target("cams", 6), "shapes"),
]


def variant_of(method: str) -> str:
    """The variant of a method, named as its method without re-activation."""
    return parts_of(method)._replace(reactivation="").name


def methods_of(variant: str) -> list[str]:
    """The methods of a variant: alone, control and ReCAM."""
    return [parts_of(variant)._replace(reactivation=name).name for name in COLUMNS]


def variants_in(methods: Iterable[str]) -> list[str]:
    """The variants of a catalogue for the table: trainings, and read-outs of CAM."""
    found = {variant_of(method) for method in methods} - {*SAME_AS_CAM}
    return ordered(v for v in found if parts_of(v).training == CAM or not parts_of(v).readout)


def cost_of(dataset: str, timings: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Time and memory of each method's steps, with those of its classifier and of saliency maps.

    ``timings`` has the columns step, method (the owner), random_seed, seconds, max_rss.
    """
    rows: list[tuple[Any, ...]] = []
    for method in methods:
        parts = parts_of(method)
        owners = {method, parts.classifier, parts.training}
        for row in timings.to_dict("records"):
            is_own = row["method"] == method
            is_shared = STEPS[row["step"]] == TRAIN and row["method"] in owners
            if is_own or is_shared or row["method"] == SALIENCY_OWNER:
                numbers = (row[name] for name in ("step", "seconds", "max_rss"))
                rows.append((dataset, row["random_seed"], method, *numbers))
    return pd.DataFrame(rows, columns=COST)


def variants_table(results: pd.DataFrame, cost: pd.DataFrame) -> str:
    """The table in Markdown, a row for each method, with notes and a table of the targets."""
    cells = [by_method_and_stage(results, number) for number in ("miou", "oracle_miou")]
    groups = list(dict.fromkeys(STEPS.values()))
    head = ["data set", "variant", "", *STAGES.values(), *(f"{group}, s" for group in groups)]
    rows = [
        [
            *(dataset, _title(variant, results), COLUMNS[parts_of(method).reactivation]),
            *(_score(cells, dataset, method, stage) for stage in STAGES),
            *_cost(cost, dataset, method, groups),
        ]
        for dataset, variant in product(_datasets(results), _variants(results))
        for method in methods_of(variant)
    ]
    table = markdown([*head, "memory, GiB"], rows, left=[0, 1, 2])
    note = NOTE.format(listed(sorted({int(seed) for seed in results["random_seed"]})))
    saliency = SALIENCY if any(MARK in row[1] for row in rows) else ""
    short = shortfall(results, DATASETS, SEEDS)
    return f"{table}\n{note}{saliency}{short}\n{targets_table(results)}"


def targets_table(results: pd.DataFrame) -> str:
    """Each target with its difference, paired by random seed, and a verdict."""
    table = by_method_and_stage(results)
    control = [
        Aim(recam, of_control, Target(stage, 0))
        for _, of_control, recam in map(methods_of, _variants(results))
        for stage in ("cams", "pseudo")
    ]
    rows: list[list[str]] = []
    for dataset, aim in product(_datasets(results), [*GAINS, *control]):
        column = aim.target.column
        first, second = (of_dataset(table, dataset, (m, column)) for m in (aim.first, aim.second))
        values = (first - second).dropna()
        if aim.dataset in ("", dataset) and len(values):
            title = f"{look_of(aim.first).name} - {look_of(aim.second).name}"
            stage = f"{STAGES[column]} {aim.target.limit}"
            found = mean_text(values, signed=True)
            rows.append([dataset, title, stage, found, aim.target.verdict(values)])
    return markdown(
        ["data set", "difference", "target", "mIoU", "verdict"], rows, left=[0, 1, 2, 4]
    )


@in_style
def variants_figure(results: pd.DataFrame) -> Figure:
    """MIoU by variant, a row of panels for each data set and a panel for each stage."""
    datasets, variants = _datasets(results), _variants(results)
    stages = [stage for stage in STAGES if stage in set(results["stage"])]
    width = PAGE if len(stages) > 1 else PAGE / 2
    figure = Figure(figsize=(width, 0.5 + 2.4 * len(datasets)))
    grid = figure.subplots(len(datasets), len(stages), sharex=True, sharey="row", squeeze=False)
    for (row, dataset), (column, stage) in product(enumerate(datasets), enumerate(stages)):
        axes = grid[row, column]
        _panel(axes, rows_of(rows_of(results, "dataset", dataset), "stage", stage), variants)
        axes.set_title(f"{dataset}: {STAGES[stage]}")
    for axes in grid[:, 0]:
        axes.set_ylabel("mIoU, %")
    lines = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle="", label=label)
        for label, look in ((COLUMNS[key], look_of(method)) for key, method in LOOK.items())
    ]
    figure.legend(handles=lines, loc="outside upper left", ncols=len(lines))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, variants: list[str]) -> None:
    for place, reactivation in enumerate(COLUMNS):
        methods = [methods_of(variant)[place] for variant in variants]
        means, deviations = mean_and_std(rows, by="method", value="miou", rows=methods)
        along = np.arange(len(variants)) + 0.2 * (place - 1)
        points(axes, along, means, LOOK[reactivation], yerr=deviations)
    for line in range(1, len(variants), 2):
        axes.axvspan(line - 0.5, line + 0.5, color="#f5f5f5", zorder=0)
    names = [look_of(methods_of(variant)[0]).name.removeprefix("CAM + ") for variant in variants]
    axes.set_xticks(range(len(variants)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.5, len(variants) - 0.5)
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)


def _variants(results: pd.DataFrame) -> list[str]:
    return ordered(variant_of(str(method)) for method in results["method"].unique())


def _datasets(results: pd.DataFrame) -> list[str]:
    return [str(dataset) for dataset in results["dataset"].unique()]


def _title(variant: str, results: pd.DataFrame) -> str:
    methods = methods_of(variant)
    name = look_of(methods[0]).name.removeprefix("CAM + ")
    sources = rows_of(results, "method", *methods)["saliency"].dropna()
    is_marked = learned_saliency(variant) or len(sources) > 0
    return name + (MARK if is_marked else "")


def _score(cells: list[pd.DataFrame], dataset: str, method: str, stage: str) -> str:
    values, oracle = (of_dataset(table, dataset, (method, stage)) for table in cells)
    if values.empty:
        return ABSENT
    return mean_text(values) + ("" if oracle.empty else f" ({mean_text(oracle)})")


def _cost(cost: pd.DataFrame, dataset: str, method: str, groups: list[str]) -> list[str]:
    """Mean seconds of each group of steps, and the largest memory in GiB."""
    rows = rows_of(rows_of(cost, "dataset", dataset), "method", method).to_dict("records")
    if not rows:
        return [ABSENT] * (len(groups) + 1)
    seconds: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        seconds[STEPS[row["step"]]][row["random_seed"]] += row["seconds"]
    shown = [
        f"{mean(seconds[group].values()):.0f}" if group in seconds else ABSENT for group in groups
    ]
    return [*shown, f"{max(row['max_rss'] for row in rows) / 1024:.1f}"]
