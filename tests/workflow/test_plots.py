"""DVC's plots as a page that draws without network."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from experiment import ROOT, command, commit, dvc

CHROMIUM = Path("/usr/bin/chromium")
PLOTS = ROOT / "workflow/plots.py"
MARKS = """[...document.querySelectorAll('svg.marks')].map(drawing =>
  [...drawing.querySelectorAll('g[class*=\"role-mark\"] path')].filter(mark =>
    mark.getBoundingClientRect().width > 0).length)"""  # visible marks in each drawing
TABLES = ("thresholds", "curves", "per_class", "confusion")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The tables of the default run, which are in git, with the definitions of their plots."""
    folder = tmp_path_factory.mktemp("project")
    for words in ("init --quiet", "config user.email us@example.org", "config user.name us"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    dvc(folder, "init", "--quiet")
    shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots", dirs_exist_ok=True)
    (folder / "results").mkdir()
    for name in TABLES:
        shutil.copy(ROOT / f"results/{name}.csv", folder / "results")
    plots = yaml.safe_load((ROOT / "workflow/plots.yaml").read_text())
    drawn = [plot for plot in plots if isinstance(plot, dict)]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"plots": drawn}))
    commit(folder, "tables")
    return folder


def plots(folder, *revisions):
    run = command(folder, "python", PLOTS, *revisions)
    return run.returncode, run.stdout


def test_the_page_draws_without_network(project):
    pytest.importorskip("vl_convert", reason="needs vl-convert-python")
    browsers = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not CHROMIUM.is_file():
        pytest.skip("needs chromium")
    code, text = plots(project)
    assert code == 0, text
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((project / "results/plots/index.html").as_uri())
        page.locator("svg.marks").nth(len(TABLES) - 1).wait_for()
        marks = page.evaluate(MARKS)
        browser.close()
    assert len(marks) == len(TABLES)
    assert min(marks) >= 4  # a line for each of two methods on two sides, at least
    assert all(url.startswith("file:") for url in asked)


def test_a_missing_package_is_named(project):
    (project / "vl_convert.py").write_text("raise ImportError\n")
    try:
        script = f"import runpy; runpy.run_path({str(PLOTS)!r}, None, '__main__')"
        run = command(project, "python", "-c", script)
    finally:
        (project / "vl_convert.py").unlink()
    assert run.returncode == 1
    assert run.stdout.startswith("plots: expected the package vl-convert-python")
    assert run.stdout.endswith("run `pip install vl-convert-python`, then again\n")


def test_an_unknown_revision_is_one_sentence(project):
    pytest.importorskip("vl_convert", reason="needs vl-convert-python")
    code, text = plots(project, "nonsense")
    assert code == 1
    assert text == "`dvc plots diff` failed: unknown Git revision 'nonsense'\n"
