"""The report: its contents, and its messages about missing and unfinished runs."""

import re
import shutil
import sys

import pytest
from experiment import command

from recam.report.style import LOOKS

CATEGORIES = {"Maps", "Pseudo masks", "Segmentation", "Curves", "Errors", "Cost", "Provenance"}


def report(folder):
    """Make the report in that folder."""
    return command(folder, sys.executable, "workflow/report.py")


@pytest.mark.slow
def test_a_report_is_one_file_with_the_table_the_figures_and_where_they_come_from(tree):
    run = report(tree)
    assert run.returncode == 0, run.stdout
    page = (tree / "results/report.html").read_text()
    assert len(page) < 15e6
    categories = re.search(r"var categories = (.*);", page).group(1)
    assert set(re.findall(r'"([^"]+)": \{"Other"', categories)) == CATEGORIES
    results, lights = (tree / "results/summary.md").read_text().split("\n**Can these masks be")
    rows = [line for line in results.splitlines() if line.startswith("|")]
    for row in rows[2:]:
        for cell in row.strip("| ").split(" | "):
            assert re.search(f"<t[dh]>{re.escape(cell)}</t[dh]>", page), cell
    page = page.replace(r"\u2713", "✓").replace(r"\u2717", "✗")  # Snakemake embeds pages as JSON
    for sign, _, *cells in re.findall(r"\| (.+?) +\| (.+?) +\|(.*)", lights)[2:]:
        assert sign in page
        assert all(cell.strip() in page for cell in "".join(cells).strip("| ").split("|"))
    assert "One random seed" in page
    assert "The control was not run" in page
    loaded = re.findall(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=\\?["']http""", page)
    assert not loaded  # nothing comes from a network
    provenance = (tree / "results/report/provenance.html").read_text()
    assert "lr_reclassifier" in provenance
    head = command(tree, "git", "rev-parse", "HEAD").stdout.strip()
    assert head in provenance
    assert "Traceback" not in run.stdout


@pytest.mark.slow
def test_a_report_of_an_unfinished_run_says_what_is_missing_and_shows_the_rest(tree):
    run = tree / "results/seed0/recam"
    for name in ("metrics.json", "segmenter.pt"):
        (run / name).unlink()
    shutil.rmtree(run / "predictions")
    (tree / "results/picture.png").unlink()
    made = report(tree)
    assert made.returncode == 0, made.stdout
    answer = (tree / "results/figures/answer.html").read_text()
    assert "Unfinished: ReCAM, random seed 0, lacks segmenter, evaluation;" in answer
    rows = re.findall(r"<tr><th>([^<]+)</th><td>", answer)
    assert rows == [LOOKS[method].name for method in ("cam", "supervised")]
    assert (tree / "results/figures/maps").is_dir()


def test_a_report_before_any_run_says_what_to_do(tree):
    shutil.rmtree(tree / "results")
    run = report(tree)
    assert run.returncode == 1
    assert run.stdout == (
        "report: results: expected the results of a run, found none; run `make run`, then "
        "`make report`\n"
    )
