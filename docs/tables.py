"""Write the tables between markers in README.md and docs/, from docs/results and the Snakefile.

``<!-- KIND NAME -->`` and ``<!-- end -->`` stand around each table; ``TABLES`` has the kinds.
``generality`` and ``variants`` need no name.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from graph import GRAPH, drawn
from parameters import parameters_table

from recam.report.details import metrics_of
from recam.report.generality import generality_table
from recam.report.methods import STAGES
from recam.report.signs import SIGNS
from recam.report.style import look_of
from recam.report.summary import Metrics, results_table, table_of
from recam.report.variants import variants_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
REFINERS = {"none": "unrefined", "pamr": "PAMR", "crf": "CRF", "irn": "IRN", "irn+crf": "IRN + CRF"}
AFFINITY = {"none": "unrefined", "affinity": "affinity", "crf": "CRF", "affinity+crf": "both"}
METHODS = {"cam": "CAM", "recam": "ReCAM"}
NUMBERS = {"miou": "mIoU, %", "oracle_miou": "mIoU at the oracle threshold, %"}
ORIGIN = ["seeds", "commit", "command", "time", "memory"]
NOT_RECORDED = "not recorded"
VARIANTS = "mIoU of each CAM variant alone, with longer training, and with ReCAM"


def pages() -> list[Path]:
    """README and the pages of docs/, in which tables may stand."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def filled(text: str) -> str:
    """The text with every table between markers written anew."""
    head = r"<!-- ((?!end)\w+)(?: ([\w-]+))? -->"
    return re.sub(rf"{head}\n.*?<!-- end -->", _table, text, flags=re.DOTALL)


def _table(match: re.Match[str]) -> str:
    kind, name = match.groups()
    head = match[0].splitlines()[0]
    return f"{head}\n\n{TABLES[kind](name or kind)}\n<!-- end -->"


def _results(name: str) -> str:
    return results_table(_metrics(name), replicates=len(_run(name)["random_seeds"]))


def _datasets(names: str) -> str:
    """The tables of several runs in one, without the names of splits; NAMES are joined by -."""
    rows: list[list[str]] = []
    for name in names.split("-"):
        table = table_of(_metrics(name), replicates=len(_run(name)["random_seeds"]))
        rows += [[name, *row] for row in table.rows]
    return _markdown([["data set", "mIoU, %", *STAGES.values(), "of supervised"], *rows])


def _printed(name: str) -> str:
    """The table as a run prints it."""
    return f"```text\n{_results(name)}```\n"


def _metrics(name: str) -> Metrics:
    return metrics_of(RESULTS / name / "details.csv")


def _run(name: str) -> dict:
    return json.loads((RESULTS / name / "run.json").read_text(encoding="utf-8"))


def _refiners(name: str) -> str:
    """MIoU at the given background score and at the oracle threshold, and time."""
    table = pd.read_csv(RESULTS / "refiners" / f"{name}.csv")
    rows = [["", "CAM", "ReCAM", "ms per image"]]
    for refiner, title in REFINERS.items():
        fixed = table.query(f"refiner == {refiner!r} and threshold == 'fixed'")
        cells = []
        for method in METHODS:
            of_method = fixed.query(f"method == {method!r}")
            cells.append(f"{_mean(of_method, 'miou')} ({_mean(of_method, 'oracle_miou')})")
        took, training = (_values(fixed, column).mean() for column in ("ms", "training_ms"))
        cells.append(f"{took:.0f} + {training:.0f} to train" if training else f"{took:.0f}")
        rows.append([title, *cells])
    return _markdown(rows)


def _thresholds(name: str) -> str:
    """MIoU at the given background score, at that of Yen's criterion, and at the oracle's."""
    table = pd.read_csv(RESULTS / "refiners" / f"{name}.csv")
    rows = [["", "fixed", "yen", "oracle"]]
    for refiner, title in REFINERS.items():
        for method, shown in METHODS.items():
            of_both = table.query(f"refiner == {refiner!r} and method == {method!r}")
            cells = [_mean(of_both.query(f"threshold == {t!r}"), "miou") for t in ("fixed", "yen")]
            best = of_both.groupby("random_seed", as_index=False)["oracle_miou"].max()
            rows.append([f"{shown}, {title}", *cells, _mean(pd.DataFrame(best), "oracle_miou")])
    return _markdown(rows)


def _affinity(names: str) -> str:
    """MIoU at the found background score and at the oracle threshold, with and without affinity."""
    rows = [["", *AFFINITY.values()]]
    for name in names.split("-"):
        table = pd.read_csv(RESULTS / "refiners" / f"affinity_{name}.csv")
        for method, shown in METHODS.items():
            of_method = table[table["method"] == method].set_index("refiner")
            found = of_method.loc[list(AFFINITY), ["miou", "oracle_miou"]].to_numpy(np.float64)
            cells = [f"{miou:.1f} ({oracle:.1f})" for miou, oracle in found]
            rows.append([f"`{name}`, {shown}", *cells])
    return _markdown(rows)


def _rows(name: str) -> str:
    """A row for every number of a run: value, seeds, commit, command, time, memory."""
    return _with_origin(_run_numbers(name), _run(name))


def _refiner_rows(name: str) -> str:
    """A row for every number of the tables of refiners and thresholds."""
    path = RESULTS / "refiners" / f"{name}.json"
    return _with_origin(_refiner_numbers(name), json.loads(path.read_text(encoding="utf-8")))


