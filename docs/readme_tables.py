"""Write the results tables of README.md from docs/results: numbers are never typed."""

import json
import re
import sys
from pathlib import Path

from recam.summary import results_table

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parent / "results"
REPLICATES = 3


def filled(text: str) -> str:
    """The README, each table between ``<!-- results NAME -->`` and ``<!-- end -->`` made anew."""
    return re.sub(r"<!-- results (\w+) -->\n.*?<!-- end -->", _table, text, flags=re.DOTALL)


def _table(match: re.Match[str]) -> str:
    name = match.group(1)
    metrics = json.loads((RESULTS / name / "metrics.json").read_text(encoding="utf-8"))
    table = results_table(metrics, replicates=REPLICATES)
    return f"<!-- results {name} -->\n\n{table}\n<!-- end -->"


def main() -> None:
    """Write the README, or with ``--check`` say whether it is current."""
    text = README.read_text(encoding="utf-8")
    if "--check" not in sys.argv:
        README.write_text(filled(text), encoding="utf-8")
    elif filled(text) != text:
        sys.exit("README.md: its tables are not those of docs/results; run `make readme`")


if __name__ == "__main__":
    main()
