"""The results as two files: a few numbers to compare runs by, and a table of every number."""

import json
from pathlib import Path

import pandas as pd

from recam.io.atomic import write_text
from recam.report.methods import STAGES
from recam.report.summary import Metrics

COMPARED = ("miou", "oracle_miou", "ratio_to_supervised")
STD = "_std"  # ending of the name of a standard deviation
WORDS = ("split", "saliency")  # values that are no numbers: columns of their own
COUNTS = ("images", "of")
COLUMNS = ["stage", "method", *WORDS, "quantity", "mean", "std"]


def write_results(metrics: Metrics, *, replicates: int, chosen: Path, every: Path) -> None:
    """Write the numbers to compare as JSON, and every number as CSV."""
    text = json.dumps(compared(metrics, replicates=replicates), indent=2)
    write_text(chosen, f"{text}\n")
    write_text(every, details_of(metrics).to_csv(index=False))


def compared(metrics: Metrics, *, replicates: int) -> Metrics:
    """The numbers that people compare, by stage and method, with deviations of several replicates.

    Methods and stages without such a number, for lack of ground truth, are left out.
    """
    names = [*COMPARED, *(f"{name}{STD}" for name in COMPARED if replicates > 1)]
    chosen: Metrics = {}
    for stage, methods in metrics.items():
        for method, values in methods.items():
            if kept := {name: value for name, value in values.items() if name in names}:
                chosen.setdefault(stage, {})[method] = kept
    return chosen


def details_of(metrics: Metrics) -> pd.DataFrame:
    """Every number in a row of its own; ``metrics_of`` reads it back."""
    rows = [
        {"stage": stage, "method": method, "quantity": name, "mean": value}
        | {word: values.get(word, "") for word in WORDS}
        | {"std": values.get(f"{name}{STD}")}
        for stage, methods in metrics.items()
        for method, values in methods.items()
        for name, value in values.items()
        if name not in WORDS and not name.endswith(STD)
    ]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)  # whole numbers stay whole


def metrics_of(file: Path) -> Metrics:
    """The metrics by stage and method, from the CSV of ``details_of``."""
    metrics: Metrics = {stage: {} for stage in STAGES}
    rows = pd.read_csv(file, dtype=str, keep_default_na=False).to_dict("records")
    for row in rows:
        values = metrics[row["stage"]].setdefault(row["method"], {})
        values |= {word: row[word] for word in WORDS if row[word]}
        name, mean = row["quantity"], row["mean"]
        values[name] = int(mean) if name in COUNTS else float(mean)
        values |= {f"{name}{STD}": float(row["std"])} if row["std"] else {}
    return metrics
