"""Scores of replicates on several data sets, and means, differences and targets over them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from recam.report.summary import Run

INDEX = ["dataset", "random_seed"]
SCORES = ["miou", "oracle_miou", "threshold", "saliency"]
RESULTS = [*INDEX, "method", "stage", *SCORES]
ABSENT = "-"


class Target(NamedTuple):
    """A mean that the project aims at, in the units of the table."""

    column: str
    least: float
    is_above: bool = False  # the mean must exceed `least`, not only reach it

    @property
    def limit(self) -> str:
        """Sign and number."""
        return f"{'>' if self.is_above else '≥'} {self.least:g}"

    def verdict(self, values: pd.Series) -> str:
        """Reached, or missed by how much; ``values`` are those of the random seeds, not empty."""
        mean = float(values.mean())
        is_reached = mean > self.least if self.is_above else mean >= self.least
        return "reached" if is_reached else f"missed by {self.least - mean:.2g}"


def collected(dataset: str, runs: list[Run]) -> pd.DataFrame:
    """The scores of all runs of a data set; see ``scores_table``.

    Raises UserError if a run is not evaluated.
    """
    return scores_table(dataset, {run: run.metrics() for run in runs})


def scores_table(dataset: str, metrics: Mapping[Run, Mapping[str, Any]]) -> pd.DataFrame:
    """The scores of all runs of a data set: a row for each random seed, method and stage.

    mIoU is in percent, thresholds in [0, 1]; the segmenter has no threshold. ``saliency`` is the
    source of saliency maps, if any.
    """
    rows = [
        {"dataset": dataset, "random_seed": run.random_seed, "method": run.method, "stage": stage}
        | {name: values.get(name) for name in SCORES}
        for run, stages in metrics.items()
        for stage, values in stages.items()
    ]
    return pd.DataFrame(rows, columns=RESULTS)


def by_method_and_stage(results: pd.DataFrame, number: str = "miou") -> pd.DataFrame:
    """A row for each data set and random seed, a column for each method and stage."""
    wide = results.pivot(index=INDEX, columns=["method", "stage"], values=number)
    pairs = {(str(method), str(stage)): wide[method, stage] for method, stage in wide.columns}
    return pd.DataFrame(pairs).astype(float)


def of_dataset(table: pd.DataFrame, dataset: str, column: tuple[str, str]) -> pd.Series:
    """The values of a column over the random seeds of a data set; empty if there are none."""
    if column not in table.columns or dataset not in table.index.get_level_values("dataset"):
        return pd.Series(dtype=float)
    return table.loc[dataset, column].dropna()


def mean_text(values: pd.Series, *, digits: int = 1, signed: bool = False) -> str:
    """Mean ± sample standard deviation, the mean alone of a single random seed."""
    text = f"{values.mean():{'+' if signed else ''}.{digits}f}"
    return text + (f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else "")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int]) -> str:
    """A table in Markdown; the columns ``left`` hold words, the others numbers."""
    rule = ["---" if place in left else "---:" for place in range(len(head))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *rows))


def listed(values: Sequence[str] | Sequence[int]) -> str:
    """Values with commas between them."""
    return ", ".join(str(value) for value in values)


def shortfall(results: pd.DataFrame, datasets: Sequence[str], seeds: Sequence[int]) -> str:
    """A note on the part of the protocol that the results lack; empty if they lack nothing."""
    present = [str(dataset) for dataset in results["dataset"].unique()]
    found = [int(seed) for seed in results["random_seed"].unique()]
    missing = [name for name in datasets if name not in present]
    said = [f"without {listed(missing)}"] if missing else []
    said += [f"random seeds {listed(found)} instead of {listed(seeds)}"] * (found != [*seeds])
    return f"\nNot the whole protocol: {'; '.join(said)}.\n" if said else ""
