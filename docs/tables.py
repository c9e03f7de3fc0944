"""Write the tables of README.md from docs/results, and its graph from the Snakefile."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from recam.report.summary import results_table

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parent / "results"
REPLICATES = 3
REFINERS = {"none": "seed", "pamr": "PAMR", "crf": "CRF", "irn": "IRN", "irn+crf": "IRN + CRF"}
METHODS = {"cam": "CAM", "recam": "ReCAM"}


def filled(text: str) -> str:
    """The README, each table between ``<!-- KIND NAME -->`` and ``<!-- end -->`` made anew."""
    return re.sub(r"<!-- (\w+) (\w+) -->\n.*?<!-- end -->", _table, text, flags=re.DOTALL)


def _table(match: re.Match[str]) -> str:
    kind, name = match.groups()
    return f"<!-- {kind} {name} -->\n\n{TABLES[kind](name)}\n<!-- end -->"


def _results(name: str) -> str:
    metrics = json.loads((RESULTS / name / "metrics.json").read_text(encoding="utf-8"))
    return results_table(metrics, replicates=REPLICATES)


def _refiners(name: str) -> str:
    """MIoU at the given background's score and at the best one, and time."""
    table = pd.read_csv(RESULTS / "refiners" / f"{name}.csv")
    lines = ["| | CAM | ReCAM | ms an image |", "| --- | ---: | ---: | ---: |"]
    for refiner, title in REFINERS.items():
        rows = table.query(f"refiner == {refiner!r} and threshold == 'fixed'")
        cells = []
        for method in METHODS:
            of_method = rows.query(f"method == {method!r}")
            cells.append(f"{_mean(of_method, 'miou')} ({_mean(of_method, 'oracle_miou')})")
        took, training = (_values(rows, column).mean() for column in ("ms", "training_ms"))
        cells.append(f"{took:.0f} + {training:.0f} to train" if training else f"{took:.0f}")
        lines.append(f"| {' | '.join([title, *cells])} |")
    return "\n".join(lines) + "\n"


def _thresholds(name: str) -> str:
    """MIoU at the given background's score, at the one that Yen's criterion finds, at the best."""
    table = pd.read_csv(RESULTS / "refiners" / f"{name}.csv")
    lines = ["| | fixed | yen | best |", "| --- | ---: | ---: | ---: |"]
    for refiner, title in REFINERS.items():
        for method, shown in METHODS.items():
            rows = table.query(f"refiner == {refiner!r} and method == {method!r}")
            cells = [_mean(rows.query(f"threshold == {t!r}"), "miou") for t in ("fixed", "yen")]
            best = rows.groupby("random_seed", as_index=False)["oracle_miou"].max()
            cells.append(_mean(pd.DataFrame(best), "oracle_miou"))
            lines.append(f"| {' | '.join([f'{shown}, {title}', *cells])} |")
    return "\n".join(lines) + "\n"


def _mean(rows: pd.DataFrame, column: str) -> str:
    values = _values(rows, column)
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def _values(rows: pd.DataFrame, column: str) -> np.ndarray:
    return rows[column].to_numpy(np.float64)


def _graph(_: str) -> str:
    """Snakemake's own drawing of the rules, without the edges that others imply."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    drawn = subprocess.run(command, cwd=README.parent, capture_output=True, text=True, check=True)
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", drawn.stdout, re.MULTILINE))
    pairs = re.findall(r"^\s*(id\d+) --> (id\d+)", drawn.stdout, re.MULTILINE)
    after = {
        name: {names[b] for a, b in pairs if names[a] == name} - {"all"} for name in names.values()
    }

    def later(name: str) -> set[str]:
        return after[name].union(*map(later, after[name]))

    lines = [
        f"  {name} --> {other}"
        for name in names.values()
        for other in sorted(after[name])
        if not any(other in later(between) for between in after[name] - {other})
    ]
    return "\n".join(["```mermaid", "flowchart LR", *lines, "```"]) + "\n"


TABLES = {
    "results": _results,
    "refiners": _refiners,
    "thresholds": _thresholds,
    "graph": _graph,
}


def main() -> None:
    """Write the README, or with ``--check`` say whether it is current."""
    text = README.read_text(encoding="utf-8")
    if "--check" not in sys.argv:
        README.write_text(filled(text), encoding="utf-8")
    elif filled(text) != text:
        sys.exit(
            "README.md: its tables are not those of docs/results, or its graph is not the"
            " Snakefile's; run `make readme`"
        )


if __name__ == "__main__":
    main()
