"""The results of all runs in one table: mean and standard deviation over replicates."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pandas as pd

from recam.io.records import read_metrics
from recam.io.result_tables import read_table
from recam.report.methods import STAGES, learned_saliency, ordered, parts_of
from recam.report.style import look_of

NOTHING_SCORED = (
    "Nothing was scored: the data set has no ground truth. Pseudo masks are in "
    "`results/seed*/METHOD/pseudo`, predictions in `results/seed*/METHOD/predictions`."
)

LOCALISATION = {
    "pointing": "Pointing game",
    "box_accuracy": "Box accuracy (MaxBoxAccV2)",
    "insertion": "Insertion (higher is better)",
    "deletion": "Deletion (lower is better)",
}
MARK = " †"  # of a method whose classifier or masks used saliency maps
LEARNED = "learned"  # source of saliency maps: those of `folder`, in the training of a classifier
SALIENCY = {
    LEARNED: "classifiers learned from given maps of saliency",
    "folder": "masks are background where given maps of saliency are low",
    "ccam": "masks are background where CCAM's maps, learned without labels, are low",
}

Metrics = dict[str, dict[str, dict[str, float | str]]]  # stage, method, name


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One replicate of one method, identified by its folder ``.../seed{seed}/{method}``."""

    folder: Path

    @property
    def method(self) -> str:
        """The name of the method, such as cam, recam-lpcam or supervised."""
        return self.folder.name

    @property
    def classifier(self) -> "Run":
        """The run whose classifier this one reads: another one, if methods share a classifier."""
        return Run(folder=self.folder.with_name(parts_of(self.method).classifier))

    @property
    def random_seed(self) -> int:
        """The random seed of the replicate."""
        return int(self.folder.parent.name.removeprefix("seed"))

    def metrics(self) -> dict[str, dict[str, float | str]]:
        """Metrics by stage. Raises UserError where its file is missing or damaged."""
        return read_metrics(self.folder / "metrics.json")


def gathered_metrics(runs: list[Run]) -> Metrics:
    """The results contract: by stage and method, the mean of every number over the replicates.

    ``miou_std`` is the sample standard deviation over the replicates (0 for a single one).
    ``images`` of ``of`` images of a split were scored, the same in every replicate. With the upper
    bound, ``seg`` has ``ratio_to_supervised``: the fraction of the supervised mIoU that a method
    reaches, computed for each random seed.
    """
    found: dict[tuple[str, str], list[dict[str, float | str]]] = defaultdict(list)
    bounds = {run.random_seed: run.metrics()["seg"] for run in runs if run.method == "supervised"}
    for run in runs:
        values = _with_ratio(run.metrics(), bounds.get(run.random_seed))
        for stage, numbers in values.items():
            found[stage, run.method].append(numbers)
    gathered: Metrics = {stage: {} for stage in STAGES}
    for (stage, method), replicates in found.items():
        gathered[stage][method] = _over_replicates(pd.DataFrame(replicates))
    return gathered


def evaluated(runs: list[Run]) -> list[Run]:
    """The runs that have metrics."""
    return [run for run in runs if (run.folder / "metrics.json").is_file()]


def gathered_table(runs: list[Run], name: str) -> pd.DataFrame:
    """A CSV of all runs concatenated, with the columns random_seed and method in front.

    If no CSV has rows, for lack of ground truth, the table has the columns and no rows.
    """
    tables = []
    for run in runs:
        table = read_table(run.folder / name)
        table.insert(0, "random_seed", run.random_seed)
        table.insert(1, "method", run.method)
        tables.append(table)
    return pd.concat([table for table in tables if len(table)] or tables[:1])


