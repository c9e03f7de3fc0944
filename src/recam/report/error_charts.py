"""The figures of errors: by class, by size, in company, and which class is taken for which.

Drawn as those of ``charts`` are: each function takes a table and gives a figure, or None.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from recam.report.charts import (
    dots,
    groups_in,
    in_style,
    legend,
    methods_in,
    points,
    rows_of,
    short,
    spread,
)
from recam.report.style import EXTRA, LOOKS, MISSED, OTHER, PAGE, RIGHT

Map = Float[np.ndarray, "classes classes"]  # rows true classes, columns predicted ones

BACKGROUND = "background"
MOST_CLASSES = 20  # as many as are readable
OUTCOMES = {  # the share of the objects' pixels; its name, and its colour
    "found": ("found", RIGHT),
    "other": ("called another object", OTHER),
    "missed": ("missed: called background", MISSED),
    "extra": ("extra: where the object is not", EXTRA),
}
ERRORS = {
    "negatives": "false negatives",
    "on_background": "false positives\non background",
    "on_objects": "false positives\non other objects",
}
WITH_NUMBERS = 10  # classes whose cells have room for numbers
EMPTY = "#d9d9d9"  # the diagonal, and classes without true pixels
SHARES = LinearSegmentedColormap.from_list("shares", ["white", "#005A8C"]).with_extremes(bad=EMPTY)
CHANGES = LinearSegmentedColormap.from_list(
    "changes", ["#005A8C", "white", "#D55E00"]
).with_extremes(bad=EMPTY)


@in_style
def confusions(
    table: pd.DataFrame, *, before: str, after: str | None, classes: Sequence[str]
) -> Figure | None:
    """Object for object: rows true classes, columns predicted ones, percent of the true pixels.

    ``table`` is one stage's confusion: random_seed, method, truth, prediction (names), pixels.
    ``before`` and ``after`` are methods; without ``after`` there is one map. Over MOST_CLASSES,
    those are shown that have most of the wrong pixels in ``before``.
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
        axes.set_title(f"{LOOKS[method].name}, %")
    if after is not None and len(methods) == 2:
        change = maps[1] - maps[0]
        most = float(np.nanmax(np.abs(change), initial=1.0))
        _map(grid[1, 0], change, shown, CHANGES, (-most, most))
        grid[1, 0].set_title(f"{LOOKS[after].name} \N{MINUS SIGN} {LOOKS[before].name}, points")
    sums = object_for_object(rows_of(table, "method", *methods), classes)
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
    All is in percent of the class's true pixels; a class without any is left out.
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


@in_style
def by_size(rows: pd.DataFrame) -> Figure | None:
    """What became of objects by their size, methods compared.

    ``rows`` has the columns random_seed, method, size (ordered categories, or in order), found,
    other, missed, extra (percent of the objects' pixels), of one stage.
    """
    if rows.empty:
        return None
    sizes, methods = groups_in(rows, "size"), methods_in(rows)
    figure = Figure(figsize=(PAGE, 4.6))
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (name, (title, _)) in zip(grid.ravel(), OUTCOMES.items(), strict=True):
        for place, method in enumerate(methods):
            of_method = rows_of(rows, "method", method)
            means, deviations = spread(of_method, by="size", value=name, rows=sizes)
            along = np.arange(len(sizes)) + 0.07 * (place - (len(methods) - 1) / 2)
            points(axes, along, means, method, yerr=deviations, line=True)
        axes.set_title(title)
        axes.set_ylim(0, None)
        axes.set_xticks(range(len(sizes)), [size.removesuffix(" %") for size in sizes])
        axes.set_xlim(-0.4, len(sizes) - 0.6)
    for axes in grid[1]:
        axes.set_xlabel("object's size, % of the image")
    for axes in grid[:, 0]:
        axes.set_ylabel("% of objects' pixels")
    legend(figure, methods)
    return figure


@in_style
def together(rows: pd.DataFrame) -> Figure | None:
    """What became of objects alone in their images, and of those beside other classes.

    ``rows`` has the columns random_seed, method, company, found, other, missed, extra (percent of
    the objects' pixels; the first three sum to 100) and objects (how many), of one stage.
    """
    if rows.empty:
        return None
    companies, methods = groups_in(rows, "company"), methods_in(rows)
    figure = Figure(figsize=(PAGE, 1.1 + len(companies) * (0.45 + 0.3 * len(methods))))
    grid = figure.subplots(
        len(companies), 2, sharex="col", sharey=True, squeeze=False, width_ratios=[3, 1.1]
    )
    for (shares, extra), company in zip(grid, companies, strict=True):
        of_company = rows_of(rows, "company", company)
        _outcome_bars(shares, of_company, ["found", "other", "missed"], methods)
        _outcome_bars(extra, of_company, ["extra"], methods)
        count = of_company["objects"].max()
        shares.set_title(f"images with {company} ({count:,} objects)")
        shares.set_xlim(0, 100)
    grid[0, 0].set_ylim(len(methods) - 0.5, -0.5)
    grid[0, 0].set_yticks(range(len(methods)), [LOOKS[method].name for method in methods])
    grid[0, 1].set_xlim(0, 1.6 * max(rows["extra"].max(), 1))
    for axes in grid[-1]:
        axes.set_xlabel("% of the objects' pixels")
    names = OUTCOMES.values()
    patches = [Patch(facecolor=colour, label=name.split(":")[0]) for name, colour in names]
    figure.legend(handles=patches, loc="outside upper left", ncols=4)
    return figure


def mean_shares(table: pd.DataFrame, shown: Sequence[str]) -> Map:
    """The percent of each true class's pixels that have each other class, over all seeds.

    The diagonal is NaN, as are the rows of classes that have no true pixels. The truth is the same
    for every random seed, so the share of the sums is the mean of the shares.
    """
    shares = np.full((len(shown), len(shown)), np.nan)
    for row, truth in enumerate(shown):
        given = sums_by(rows_of(table, "truth", truth), "prediction", "pixels")
        for column, prediction in enumerate(shown):
            if row != column and any(given.values()):
                shares[row, column] = 100 * given.get(prediction, 0) / sum(given.values())
    return shares


def object_for_object(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Of each run and true class, ``share``: the percent of its pixels called another object."""
    rows: list[tuple[int, str, str, float]] = []
    for seed, method, run in _runs(table):
        for truth in classes:
            given = sums_by(rows_of(run, "truth", truth), "prediction", "pixels")
            if any(given.values()):
                wrong = sum(given.get(name, 0) for name in classes if name != truth)
                rows.append((seed, method, truth, 100 * wrong / sum(given.values())))
    return pd.DataFrame(rows, columns=["random_seed", "method", "truth", "share"])


def class_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Of each run and class with true pixels: their number ``true``, and ERRORS in percent."""
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


def _outcome_bars(
    axes: Axes, rows: pd.DataFrame, names: Sequence[str], methods: Sequence[str]
) -> None:
    """A bar for each method: the outcomes' means end to end, with their numbers."""
    before = np.zeros(len(methods))
    for name in names:
        means, deviations = spread(rows, by="method", value=name, rows=methods)
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
    """A percentage, as exactly as there is room for it."""
    if room < 4 or np.isnan(mean):
        return ""
    return f"{mean:.0f}" if room < 14 or np.isnan(deviation) else f"{mean:.0f} ± {deviation:.0f}"


def _most_confused(table: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """All classes, or those with most pixels of or under another object, in their order."""
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
    """A heat map: with the numbers in its cells, but for those near 0, or with a scale."""
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
