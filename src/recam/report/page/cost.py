"""The cost of the steps as a table and a chart."""

from pathlib import Path
from statistics import fmean

import pandas as pd

from recam.report import charts
from recam.report.charts import groups_in, methods_in, rows_of
from recam.report.style import look_of
from recam.report.summary import Table

UNTIMED = "No step was timed: Snakemake times only the steps that it runs itself."
CAPTION = "Each step of each method, on this machine."
MIB_PER_GIB, SECONDS = 1024, 60
SHORT = 9.95  # minutes that are shown with a decimal
ABSENT = "-"


def save_cost(path: Path, steps: pd.DataFrame) -> None:
    """Write the chart of time and peak memory; a sentence if no step was timed.

    ``steps`` is the table of ``provenance.timings``.
    """
    charts.save(charts.cost(steps) or charts.note(UNTIMED), path, caption=CAPTION)


def cost_table(steps: pd.DataFrame) -> Table | None:
    """Mean time over random seeds in minutes, peak memory in GiB; None if no step was timed.

    The last row is the sum of the times, and the largest peak.
    """
    if steps.empty:
        return None
    methods, names = methods_in(steps), groups_in(steps, "step")
    times = {
        (step, method): _mean_minutes(rows_of(rows_of(steps, "step", step), "method", method))
        for step in names
        for method in methods
    }
    peaks = {step: _peak(rows_of(steps, "step", step)) for step in names}
    rows = [
        [step, *(_shown(times[step, method]) for method in methods), peaks[step]] for step in names
    ]
    sums = [[times[step, method] or 0 for step in names] for method in methods]
    rows.append(["all", *(_shown(sum(minutes)) for minutes in sums), _peak(steps)])
    head = ["step", *(look_of(method).name for method in methods), "peak memory, GiB"]
    return Table(head=head, rows=rows, notes=[])


def _mean_minutes(steps: pd.DataFrame) -> float | None:
    return fmean(steps["seconds"]) / SECONDS if len(steps) else None


def _peak(steps: pd.DataFrame) -> str:
    return f"{max(steps['max_rss']) / MIB_PER_GIB:.1f}"


def _shown(minutes: float | None) -> str:
    if minutes is None:
        return ABSENT
    return f"{minutes:.1f}" if minutes < SHORT else f"{minutes:.0f}"
