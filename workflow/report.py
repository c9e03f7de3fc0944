"""Make results/report.html: one page of all results, also of an unfinished run.

report     redraws all figures, describes cost and provenance, and lets Snakemake bind them
describe   writes cost and provenance only, into results/report/
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from jobs import GraphError, InexpressibleError, load_jobs

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from recam.core.errors import UserError
from recam.io.atomic import write_text
from recam.report import charts
from recam.report.provenance import provenance, timings

REPORT = Path("results/report.html")
ADDED = Path("results/report")
UNTIMED = "No step was timed: Snakemake times only the steps that it runs itself."


def main(verb: str) -> None:
    """Run the verb. Raises UserError if there are no results yet."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    runs = [
        Path(f"results/seed{seed}/{method}")
        for seed in params["random_seeds"]
        for method in params["methods"]
    ]
    if not any(file for run in runs for file in run.glob("*.pt")):
        raise UserError(
            "results: expected the results of a run, found none; run `make run`, then `make report`"
        )
    describe(params)
    if verb == "report":
        draw()
        bind()


def describe(params: dict[str, Any]) -> None:
    """Write the chart of time and memory by step, and the provenance of all numbers."""
    (ADDED / "cost.png").unlink(missing_ok=True)
    steps = timings(Path("logs"), random_seeds=params["random_seeds"], methods=params["methods"])
    figure = charts.cost(steps) or charts.note(UNTIMED)
    charts.save(figure, ADDED / "cost.png", caption="Each step of each method, on this machine.")
    changed = _output("git", "status", "--porcelain", "--untracked-files=no")
    code = {
        "commit": _output("git", "rev-parse", "HEAD") or "not in git",
        "uncommitted changes": changed or "none",
    }
    page = provenance(params, code=code, data=Path("data"), results=Path("results"))
    write_text(ADDED / "provenance.html", page)


def draw() -> None:
    """Redraw all figures with the command line of the rule `draw`, also of an unfinished run."""
    try:
        jobs, _ = load_jobs()
    except (GraphError, InexpressibleError) as error:
        raise UserError(f"{error}") from None
    (job,) = [job for job in jobs if job.rule == "draw"]
    command = job.command
    for name, value in job.params.items():
        command = command.replace(f"${{{name}}}", str(value))
    _, *words = shlex.split(command)  # python
    if subprocess.run([sys.executable, *words], check=False).returncode:
        raise UserError("the figures could not be drawn; see the message above")


def bind() -> None:
    """Write all figures and tables into one file with Snakemake."""
    made = REPORT.with_name(".report.html")
    command = [sys.executable, "-m", "snakemake", "--report", str(made)]
    command += ["--report-stylesheet", "workflow/report/style.css"]
    run = subprocess.run([*command, "all", "describe"], check=False, capture_output=True, text=True)
    if run.returncode:
        made.unlink(missing_ok=True)
        raise UserError(f"snakemake made no report: {run.stderr.strip()[-500:]}")
    made.replace(REPORT)
    print(f"{REPORT}: {REPORT.stat().st_size / 1e6:.1f} MB. Open it in a browser, or mail it.")


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
