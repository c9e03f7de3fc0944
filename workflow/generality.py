"""One recipe on several data sets, and one table of all results: `make generality`.

Each data set runs in a folder of its own, generality/NAME: a copy of the project's code, and
params.yaml with presets/NAME.yaml, presets/replicates.yaml and nothing else merged into it. A
stopped run continues; a finished one has nothing to do. DVC records nothing there.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from copies import ROOT, chosen, locked, numbers, origin, originals, prepare, recipe, run, runs_of

from recam.core.errors import UserError
from recam.io.atomic import write_text
from recam.report.generality import DATASETS, generality_table
from recam.report.replicates import collected

OUT = Path("generality")


def main(arguments: list[str]) -> str:
    """Run everything that is not done yet, write the CSV and the table, and return the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(DATASETS), help="data sets: shapes,stamps")
    parser.add_argument("--seeds", help="random seeds: 0,1; default: presets/replicates.yaml")
    parser.add_argument("--source", help="folder with a data set's originals: street=FOLDER")
    args = parser.parse_args(arguments)
    seeds = numbers(args.seeds) if args.seeds else None
    sources = originals(args.source, DATASETS) if args.source else {}
    names = chosen(args.only, DATASETS)
    recipes = {name: recipe(name, seeds=seeds, source=sources.get(name)) for name in names}
    tables: list[pd.DataFrame] = []
    out = ROOT / OUT
    with locked(out) as lock:
        made_from = origin()
        for name, params in recipes.items():  # all copies first: one recipe, whatever is edited
            prepare(out / name, params)
        for number, (name, params) in enumerate(recipes.items(), start=1):
            print(f"{name}: {OUT / name}, data set {number} of {len(recipes)}", flush=True)
            run(out / name, lock)
            write_text(out / name / "origin.json", json.dumps(made_from, indent=2) + "\n")
            tables.append(collected(name, runs_of(out / name, params)))
        results = pd.concat(tables)
        write_text(out / "results.csv", results.to_csv(index=False))
        write_text(out / "table.md", generality_table(results))
    return (out / "table.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]), end="")
    except UserError as error:
        sys.exit(str(error))
