"""Error charts from confusion tables: confusions between object classes, and errors by class.

Conventions are those of ``charts``: each function takes a table and returns a figure, or None.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from recam.report.charts import dots, in_style, legend, methods_in, rows_of, short
from recam.report.style import PAGE, look_of

Map = Float[np.ndarray, "classes classes"]  # rows true classes, columns predicted ones

BACKGROUND = "background"
MOST_CLASSES = 20  # more are not readable
ERRORS = {
    "negatives": "false negatives",
    "on_background": "false positives\non background",
    "on_objects": "false positives\non other objects",
}
WITH_NUMBERS = 10  # with more classes, cells are too small for numbers
EMPTY = "#d9d9d9"  # the diagonal, and classes absent from the ground truth
SHARES = LinearSegmentedColormap.from_list("shares", ["white", "#005A8C"]).with_extremes(bad=EMPTY)
CHANGES = LinearSegmentedColormap.from_list(
    "changes", ["#005A8C", "white", "#D55E00"]
).with_extremes(bad=EMPTY)


@in_style
def confusions(
    table: pd.DataFrame, *, before: str, after: str | None, classes: Sequence[str]
) -> Figure | None:
    """Confusions between object classes, in percent of the true class's pixels.

    ``table`` is one stage's confusion: random_seed, method, truth, prediction (names), pixels.
    ``before`` and ``after`` are methods; without ``after`` there is one heat map. Of more than
    MOST_CLASSES classes, the figure shows those most confused with others by ``before``.
    """
    present = methods_in(table)
    methods = [method for method in (before, after) if method is not None and method in present]
    if before not in methods or len(classes) < 2:
        return None
    shown = _most_confused(rows_of(table, "method", before), classes)
    maps = [mean_shares(rows_of(table, "method", m), shown) for m in methods]
    figure = _figure(shown, len(methods))
    grid = figure.subplots(len(methods), 2, sharey=True, squeeze=False)
    most = max(float(np.nanmax(shares, initial=1.0)) for shares in maps)
    for axes, shares, method in zip(grid[0], maps, methods, strict=False):
        _map(axes, shares, shown, SHARES, (0.0, most))
        axes.set_title(f"{look_of(method).name}, %")
    if after is not None and len(methods) == 2:
        change = maps[1] - maps[0]
        most = float(np.nanmax(np.abs(change), initial=1.0))
        _map(grid[1, 0], change, shown, CHANGES, (-most, most))
        grid[1, 0].set_title(f"{look_of(after).name} \N{MINUS SIGN} {look_of(before).name}, points")
    sums = confused_shares(rows_of(table, "method", *methods), classes)
    dots(grid[-1, 1], sums, by="truth", value="share", rows=shown)
    grid[-1, 1].tick_params(labelleft=False)
    grid[-1, 1].set_title("all other classes, %")
    grid[-1, 1].set_xlabel("% of the true class's pixels")
    for axes in grid[:, 0]:
        axes.set_ylabel("true class")
    title = f"the {len(shown)} most confused of {len(classes)} classes"
    legend(figure, methods_in(sums), title=title if len(shown) < len(classes) else None)
    return figure


@in_style
def by_class(table: pd.DataFrame, *, methods: Sequence[str]) -> Figure | None:
    """False negatives and false positives of each class, the most frequent class on top.

    ``table`` is one stage's confusion: random_seed, method, truth, prediction (names), pixels.
    Values are percentages of the class's ground truth pixels; absent classes are left out.
    """
    errors = class_errors(rows_of(table, "method", *methods))
    frequency = sums_by(errors, "class", "true")
    shown = sorted(frequency, key=lambda name: -frequency[name])[:MOST_CLASSES]
    if not shown:
        return None
    methods = methods_in(errors)
    panels = {name: title for name, title in ERRORS.items() if errors[name].to_numpy(float).any()}
    panels = panels or ERRORS
    row = max(0.24, 0.09 * len(methods))
    figure = Figure(figsize=(PAGE, 1.3 + row * len(shown)))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, title) in zip(grid, panels.items(), strict=True):
        dots(axes, errors, by="class", value=name, rows=shown)
        axes.set_title(title)
        axes.set_xlabel("% of the class's pixels")
    title = f"the {len(shown)} most frequent of {len(frequency)} classes"
    legend(figure, methods, title=title if len(shown) < len(frequency) else None)
    return figure


def mean_shares(table: pd.DataFrame, shown: Sequence[str]) -> Map:
    """Percent of each true class's pixels predicted as each other class, over all random seeds.

    The diagonal is NaN, as are rows of classes absent from the ground truth. The ground truth is
    the same for every random seed, so the share of the sums is the mean of the shares.
    """
    shares = np.full((len(shown), len(shown)), np.nan)
    for row, truth in enumerate(shown):
        given = sums_by(rows_of(table, "truth", truth), "prediction", "pixels")
        for column, prediction in enumerate(shown):
            if row != column and any(given.values()):
                shares[row, column] = 100 * given.get(prediction, 0) / sum(given.values())
    return shares


def confused_shares(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Of each run and true class, ``share``: percent of its pixels predicted as another object."""
    rows: list[tuple[int, str, str, float]] = []
    for seed, method, run in _runs(table):
        for truth in classes:
            given = sums_by(rows_of(run, "truth", truth), "prediction", "pixels")
            if any(given.values()):
                wrong = sum(given.get(name, 0) for name in classes if name != truth)
                rows.append((seed, method, truth, 100 * wrong / sum(given.values())))
    return pd.DataFrame(rows, columns=["random_seed", "method", "truth", "share"])