def _generality(name: str) -> str:
    """The table of several data sets, and its origin."""
    path = RESULTS / name / "results.csv"
    if not path.is_file():
        return f"The results are {NOT_RECORDED}.\n"
    origin = _markdown([ORIGIN, _origin(_run(name))])
    return f"{generality_table(pd.read_csv(path))}\n{origin}"


def _variants(_: str) -> str:
    """The figure and the table of CAM variants, and their origin."""
    folder = RESULTS / "variants"
    if not folder.is_dir():
        return f"The results are {NOT_RECORDED}.\n"
    results, cost = (pd.read_csv(folder / f"{name}.csv") for name in ("results", "cost"))
    origin = _markdown([ORIGIN, _origin(_run("variants"))])
    return f"![{VARIANTS}](pictures/variants.png)\n\n{variants_table(results, cost)}\n{origin}"


def _with_origin(numbers: list[tuple[str, str]], run: dict) -> str:
    head = ["number", "value", *ORIGIN]
    return _markdown([head, *([title, value, *_origin(run)] for title, value in numbers)])


def _origin(run: dict) -> list[str]:
    seconds, peak = run.get("wall_s"), run.get("peak_mib")
    return [
        ", ".join(str(seed) for seed in run["random_seeds"]),
        f"`{run['commit'][:7]}`",
        f"`{run['command']}`",
        f"{seconds / 60:,.0f} min" if seconds else NOT_RECORDED,
        f"{peak / 1024:.1f} GiB" if peak else NOT_RECORDED,
    ]


def _run_numbers(name: str) -> list[tuple[str, str]]:
    is_replicated = len(_run(name)["random_seeds"]) > 1
    found = []
    for stage, methods in _metrics(name).items():
        for method, values in methods.items():
            for key, words in {**NUMBERS, "ratio_to_supervised": "of supervised"}.items():
                if key in values:
                    digits = 2 if key.startswith("ratio") else 1
                    value = f"{values[key]:.{digits}f}"
                    value += f" ± {values[f'{key}_std']:.{digits}f}" if is_replicated else ""
                    place = f"{STAGES[stage]} ({values['split']})"
                    found.append((f"{look_of(method).name}, {place}, {words}", value))
    return found


def _refiner_numbers(name: str) -> list[tuple[str, str]]:
    table = pd.read_csv(RESULTS / "refiners" / f"{name}.csv")
    found = []
    for keys, rows in table.groupby(["refiner", "method", "threshold"], sort=False):
        refiner, method, threshold = (str(key) for key in keys)  # pyright: ignore
        title = f"{METHODS[method]}, {REFINERS[refiner]}, {threshold}"
        found += [(f"{title}, {words}", _mean(rows, key)) for key, words in NUMBERS.items()]
    return found


def _steps(name: str) -> str:
    """Time and memory of every step, the mean over random seeds."""
    table = pd.DataFrame(_run(name)["steps"])
    rows = [["step", "method", "s", "peak, MiB"]]
    for keys, timed in table.groupby(["step", "method"], sort=False):
        step, method = (str(key) for key in keys)  # pyright: ignore
        seconds, peak = (_values(timed, column) for column in ("s", "max_rss_mib"))
        cells = [f"{seconds.mean():.0f}", f"{peak.max():,.0f}"]
        rows.append([f"`{step}`", look_of(method).name, *cells])
    return _markdown(rows)


def _signs() -> str:
    """The limits of every sign."""
    rows = [[sign.title, sign.green, sign.red] for sign in SIGNS.values()]
    return _markdown([["sign, %", "ok", "bad"], *rows])


def _mean(rows: pd.DataFrame, column: str) -> str:
    values = _values(rows, column)
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def _values(rows: pd.DataFrame, column: str) -> np.ndarray:
    return rows[column].to_numpy(np.float64)


def _markdown(rows: list[list[str]]) -> str:
    """A table whose first row is its head; all columns but those of words are to the right."""
    is_number = [all(re.match(r"[\d-]", row[i]) for row in rows[1:]) for i in range(len(rows[0]))]
    rule = ["---:" if right else "---" for right in is_number]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [rows[0], rule, *rows[1:]])


TABLES = {
    "results": _results,
    "datasets": _datasets,
    "printed": _printed,
    "refiners": _refiners,
    "thresholds": _thresholds,
    "affinity": _affinity,
    "rows": _rows,
    "refiner_rows": _refiner_rows,
    "steps": _steps,
    "generality": _generality,
    "variants": _variants,
    "signs": lambda _: _signs(),
    "parameters": lambda _: parameters_table(),
}


def current() -> dict[Path, str]:
    """Every page with its tables, and the drawing of the graph, as they should be."""
    texts = {page: filled(page.read_text(encoding="utf-8")) for page in pages()}
    return texts | {GRAPH: drawn()}


def main() -> None:
    """Write all tables, or with ``--check`` fail where one is out of date."""
    changed = {
        path: text
        for path, text in current().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    if "--check" not in sys.argv:
        for path, text in changed.items():
            path.write_text(text, encoding="utf-8")
    elif changed:
        names = ", ".join(str(path.relative_to(ROOT)) for path in changed)
        sys.exit(f"{names}: tables or graph are out of date; run `make tables`")


if __name__ == "__main__":
    main()
