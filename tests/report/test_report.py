"""The report: its contents, and its messages about missing and unfinished runs."""

import re
import shutil
from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from experiment import ROOT, command
from jinja2 import Environment

from recam.report.page.experiment import FIGURES
from recam.report.style import LOOKS

DESCRIBED = {"Cost", "Provenance"}
CATEGORIES = {"Maps", "Pseudo masks", "Segmentation", "Curves", "Errors"} | DESCRIBED

DRAWN = "results/report/figures"


def report(folder):
    """Make the report in that folder."""
    return command(folder, "python", "workflow/report.py")


@pytest.mark.slow
def test_a_report_is_one_file_with_the_table_the_figures_and_where_they_come_from(tree):
    run = report(tree)
    assert run.returncode == 0, run.stdout
    assert re.fullmatch(
        r"results/report.html: [0-9.]+ MB. Open it in a browser, or mail it.\n", run.stdout
    )
    page = (tree / "results/report.html").read_text()
    assert len(page) < 15e6
    results, lights = (tree / "results/summary.md").read_text().split("\n**Can these masks be")
    rows = [line for line in results.splitlines() if line.startswith("|")]
    for row in rows[2:]:
        for cell in row.strip("| ").split(" | "):
            assert re.search(f"<t[dh][^>]*>{re.escape(cell)}</t[dh]>", page), cell
    for sign, _, *cells in re.findall(r"\| (.+?) +\| (.+?) +\|(.*)", lights)[2:]:
        assert sign.replace("'", "&#39;") in page
        assert all(cell.strip() in page for cell in "".join(cells).strip("| ").split("|"))
    assert "One random seed" in page
    assert "The control was not run" in page
    assert not re.search(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']http""", page)
    assert "lr_reclassifier" in page
    assert command(tree, "git", "rev-parse", "HEAD").stdout.strip() in page
    assert '<section id="explorer"' in page
    assert page.count("<img src=") == len(list((tree / "results/figures").glob("*/*.*g"))) + 2
    assert not (tree / DRAWN).exists()  # the figures of the step draw are up to date
    assert "Minutes of a step" in page


@pytest.mark.slow
def test_a_report_of_an_unfinished_run_says_what_is_missing_and_shows_the_rest(tree):
    run = tree / "results/seed0/recam"
    for name in ("metrics.json", "segmenter.pt"):
        (run / name).unlink()
    shutil.rmtree(run / "predictions")
    shutil.rmtree(tree / "results/figures")
    (tree / "results/picture.png").unlink()
    made = report(tree)
    assert made.returncode == 0, made.stdout
    page = (tree / "results/report.html").read_text()
    assert "Unknown:" in page
    assert "Unfinished: ReCAM, random seed 0, lacks segmenter, evaluation;" in page
    rows = re.findall(r'<tr><th scope="row">([^<]+)</th>\s+<td>[^<]+</td>\s+<td>', page)
    assert {LOOKS[method].name for method in ("cam", "supervised")} <= set(rows)
    assert LOOKS["recam"].name not in rows
    assert not (tree / "results/figures").exists()  # outputs of steps are left to them
    assert {folder.name for folder in (tree / DRAWN).iterdir()} == {*FIGURES}


@pytest.mark.slow
def test_the_viewer_of_snakemake_still_binds_all_figures(tree):
    assert command(tree, "python", "workflow/report.py", "describe").returncode == 0
    run = command(tree, "snakemake", "--report", "viewer.html", "all", "describe")
    assert run.returncode == 0, run.stdout
    page = (tree / "viewer.html").read_text()
    categories = re.search(r"var categories = (.*);", page).group(1)
    assert set(re.findall(r'"([^"]+)": \{"Other"', categories)) == CATEGORIES
    assert "Unknown target name" not in page


@pytest.mark.parametrize(
    "present", [CATEGORIES, CATEGORIES - DESCRIBED, CATEGORIES - {"Errors"}, set()]
)
def test_the_first_page_of_the_viewer_links_only_pages_that_are_there(
    tmp_path, monkeypatch, present
):
    (tmp_path / "results/figures").mkdir(parents=True)
    (tmp_path / "results/figures/answer.html").write_text("<p>the answer</p>")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "workflow/report/first_page.rst").read_text()
    categories = [SimpleNamespace(name=name) for name in sorted(present)]
    targets = "".join(f"\n.. _{name}: javascript:show" for name in sorted(present))
    rst = Environment(autoescape=False).from_string(text).render(categories=categories)  # noqa: S701
    html = publish_parts(f"{rst}\n{targets}\n", writer="html").get("html_body", "")
    assert "<p>the answer</p>" in html
    assert "system-message" not in html
    assert set(re.findall(r'<a class="reference external"[^>]*>([^<]+)<', html)) == present


def test_a_report_before_any_run_says_what_to_do(tree):
    shutil.rmtree(tree / "results")
    run = report(tree)
    assert run.returncode == 1
    assert run.stdout == (
        "report: results: expected the results of a run, found none; run `make run`, then "
        "`make report`\n"
    )
