"""Training charts: losses by epoch, and the classifiers on held-out labels.

Conventions are those of ``charts``: each function takes a table and returns a figure, or None.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from recam.report.charts import in_style, legend, line, methods_in, rows_of
from recam.report.style import GREY, PAGE

LOSSES = {
    "bce": "binary cross-entropy",
    "sce": "softmax cross-entropy",
    "er": "equivariance loss",
    "min": "loss of quiet positions",
    "ecr": "consistency loss of PCM",
    "patch": "binary cross-entropy of patches",
    "contrast": "contrast of class tokens",
    "sal": "saliency loss",
    "ce": "cross-entropy",
}
HELD_OUT = "held-out "  # prefix of quantities on labels that were not trained on
RATES = {"recall": "label recall", "precision": "label precision"}  # 0 to 1


@in_style
def losses(curves: pd.DataFrame) -> Figure | None:
    """Training losses by epoch on log axes, a panel for each network and loss.

    ``curves`` has the columns random_seed, method, network, epoch, loss, value. Held-out quantities
    are left out.
    """
    is_held_out = [str(name).startswith(HELD_OUT) for name in curves["loss"]]
    curves = pd.DataFrame(curves.loc[~np.array(is_held_out, bool)])
    panels = list(dict.fromkeys(zip(curves["network"], curves["loss"], strict=True)))
    if not panels:
        return None
    figure, grid = _panels(len(panels))
    for axes, (network, loss) in zip(grid, panels, strict=False):
        table = rows_of(rows_of(curves, "network", network), "loss", loss)
        for method in methods_in(table):
            line(axes, rows_of(table, "method", method), x="epoch", y="value", marks=8)
        _log_axis(axes, table)
        axes.set(title=str(network), xlabel="epoch", ylabel=LOSSES.get(str(loss), str(loss)))
    legend(figure, methods_in(curves))
    return figure


@in_style
def held_out(curves: pd.DataFrame) -> Figure | None:
    """Losses, recall and precision of the classifiers on held-out labels, a panel for each.

    ``curves`` is that of ``losses``; dashed lines are the same losses in training.
    """
    names = [HELD_OUT + name for name in (*LOSSES, *RATES)]
    shown = [name for name in names if name in set(curves["loss"])]
    if not shown:
        return None
    figure, grid = _panels(len(shown), columns=2)
    for axes, name in zip(grid, shown, strict=False):
        quantity = name.removeprefix(HELD_OUT)
        both = rows_of(rows_of(curves, "network", "classifier"), "loss", name, quantity)
        for method in methods_in(both):
            of_method = rows_of(both, "method", method)
            for loss, style in ((quantity, "--"), (name, "-")):
                table = rows_of(of_method, "loss", loss)
                if len(table):
                    line(axes, table, x="epoch", y="value", marks=8 * (style == "-"), style=style)
        axes.set(xlabel="epoch", ylabel=LOSSES.get(quantity) or RATES[quantity])
        if quantity in LOSSES:
            _log_axis(axes, both)
        else:
            axes.set_ylim(0, 1)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    more = [
        Line2D([], [], color=GREY, linestyle="-", label="held-out labels"),
        Line2D([], [], color=GREY, linestyle="--", label="training"),
    ]
    legend(figure, methods_in(rows_of(curves, "loss", *shown)), more=more)
    return figure


def _panels(count: int, *, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of at least ``count`` panels, of which the others are empty."""
    columns = min(columns, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(PAGE, 0.5 + 2.1 * lines))
    grid = list(figure.subplots(lines, columns, squeeze=False).ravel())
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid


def _log_axis(axes: Axes, table: pd.DataFrame) -> None:
    values = table["value"].to_numpy(float)
    span = values.max() / max(values.min(), 1e-9)
    axes.set_yscale("log")
    subs = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if span < 10 else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(subs=subs if span < 50 else (1.0,)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_locator(LogLocator(subs=()))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
