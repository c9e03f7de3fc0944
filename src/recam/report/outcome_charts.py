"""Outcome charts: pixels of objects found, missed or mislabelled, by size and by image content.

Conventions are those of ``charts``: each function takes a table and returns a figure, or None.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from recam.report.charts import (
    groups_in,
    in_style,
    legend,
    mean_and_std,
    methods_in,
    points,
    rows_of,
)
from recam.report.style import EXTRA, MISSED, OTHER, PAGE, RIGHT, look_of

OUTCOMES = {  # column -> title, colour
    "found": ("found", RIGHT),
    "other": ("labelled as another object", OTHER),
    "missed": ("missed: labelled as background", MISSED),
    "extra": ("extra: false positives of its class", EXTRA),
}


@in_style
def by_size(rows: pd.DataFrame) -> Figure | None:
    """Outcomes of objects by size, methods compared.

    ``rows`` are of one stage: random_seed, method, size (ordered categories, or in order), found,
    other, missed, extra (percent of the objects' pixels).
    """
    if rows.empty:
        return None
    sizes, methods = groups_in(rows, "size"), methods_in(rows)
    figure = Figure(figsize=(PAGE, 4.6))
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (name, (title, _)) in zip(grid.ravel(), OUTCOMES.items(), strict=True):
        for place, method in enumerate(methods):
            of_method = rows_of(rows, "method", method)
            means, deviations = mean_and_std(of_method, by="size", value=name, rows=sizes)
            along = np.arange(len(sizes)) + 0.07 * (place - (len(methods) - 1) / 2)
            points(axes, along, means, method, yerr=deviations, line=True)
        axes.set_title(title)
        axes.set_ylim(0, None)
        axes.set_xticks(range(len(sizes)), [size.removesuffix(" %") for size in sizes])
        axes.set_xlim(-0.4, len(sizes) - 0.6)
    for axes in grid[1]:
        axes.set_xlabel("object size, % of the image")
    for axes in grid[:, 0]:
        axes.set_ylabel("% of objects' pixels")
    legend(figure, methods)
    return figure


@in_style
def alone_or_with_others(rows: pd.DataFrame) -> Figure | None:
    """Outcomes of objects that are alone in their image, and of those beside other classes.

    ``rows`` are of one stage: random_seed, method, alone (ALONE or WITH_OTHERS), found, other,
    missed, extra (percent of the objects' pixels; the first three sum to 100), objects (number).
    """
    if rows.empty:
        return None
    groups, methods = groups_in(rows, "alone"), methods_in(rows)
    figure = Figure(figsize=(PAGE, 1.1 + len(groups) * (0.45 + 0.3 * len(methods))))
    grid = figure.subplots(
        len(groups), 2, sharex="col", sharey=True, squeeze=False, width_ratios=[3, 1.1]
    )
    for (shares, extra), group in zip(grid, groups, strict=True):
        of_group = rows_of(rows, "alone", group)
        _outcome_bars(shares, of_group, ["found", "other", "missed"], methods)
        _outcome_bars(extra, of_group, ["extra"], methods)
        count = of_group["objects"].max()
        shares.set_title(f"images with {group} ({count:,} objects)")
        shares.set_xlim(0, 100)
    grid[0, 0].set_ylim(len(methods) - 0.5, -0.5)
    grid[0, 0].set_yticks(range(len(methods)), [look_of(method).name for method in methods])
    grid[0, 1].set_xlim(0, 1.6 * max(rows["extra"].max(), 1))
    for axes in grid[-1]:
        axes.set_xlabel("% of the objects' pixels")
    names = OUTCOMES.values()
    patches = [Patch(facecolor=colour, label=name.split(":")[0]) for name, colour in names]
    figure.legend(handles=patches, loc="outside upper left", ncols=4)
    return figure


def _outcome_bars(
    axes: Axes, rows: pd.DataFrame, names: Sequence[str], methods: Sequence[str]
) -> None:
    """A stacked bar of the outcomes' means for each method, labelled with their values."""
    before = np.zeros(len(methods))
    for name in names:
        means, deviations = mean_and_std(rows, by="method", value=name, rows=methods)
        bars = axes.barh(range(len(methods)), means, left=before, color=OUTCOMES[name][1])
        labels = [
            _number(mean, deviation, room=100.0 if name == "extra" else mean)
            for mean, deviation in zip(means, deviations, strict=True)
        ]
        place = "edge" if name == "extra" else "center"
        axes.bar_label(bars, labels, label_type=place, padding=3 if name == "extra" else 0)
        before = before + means
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _number(mean: float, deviation: float, *, room: float) -> str:
    """A percentage: with its deviation in a wide bar, without in a narrow one, else nothing."""
    if room < 4 or np.isnan(mean):
        return ""
    return f"{mean:.0f}" if room < 14 or np.isnan(deviation) else f"{mean:.0f} ± {deviation:.0f}"
