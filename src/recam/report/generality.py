"""One table for one recipe on several data sets: means, paired differences, targets."""

from itertools import product
from typing import NamedTuple

import pandas as pd

from recam.report.style import STAGES, look_of, ordered
from recam.report.summary import MARK, Run

DATASETS, SEEDS = ("shapes", "stamps", "street"), (0, 1, 2)  # of the whole protocol
RESULTS = [
    "dataset",
    "random_seed",
    "method",
    "stage",
    "miou",
    "oracle_miou",
    "threshold",
    "saliency",
]
PAIRS = (("recam", "control"), ("recam", "cam"))
RATIO = "ratio"  # to the supervised mIoU of the same random seed
COLUMNS = STAGES | {RATIO: "of supervised"}
NOTE = (
    "Mean ± sample standard deviation over random seeds {}; in brackets at the oracle threshold. "
    "A difference is taken between runs of the same random seed; `2 of 3` means that it is above 0 "
    "for 2 of 3 random seeds.\n"
)
SALIENCY_NOTE = f"\n{MARK.strip()} masks used saliency maps.\n"


class Target(NamedTuple):
    """A mean that the project aims at, in the units of the table."""

    column: str
    least: float
    is_above: bool = False  # the mean must exceed `least`, not only reach it


ABOVE_CONTROL = Target("pseudo", 0, is_above=True)
# By data set and row of the table.
TARGETS = {
    ("shapes", "recam - control"): [Target("cams", 8), ABOVE_CONTROL],
    ("stamps", "recam - control"): [Target("cams", 2), ABOVE_CONTROL],
    ("street", "recam - control"): [Target("cams", 2), ABOVE_CONTROL],
    ("shapes", "recam"): [Target(RATIO, 0.93)],
    ("stamps", "recam"): [Target(RATIO, 0.85)],
    ("street", "recam"): [Target(RATIO, 0.85)],
    ("stamps", "supervised"): [Target("seg", 45)],
}


def collected(dataset: str, runs: list[Run]) -> pd.DataFrame:
    """The scores of all runs of a data set: a row for each random seed, method and stage.

    mIoU is in percent, thresholds in [0, 1]; the segmenter has no threshold. Raises UserError if a
    run is not evaluated.
    """
    rows = [
        {"dataset": dataset, "random_seed": run.random_seed, "method": run.method, "stage": stage}
        | {name: values.get(name) for name in RESULTS[4:]}
        for run in runs
        for stage, values in run.metrics().items()
    ]
    return pd.DataFrame(rows, columns=RESULTS)


def by_seed(results: pd.DataFrame, number: str = "miou") -> pd.DataFrame:
    """Every cell of the table before the mean: a row for each data set and random seed.

    Columns are pairs: a method or ``recam - control``, and a stage or ``ratio``.
    """
    index = ["dataset", "random_seed"]
    wide = results.pivot(index=index, columns=["method", "stage"], values=number)
    found = {(str(method), str(stage)): wide[method, stage] for method, stage in wide.columns}
    differences = {
        (f"{first} - {second}", stage): found[first, stage] - found[second, stage]
        for (first, second), stage in product(PAIRS, STAGES)
        if {(first, stage), (second, stage)} <= found.keys()
    }
    ratios = {
        (method, RATIO): values / found["supervised", "seg"]
        for (method, stage), values in found.items()
        if stage == "seg" and ("supervised", "seg") in found
    }
    return pd.DataFrame(found | differences | ratios).astype(float)


def generality_table(results: pd.DataFrame) -> str:
    """The table in Markdown, with a note and, of less than the whole protocol, a second one."""
    cells = {number: by_seed(results, number) for number in ("miou", "oracle_miou")}
    head = ["data set", "mIoU, %", *COLUMNS.values(), "targets"]
    lines = [_line(head), _line(["---", "---", *["---:"] * len(COLUMNS), "---"])]
    present = {str(row) for row, _ in cells["miou"].columns}
    pairs = [f"{first} - {second}" for first, second in PAIRS]
    rows = [row for row in [*ordered(present - {*pairs}), *pairs] if row in present]
    datasets = [str(dataset) for dataset in results["dataset"].unique()]
    for dataset, row in product(datasets, rows):
        shown = [_shown(cells, dataset, row, column) for column in COLUMNS]
        verdicts = [
            _verdict(_values(cells["miou"], dataset, row, target.column), target)
            for target in TARGETS.get((dataset, row), [])
        ]
        title = " - ".join(look_of(method).name for method in row.split(" - "))
        title += MARK if _used_saliency(results, dataset, row) else ""
        lines.append(_line([dataset, title, *shown, "; ".join(filter(None, verdicts))]))
    seeds = [int(seed) for seed in results["random_seed"].unique()]
    note = NOTE.format(_listed(seeds)) + SALIENCY_NOTE * any(MARK in line for line in lines)
    return "".join(lines) + "\n" + note + _shortfall(datasets, seeds)


def _used_saliency(results: pd.DataFrame, dataset: str, row: str) -> bool:
    if "saliency" not in results:
        return False
    of_row = (results["dataset"] == dataset) & results["method"].isin(row.split(" - "))
    return bool(results.loc[of_row, "saliency"].notna().any())


def _shown(cells: dict[str, pd.DataFrame], dataset: str, row: str, column: str) -> str:
    values, oracle = (_values(table, dataset, row, column) for table in cells.values())
    if values.empty:
        return "-"
    is_difference, digits = " - " in row, 2 if column == RATIO else 1
    text = _mean(values, digits=digits, signed=is_difference)
    if not oracle.empty and column != RATIO:
        text += f" ({_mean(oracle, digits=digits, signed=is_difference)})"
    return text + (f", {(values > 0).sum()} of {len(values)}" if is_difference else "")


def _values(table: pd.DataFrame, dataset: str, row: str, column: str) -> pd.Series:
    if (row, column) not in table.columns:
        return pd.Series(dtype=float)
    return table.loc[dataset, (row, column)].dropna()


def _mean(values: pd.Series, *, digits: int, signed: bool) -> str:
    text = f"{values.mean():{'+' if signed else ''}.{digits}f}"
    return text + (f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else "")


def _verdict(values: pd.Series, target: Target) -> str:
    if values.empty:
        return ""
    mean = float(values.mean())
    is_reached = mean > target.least if target.is_above else mean >= target.least
    verdict = "reached" if is_reached else f"missed by {target.least - mean:.2g}"
    sign = ">" if target.is_above else "≥"
    return f"{COLUMNS[target.column]} {sign} {target.least:g}: {verdict}"


def _shortfall(datasets: list[str], seeds: list[int]) -> str:
    """A note on the part of the protocol that the results lack."""
    missing = [name for name in DATASETS if name not in datasets]
    said = [f"without {_listed(missing)}"] if missing else []
    said += [f"random seeds {_listed(seeds)} instead of {_listed(SEEDS)}"] * (seeds != [*SEEDS])
    return f"\nNot the whole protocol: {'; '.join(said)}.\n" if said else ""


def _listed(values: "list[str] | list[int] | tuple[int, ...]") -> str:
    return ", ".join(str(value) for value in values)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