def class_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Of each run and true class: its pixels ``true``, and ERRORS in percent of them."""
    rows: list[tuple[int, str, str, float, float, float, float]] = []
    for seed, method, run in _runs(table):
        wrong = pd.DataFrame(run.loc[run["truth"] != run["prediction"]])
        missed = sums_by(wrong, "truth", "pixels")
        ground = (wrong["truth"] == BACKGROUND).to_numpy(bool)
        on_background = sums_by(wrong.loc[ground], "prediction", "pixels")
        on_objects = sums_by(wrong.loc[~ground], "prediction", "pixels")
        for name, true in sums_by(run, "truth", "pixels").items():
            if name != BACKGROUND and true > 0:
                shares = [100 * n.get(name, 0) / true for n in (missed, on_background, on_objects)]
                rows.append((seed, method, name, true, shares[0], shares[1], shares[2]))
    return pd.DataFrame(rows, columns=["random_seed", "method", "class", "true", *ERRORS])


def _runs(table: pd.DataFrame) -> list[tuple[int, str, pd.DataFrame]]:
    """Each random seed and method, with its rows."""
    seeds = [int(seed) for seed in np.unique(table["random_seed"].to_numpy(int))]
    runs = [(seed, method) for method in methods_in(table) for seed in seeds]
    return [(s, m, rows_of(rows_of(table, "method", m), "random_seed", s)) for s, m in runs]


def _most_confused(table: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """Up to MOST_CLASSES classes with the most pixels confused with others, in mask id order."""
    objects = rows_of(rows_of(table, "truth", *classes), "prediction", *classes)
    wrong = pd.DataFrame(objects.loc[objects["truth"] != objects["prediction"]])
    of, under = (sums_by(wrong, side, "pixels") for side in ("truth", "prediction"))
    most = sorted(classes, key=lambda name: -of.get(name, 0) - under.get(name, 0))[:MOST_CLASSES]
    return [name for name in classes if name in most]


def sums_by(table: pd.DataFrame, column: str, value: str) -> dict[str, float]:
    """The sum of a value for each name in a column."""
    sums: dict[str, float] = defaultdict(float)
    for name, number in zip(table[column], table[value], strict=True):
        sums[str(name)] += float(number)
    return dict(sums)


def _figure(classes: Sequence[str], methods: int) -> Figure:
    row = 0.25 if len(classes) <= WITH_NUMBERS else 0.16
    names = 0.075 * max(len(short(name)) for name in classes)
    return Figure(figsize=(PAGE, 0.5 + methods * (max(row * len(classes), 1.2) + names + 0.45)))


def _map(
    axes: Axes, values: Map, names: Sequence[str], colours: Colormap, limits: tuple[float, float]
) -> None:
    """A heat map, with numbers in its cells (except near 0) or, of many classes, a colour bar."""
    image = axes.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    labels = [short(name) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90)
    axes.set_yticks(range(len(names)), labels)
    axes.set_xlabel("predicted class")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    sign = "+" if limits[0] < 0 else ""
    for (row, column), value in np.ndenumerate(values):
        if len(names) <= WITH_NUMBERS and abs(value) >= 0.5:
            dark = "white" if abs(value) > 0.6 * limits[1] else "black"
            text = f"{value:{sign}.0f}".replace("-", "\N{MINUS SIGN}")
            axes.text(column, row, text, ha="center", va="center", color=dark)
    if len(names) > WITH_NUMBERS and axes.figure:
        bar = axes.figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
        bar.outline.set_visible(False)
