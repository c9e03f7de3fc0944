"""One table for one recipe on several data sets: means, paired differences, targets."""

from itertools import product

import pandas as pd

from recam.report.methods import STAGES, learned_saliency, ordered
from recam.report.replicates import (
    ABSENT,
    Target,
    by_method_and_stage,
    listed,
    markdown,
    mean_text,
    of_dataset,
    shortfall,
)
from recam.report.style import look_of
from recam.report.summary import MARK

DATASETS, SEEDS = ("shapes", "stamps", "street"), (0, 1, 2)  # of the whole protocol
PAIRS = (("recam", "control"), ("recam", "cam"))
RATIO = "ratio"  # to the supervised mIoU of the same random seed
COLUMNS = STAGES | {RATIO: "of supervised"}
NOTE = (
    "Mean ± sample standard deviation over random seeds {}; in brackets at the oracle threshold. "
    "A difference is taken between runs of the same random seed; `2 of 3` means that it is above 0 "
    "for 2 of 3 random seeds.\n"
)
SALIENCY_NOTE = f"\n{MARK.strip()} used saliency maps.\n"
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


def by_seed(results: pd.DataFrame, number: str = "miou") -> pd.DataFrame:
    """Every cell of the table before the mean: a row for each data set and random seed.

    Columns are pairs: a method or ``recam - control``, and a stage or ``ratio``.
    """
    table = by_method_and_stage(results, number)
    found = {(str(method), str(stage)): table[method, stage] for method, stage in table.columns}
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
    present = {str(row) for row, _ in cells["miou"].columns}
    pairs = [f"{first} - {second}" for first, second in PAIRS]
    rows = [row for row in [*ordered(present - {*pairs}), *pairs] if row in present]
    lines: list[list[str]] = []
    for dataset, row in product([str(name) for name in results["dataset"].unique()], rows):
        shown = [_shown(cells, dataset, row, column) for column in COLUMNS]
        verdicts = [
            _verdict(of_dataset(cells["miou"], dataset, (row, target.column)), target)
            for target in TARGETS.get((dataset, row), [])
        ]
        title = " - ".join(look_of(method).name for method in row.split(" - "))
        title += MARK if _used_saliency(results, dataset, row) else ""
        lines.append([dataset, title, *shown, "; ".join(filter(None, verdicts))])
    table = markdown(head, lines, left=[0, 1, len(head) - 1])
    seeds = listed([int(seed) for seed in results["random_seed"].unique()])
    marked = SALIENCY_NOTE * any(MARK in line[1] for line in lines)
    return f"{table}\n{NOTE.format(seeds)}{marked}{shortfall(results, DATASETS, SEEDS)}"


def _used_saliency(results: pd.DataFrame, dataset: str, row: str) -> bool:
    methods = row.split(" - ")
    if any(learned_saliency(method) for method in methods):
        return True
    if "saliency" not in results:
        return False
    of_row = (results["dataset"] == dataset) & results["method"].isin(methods)
    return bool(results.loc[of_row, "saliency"].notna().any())


def _shown(cells: dict[str, pd.DataFrame], dataset: str, row: str, column: str) -> str:
    values, oracle = (of_dataset(table, dataset, (row, column)) for table in cells.values())
    if values.empty:
        return ABSENT
    is_difference, digits = " - " in row, 2 if column == RATIO else 1
    text = mean_text(values, digits=digits, signed=is_difference)
    if not oracle.empty and column != RATIO:
        text += f" ({mean_text(oracle, digits=digits, signed=is_difference)})"
    return text + (f", {(values > 0).sum()} of {len(values)}" if is_difference else "")


def _verdict(values: pd.Series, target: Target) -> str:
    if values.empty:
        return ""
    return f"{COLUMNS[target.column]} {target.limit}: {target.verdict(values)}"