def gathered_curves(runs: list[Run]) -> pd.DataFrame:
    """Losses by epoch of all classifiers, IRNs and segmenters, with a column ``network``.

    A classifier that several runs share is listed once, as that of its own method. Networks that
    are not trained yet are left out.
    """
    tables = []
    networks = {"classifier": [run.classifier for run in runs], "irn": runs, "segmenter": runs}
    for network, owners in networks.items():
        trained = [
            run for run in dict.fromkeys(owners) if (run.folder / f"{network}_curve.csv").is_file()
        ]
        if trained:
            table = gathered_table(trained, f"{network}_curve.csv")
            table.insert(2, "network", network)
            tables.append(table)
    columns = ["random_seed", "method", "network", "epoch", "loss", "value"]
    begun = [table for table in tables if len(table)]
    return pd.concat(begun) if begun else pd.DataFrame(columns=columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The table of results as text: a head, a row for each method, and notes below."""

    head: list[str]
    rows: list[list[str]]
    notes: list[str]


def table_of(metrics: Metrics, *, replicates: int) -> Table:
    """MIoU at the threshold used, in brackets at the oracle threshold.

    A note gives the number of scored images if some have no ground truth. Methods that used
    saliency maps have a mark, which a note explains.
    """
    present = ordered(method for stage in metrics.values() for method in stage)
    splits = {stage: next(iter(v.values()))["split"] for stage, v in metrics.items() if v}
    head = ["mIoU, %", *(f"{STAGES[stage]} ({split})" for stage, split in splits.items())]
    has_ratio = any("ratio_to_supervised" in values for values in metrics["seg"].values())
    rows = []
    for method in present:
        cells = [_cell(metrics[stage].get(method), replicates=replicates) for stage in splits]
        if has_ratio:
            cells.append(_ratio(metrics["seg"].get(method, {}), replicates=replicates))
        mark = MARK if saliency_of(metrics, method) else ""
        rows.append([f"{look_of(method).name}{mark}", *cells])
    notes = [*_notes(metrics), *_saliency_notes(metrics)]
    return Table(head=head + ["of supervised"] * has_ratio, rows=rows, notes=notes)


def results_table(metrics: Metrics, *, replicates: int) -> str:
    """The table in Markdown; see ``table_of``."""
    table = table_of(metrics, replicates=replicates)
    lines = [_row(table.head), _row(["---"] + ["---:"] * (len(table.head) - 1))]
    lines += [_row(cells) for cells in table.rows]
    return "".join(lines + [f"\n{note}\n" for note in table.notes])


def saliency_of(metrics: Metrics, method: str) -> list[str]:
    """The sources of the saliency maps that a method's classifier and masks used."""
    sources = [str(methods.get(method, {}).get("saliency", "")) for methods in metrics.values()]
    learned = [LEARNED] * learned_saliency(method)
    return list(dict.fromkeys([*learned, *filter(None, sources)]))


def miou_lines(metrics: Metrics) -> list[str]:
    """A line of log for each scored stage, with the mIoU of each method."""
    lines: list[str] = []
    for stage, methods in metrics.items():
        mious = [f"{look_of(m).name} {v['miou']:.1f}" for m, v in methods.items() if "miou" in v]
        if mious:
            lines.append(f"mIoU of {STAGES[stage]}: {', '.join(mious)}")
    return lines


def _notes(metrics: Metrics) -> list[str]:
    stages = [values for methods in metrics.values() for values in methods.values()]
    localisation = _localisation(metrics["cams"])
    if stages and not any("miou" in values for values in stages):
        return localisation or [NOTHING_SCORED]
    notes = [
        f"Scored on {values['images']} of {values['of']} images of {values['split']}; "
        "the others have no ground truth."
        for values in stages
        if 0 < int(values.get("images", 0)) < int(values["of"])
    ]
    return [*dict.fromkeys(notes), *localisation]  # once for each split


def _localisation(cams: dict[str, dict[str, float | str]]) -> list[str]:
    """A sentence for each localisation score of the maps, with the value of each method."""
    return [
        f"{words} of cams, %: {', '.join(values)}."
        for name, words in LOCALISATION.items()
        if (values := [f"{look_of(m).name} {v[name]:.1f}" for m, v in cams.items() if name in v])
    ]


def _saliency_notes(metrics: Metrics) -> list[str]:
    """A note for each source of saliency maps."""
    methods = {method: None for stage in metrics.values() for method in stage}
    sources = dict.fromkeys(source for m in methods for source in saliency_of(metrics, m))
    return [f"{MARK.strip()} used saliency maps: {SALIENCY[source]}." for source in sources]


def _with_ratio(
    stages: dict[str, dict[str, float | str]], bound: dict[str, float | str] | None
) -> dict[str, dict[str, float | str]]:
    """The metrics of a run, with the ratio of its segmenter's mIoU to the supervised one."""
    miou, most = (values.get("miou") for values in (stages["seg"], bound or {}))
    if not isinstance(miou, float) or not isinstance(most, float) or not most:
        return stages
    return stages | {"seg": stages["seg"] | {"ratio_to_supervised": miou / most}}


def _over_replicates(replicates: pd.DataFrame) -> dict[str, float | str]:
    numbers = replicates.select_dtypes("number")
    words = [name for name in ("split", "saliency") if name in replicates]
    values: dict[str, float | str] = {name: str(replicates[name].iloc[0]) for name in words}
    for name, column in numbers.items():  # cast: pandas types a mean as possibly a column
        mean = float(cast(float, column.mean()))
        values[str(name)] = int(mean) if name in {"images", "of"} else round(mean, 4)
        if name in {"miou", "oracle_miou", "ratio_to_supervised"}:
            deviation = cast(float, column.std(ddof=1)) if len(column) > 1 else 0
            values[f"{name}_std"] = round(float(deviation), 4)
    return values


def _cell(values: dict[str, float | str] | None, *, replicates: int) -> str:
    if values is None:
        return "-"
    if "miou" not in values:
        return "no ground truth"
    shown = [
        _with_deviation(values, name, replicates)
        for name in ("miou", "oracle_miou")
        if name in values
    ]
    return shown[0] if len(shown) == 1 else f"{shown[0]} ({shown[1]})"


def _ratio(values: dict[str, float | str], *, replicates: int) -> str:
    name = "ratio_to_supervised"
    return _with_deviation(values, name, replicates) if name in values else "-"


def _with_deviation(values: dict[str, float | str], name: str, replicates: int) -> str:
    digits = ".2f" if name == "ratio_to_supervised" else ".1f"
    shown = [format(values[n], digits) for n in (name, f"{name}_std")]
    return shown[0] if replicates == 1 else " ± ".join(shown)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
