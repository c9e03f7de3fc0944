"""Make results/report.html: one page of all results, of an unfinished run as far as it came.

report     draws what is there, describes what it took, and lets Snakemake bind it all in one file
describe   only what it took and where its numbers come from, into results/report/
"""

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
from html import escape
from pathlib import Path

import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from recam.core.errors import UserError
from recam.io.atomic import sha256, write_text
from recam.report import charts

REPORT = Path("results/report.html")
ADDED = Path("results/report")
STEPS = ("train_cam", "train_recam", "make_cams", "train_irn", "make_pseudo", "train_seg")
PACKAGES = (
    *("torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy", "scipy", "pandas"),
    *("scikit-image", "pillow", "matplotlib", "snakemake", "dvc"),
)
NOT_TIMED = 1.0  # seconds; a train_irn that had nothing to train
SHORT = 16  # characters of a checksum that are shown


def main(verb: str) -> None:
    """Do what the verb says. Raises UserError where there is nothing to report yet."""
    with Path("params.yaml").open(encoding="utf-8") as file:
        params = yaml.safe_load(file)
    runs = [
        Path(f"results/seed{seed}/{method}")
        for seed in params["random_seeds"]
        for method in params["methods"]
    ]
    begun = [run for run in runs if any(run.glob("*.pt"))]
    if not begun:
        raise UserError(
            "results: expected the results of a run, found none; run `make run`, then `make report`"
        )
    describe(params)
    if verb == "report":
        draw(params, runs)
        bind()


def describe(params: dict) -> None:
    """Time and memory of every step, and the provenance of all numbers."""
    (ADDED / "cost.png").unlink(missing_ok=True)
    figure = charts.cost(_timings(params))
    if figure is None:
        figure = charts.note("No step was timed: Snakemake times the steps that it runs itself.")
    charts.save(figure, ADDED / "cost.png", caption="Each step of each method, on this machine.")
    write_text(ADDED / "provenance.html", _provenance(params))


def draw(params: dict, runs: list[Path]) -> None:
    """All figures anew, by the step that draws them, from what is there."""
    figures = Path("results/figures")
    folders = ("maps", "pseudo", "segmentation", "curves", "errors")
    picture = Path("results/picture.png")
    command = [sys.executable, "workflow/scripts/draw.py", "--data", "data"]
    command += ["--truth", "data/SegmentationClass", "--runs"]
    command += [str(run / "metrics.json") for run in runs]
    command += ["--picture", str(picture)] if picture.is_file() else []
    command += ["--answer", str(figures / "answer.html"), "--figures"]
    command += [str(figures / folder) for folder in folders]
    command += ["--examples", str(params["draw"]["examples"])]
    if subprocess.run(command, check=False).returncode:
        raise UserError("the figures could not be drawn; the message above says why")


def bind() -> None:
    """Let Snakemake make one file of it."""
    made = REPORT.with_name(".report.html")
    command = [sys.executable, "-m", "snakemake", "--report", str(made)]
    command += ["--report-stylesheet", "workflow/report/style.css"]
    run = subprocess.run([*command, "all", "describe"], check=False, capture_output=True, text=True)
    if run.returncode:
        made.unlink(missing_ok=True)
        raise UserError(f"snakemake made no report: {run.stderr.strip()[-500:]}")
    made.replace(REPORT)
    print(f"{REPORT}: {REPORT.stat().st_size / 1e6:.1f} MB. Open it in a browser, or mail it.")


def _timings(params: dict) -> pd.DataFrame:
    rows = []
    for step in (*STEPS, "evaluate"):
        for seed in params["random_seeds"]:
            for method in params["methods"]:
                file = Path(f"logs/seed{seed}/{method}/{step}.tsv")
                if file.is_file():
                    table = pd.read_csv(file, sep="\t", na_values="-")
                    rows.append((step, method, seed, table["s"].iloc[0], table["max_rss"].iloc[0]))
    columns = ["step", "method", "random_seed", "seconds", "max_rss"]
    timings = pd.DataFrame(rows, columns=columns).dropna()
    return pd.DataFrame(timings[timings["seconds"] > NOT_TIMED])


def _provenance(params: dict) -> str:
    commit = _output("git", "rev-parse", "HEAD") or "not in git"
    changed = _output("git", "status", "--porcelain", "--untracked-files=no")
    code = {"commit": commit, "changed since": changed or "nothing"}
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
    }
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    files = [*sorted(Path("data").glob("*.sha256")), Path("data/labels.csv")]
    data = {str(f): sha256(f) for f in files if f.is_file()}
    results = sorted(Path("results").glob("seed*/*/*.sha256"))
    data |= {f"{f} (SHA-256 of the list)": sha256(f)[:SHORT] for f in results}
    numbers = yaml.safe_dump(params, sort_keys=False, default_flow_style=None, width=100)
    parts = [
        f"<h2>{title}</h2>{_table(rows)}"
        for title, rows in (
            ("Code", code),
            ("Versions", machine | versions),
            ("Data and results", data),
        )
    ]
    style = (
        "body{font:14px/1.5 sans-serif;margin:1rem;color:#222}"
        "table{border-collapse:collapse;display:block;overflow-x:auto}"
        "td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}"
        "td{font-family:monospace;white-space:pre-wrap;word-break:break-all}"
        "pre{overflow-x:auto;background:#f5f5f5;padding:.8rem}"
    )
    page = "".join(parts) + f"<h2>Numbers (params.yaml)</h2><pre>{escape(numbers)}</pre>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Provenance</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head>'
        f"<body>{page}</body></html>\n"
    )


def _table(rows: dict[str, str]) -> str:
    lines = [f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items()]
    return f"<table>{''.join(lines)}</table>"


def _output(*command: str) -> str:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", nargs="?", choices=["report", "describe"], default="report")
    try:
        main(parser.parse_args().verb)
    except UserError as error:
        sys.exit(f"report: {error}")
