"""Charts of losses, thresholds, mIoU and cost, and the helpers that all charts share.

Each function takes a table and returns a figure, or None if there is nothing to draw. Points and
lines are means over random seeds; bands and whiskers reach one sample standard deviation to either
side and are left out for a single seed. Methods keep the colours and markers of ``style``.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from recam.io.atomic import replacing
from recam.report.captions import Caption
from recam.report.fonts import drawable
from recam.report.methods import STAGES, ordered
from recam.report.style import DOTS, GREY, PAGE, RC, look_of

Values = Mapping[str, float | str]  # of one method and stage, by name
Metrics = Mapping[str, Mapping[str, Values]]  # stage, method, name

LONGEST_NAME = 16
LEGEND, KEY = 110, 9  # width of a page and of a legend's line and gap, in characters
STRIPE = "#f5f5f5"
Array = Float[np.ndarray, "n"]
STYLE: dict[Any, Any] = dict(RC)
in_style = mpl.rc_context(STYLE)


@in_style
def save(figure: Figure, path: Path, *, caption: str) -> None:
    """Write a figure as PNG, with its caption below and in its metadata."""
    size = STYLE["font.size"]
    text = textwrap.fill(drawable(caption), int(PAGE * 72 / (0.55 * size)))
    lines = len(text.splitlines()) - len(figure.get_supxlabel().splitlines())
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + lines * 1.3 * size / 72)
    label = figure.supxlabel(text, x=0.008, ha="left", fontsize=size, color=GREY)
    figure.set_dpi(DOTS)
    engine = figure.get_layout_engine()
    if engine and figure.axes:
        engine.execute(figure)
    below = Caption(text=caption, pixels=round(label.get_window_extent().y1))
    figure.set_layout_engine("none")  # the layout is done
    with replacing(path) as temporary:
        metadata = {"Software": None, "Comment": below.as_text()}
        # `savefig` would draw once more, for the layout.
        FigureCanvasAgg(figure).print_png(temporary, metadata=metadata)
    figure.set_layout_engine(engine)


@in_style
def sweeps(curves: pd.DataFrame, metrics: Metrics) -> Figure | None:
    """MIoU of score maps by threshold, a panel for each stage.

    ``curves`` has the columns random_seed, method, stage, threshold (background score, 0 to 1),
    miou (percent). A filled marker shows ``threshold`` and ``miou`` of ``metrics[stage][method]``,
    an open one ``oracle_threshold`` and ``oracle_miou``.
    """
    stages = [stage for stage in STAGES if stage in set(curves["stage"])]
    if not stages:
        return None
    figure = Figure(figsize=(PAGE, 3.2))
    grid = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for axes, stage in zip(grid, stages, strict=True):
        table = rows_of(curves, "stage", stage)
        for method in methods_in(table):
            line(axes, rows_of(table, "method", method), x="threshold", y="miou")
            _thresholds(axes, metrics.get(stage, {}).get(method, {}), method)
        axes.set(title=STAGES[stage], xlabel="threshold (background score)", xlim=(0, 1.02))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    grid[0].set_ylabel("mIoU, %")
    key: dict[str, Any] = {"color": GREY, "linestyle": "", "marker": "o", "markersize": 7}
    chosen = Line2D([], [], label="threshold used", **key)
    oracle = Line2D([], [], label="oracle threshold", markerfacecolor="white", **key)
    legend(figure, methods_in(curves), more=[chosen, oracle])
    return figure


@in_style
def cost(table: pd.DataFrame) -> Figure | None:
    """Wall-clock time and peak memory of each step by method.

    ``table`` has the columns step (in the order to show), method, random_seed, seconds and max_rss
    (MiB).
    """
    if table.empty:
        return None
    unit, divisor = next(
        (name, s)
        for name, s in (("hours", 3600), ("minutes", 60), ("seconds", 1))
        if s == 1 or table["seconds"].to_numpy(float).max() >= 2 * s
    )
    table = table.assign(time=table["seconds"] / divisor, memory=table["max_rss"] / 1024)
    steps, methods = groups_in(table, "step"), methods_in(table)
    figure = Figure(figsize=(PAGE, 1.1 + len(steps) * max(0.26, 0.1 * len(methods))))
    grid = figure.subplots(1, 2, sharey=True)
    labels = {"time": f"time, {unit}", "memory": "peak memory, GiB"}
    for axes, (name, label) in zip(grid, labels.items(), strict=True):
        dots(axes, table, by="step", value=name, rows=steps)
        axes.set_xlabel(label)
    legend(figure, methods)
    return figure


@in_style
def miou_by_stage(metrics: Metrics) -> Figure | None:
    """MIoU of each method at each stage in percent, written beside its marker.

    ``metrics[stage][method]`` has ``miou`` and, over several random seeds, ``miou_std`` above 0.
    """
    scored = {
        stage: {
            m: metrics[stage][m] for m in ordered(metrics[stage]) if "miou" in metrics[stage][m]
        }
        for stage in STAGES
        if stage in metrics
    }
    rows = [(stage, method) for stage, methods in scored.items() for method in methods]
    if not rows:
        return None
    gaps = [stage for stage in scored if scored[stage]]
    figure = Figure(figsize=(PAGE, 0.8 + 0.25 * len(rows) + 0.12 * len(gaps)))
    axes = figure.subplots()
    heights = [i + 0.6 * gaps.index(stage) for i, (stage, _) in enumerate(rows)]
    for height, (stage, method) in zip(heights, rows, strict=True):
        _labelled_point(axes, height, scored[stage][method], method)
    middles = {
        s: np.mean([h for h, row in zip(heights, rows, strict=True) if row[0] == s]) for s in gaps
    }
    axes.set_yticks(list(middles.values()), [_stage_name(s, scored[s]) for s in gaps])
    axes.set(ylim=(heights[-1] + 0.7, -0.7), xlim=(0, 130), xlabel="mIoU, %")  # room for labels
    axes.set_xticks(range(0, 101, 20))
    axes.spines["bottom"].set_bounds(0, 100)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure


def rows_of(table: pd.DataFrame, column: str, *values: object) -> pd.DataFrame:
    """The rows of a table whose column has one of the values."""
    return pd.DataFrame(table.loc[table[column].isin(list(values))])


def methods_in(table: pd.DataFrame) -> list[str]:
    """The methods of a table, in the order of ``methods.ordered``."""
    return ordered(table["method"])


def mean_and_std(
    table: pd.DataFrame, *, by: str, value: str, rows: Sequence
) -> tuple[Array, Array]:
    """Mean and sample standard deviation of a value for each of ``rows``; NaN if undefined."""
    values = table[value].to_numpy(float)
    of_rows = [values[(table[by] == row).to_numpy(bool)] for row in rows]
    means = [of.mean() if len(of) else np.nan for of in of_rows]
    deviations = [of.std(ddof=1) if len(of) > 1 else np.nan for of in of_rows]
    return np.array(means, float), np.array(deviations, float)


def dots(axes: Axes, table: pd.DataFrame, *, by: str, value: str, rows: Sequence[str]) -> None:
    """A dot plot: a line for each of ``rows``, from the top, with a marker for each method."""
    methods = methods_in(table)
    for line in range(1, len(rows), 2):
        axes.axhspan(line - 0.5, line + 0.5, color=STRIPE, zorder=0)
    for place, method in enumerate(methods):
        means, deviations = mean_and_std(
            rows_of(table, "method", method), by=by, value=value, rows=rows
        )
        heights = np.arange(len(rows)) + 0.7 * ((place + 0.5) / len(methods) - 0.5)
        points(axes, means, heights, method, xerr=deviations)
    axes.set_yticks(range(len(rows)), [short(row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.03 * axes.get_xlim()[1], None)  # do not clip markers at 0
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def legend(
    figure: Figure,
    methods: Sequence[str],
    *,
    more: Sequence[Line2D] = (),
    title: str | None = None,
) -> None:
    """A legend of the methods above the figure."""
    looks = [look_of(method) for method in methods]
    lines = [Line2D([], [], color=k.colour, marker=k.marker, label=k.name) for k in looks]
    handles = [*lines, *more]
    widths = [len(str(handle.get_label())) + KEY for handle in handles]
    # Columns of one line have widths of their own.
    is_line = sum(widths) <= LEGEND - KEY
    columns = len(handles) if is_line else max(int(LEGEND / max(widths)), 1)
    figure.legend(
        handles=handles, loc="outside upper left", ncols=columns, title=title, alignment="left"
    )


def short(name: str) -> str:
    """A class name, with its middle elided if it is too long for an axis."""
    whole = len(name) <= LONGEST_NAME
    return drawable(name if whole else f"{name[: LONGEST_NAME - 8]}…{name[-7:]}")


def groups_in(table: pd.DataFrame, name: str) -> list[str]:
    """The distinct values of a column, in the order of its categories or of first occurrence."""
    column = pd.Series(table[name])
    if isinstance(column.dtype, pd.CategoricalDtype):
        present = set(column)
        return [str(value) for value in column.dtype.categories if value in present]
    return [str(value) for value in dict.fromkeys(column)]


def line(
    axes: Axes, table: pd.DataFrame, *, x: str, y: str, marks: int = 0, style: str = "-"
) -> None:
    """A method's mean along x with its band and about ``marks`` markers."""
    look = look_of(table["method"].iloc[0])
    along = np.unique(table[x].to_numpy())
    means, deviations = mean_and_std(table, by=x, value=y, rows=list(along))
    every = max(1, len(along) // marks) if marks else None
    marker = look.marker if marks else ""
    axes.plot(along, means, color=look.colour, marker=marker, markevery=every, linestyle=style)
    low = means - deviations
    low = np.where(low <= 0, table[y].min(), low)  # a log axis has no 0
    axes.fill_between(along, low, means + deviations, color=look.colour, alpha=0.2, linewidth=0)


def points(
    axes: Axes,
    x: Array,
    y: Array,
    method: str,
    *,
    xerr: Array | None = None,
    yerr: Array | None = None,
    line: bool = False,
) -> None:
    """A method's markers and whiskers, joined by a line if asked."""
    look = look_of(method)
    joined = "-" if line else ""
    axes.errorbar(x, y, yerr, xerr, linestyle=joined, color=look.colour, marker=look.marker)


def _thresholds(axes: Axes, values: Values, method: str) -> None:
    look = look_of(method)
    for prefix, face in (("oracle_", "white"), ("", look.colour)):
        if f"{prefix}threshold" in values and f"{prefix}miou" in values:
            x, y = float(values[f"{prefix}threshold"]), float(values[f"{prefix}miou"])
            (mark,) = axes.plot([x], [y], look.marker, color=look.colour, clip_on=False, zorder=5)
            mark.set(markersize=7, markerfacecolor=face)


def _labelled_point(axes: Axes, height: float, values: Values, method: str) -> None:
    look = look_of(method)
    miou, deviation = float(values["miou"]), float(values.get("miou_std", 0))
    shown = np.array([deviation or np.nan])
    points(axes, np.array([miou]), np.array([height]), method, xerr=shown)
    number = f"{miou:.1f} ± {deviation:.1f}" if deviation else f"{miou:.1f}"
    text = f"{look.name}  {number}"
    axes.annotate(text, (miou + deviation, height), (7, 0), textcoords="offset points", va="center")


def _stage_name(stage: str, methods: Mapping[str, Values]) -> str:
    split = next(iter(methods.values())).get("split")
    return f"{STAGES[stage]}\n({split})" if split else STAGES[stage]


@in_style
def note(words: str) -> Figure:
    """A figure of one sentence, in place of one that cannot be drawn."""
    figure = Figure(figsize=(PAGE, 0.8))
    figure.text(0.5, 0.5, words, ha="center", va="center", color=GREY)
    return figure
