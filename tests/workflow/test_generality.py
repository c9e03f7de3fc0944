"""One recipe on several data sets: its parameters, its copies of the project, its options."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from functools import partial

import pytest
import yaml
from experiment import ROOT, snakemake

sys.path.insert(0, str(ROOT / "workflow"))

import copies

from recam.core.errors import UserError
from recam.report.generality import DATASETS


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A small git checkout with code, parameters and three presets."""
    root = tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "src/a.py", "workflow/b.py", "docs/page.md"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("1\n")
    (root / ".gitignore").write_text("/data/\n__pycache__/\n")
    (root / "presets").mkdir()
    shutil.copy(ROOT / "params.yaml", root)
    shutil.copy(ROOT / "presets/replicates.yaml", root / "presets")
    preset = "download: {dataset: stamps, source: x}\ntrain_cam: {epochs: 9}\n"
    (root / "presets/stamps.yaml").write_text(preset)
    (root / "presets/shapes.yaml").write_text("evaluate: {scales: [1.0, 1.5]}\n")
    for words in (
        "init --quiet",
        "add --all",
        "-c user.name=us -c user.email=us@example.org commit -qm 1",
    ):
        subprocess.run(["git", *words.split()], cwd=root, check=True)
    return root


def files_in(folder):
    """Relative names of all files, with content and time."""
    return {
        str(f.relative_to(folder)): (f.read_text(), f.stat().st_mtime_ns)
        for f in folder.rglob("*")
        if f.is_file()
    }


def test_a_preset_and_the_replicates_are_merged_into_the_parameters(project):
    default = yaml.safe_load((ROOT / "params.yaml").read_text())
    replicates = yaml.safe_load((ROOT / "presets/replicates.yaml").read_text())
    shapes = copies.recipe("shapes", project)
    evaluate = default["evaluate"] | {"scales": [1.0, 1.5]}
    assert shapes == default | replicates | {"evaluate": evaluate}
    stamps = copies.recipe("stamps", project)
    assert stamps["train_cam"] == default["train_cam"] | {"epochs": 9}
    assert stamps["download"] == default["download"] | {"dataset": "stamps", "source": "x"}
    assert stamps["train_seg"] == default["train_seg"]


def test_seeds_and_originals_replace_those_of_the_files(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    sources = copies.originals("stamps=photos", DATASETS)
    stamps = copies.recipe("stamps", project, seeds=[7], source=sources["stamps"])
    assert stamps["random_seeds"] == [7]
    assert stamps["download"]["source"] == str(tmp_path / "photos")  # the run is in another folder


def test_a_missing_preset_is_named(project):
    with pytest.raises(UserError, match=r"presets/street\.yaml: cannot be read"):
        copies.recipe("street", project)


def test_the_copy_has_the_code_as_it_is_now(project, tmp_path):
    copy, params = tmp_path / "copy", {"random_seeds": [0]}
    (project / "data").mkdir()
    (project / "data/big.txt").write_text("big")
    copies.prepare(copy, params, project)
    first = files_in(copy)
    assert set(first) == {"Snakefile", "src/a.py", "workflow/b.py", "params.yaml"}
    assert yaml.safe_load(first["params.yaml"][0]) == params

    (project / "src/a.py").write_text("2\n")  # not committed
    (project / "src/new.py").write_text("3\n")  # not added
    (project / "workflow/b.py").unlink()
    os.utime(project / "Snakefile")
    (copy / "results").mkdir()
    (copy / "results/metrics.json").write_text("{}")
    copies.prepare(copy, params, project)
    second = files_in(copy)
    assert set(second) == {
        *("Snakefile", "src/a.py", "src/new.py", "params.yaml", "results/metrics.json")
    }
    assert second["src/a.py"][0] == "2\n"
    for name in ("Snakefile", "params.yaml"):  # equal content keeps its time: nothing runs again
        assert second[name] == first[name]
    changed = copies.origin(project)["changed"]
    assert set(changed) == {"src/a.py", "src/new.py", "workflow/b.py"}


@pytest.mark.parametrize("name", ["shapes", "stamps"])
def test_snakemake_plans_the_whole_experiment_in_the_copy(name, tmp_path):
    copies.prepare(tmp_path, copies.recipe(name))
    plan = snakemake(tmp_path, "--dry-run", "--no-hooks", "--nolock")
    assert plan.returncode == 0, plan.stdout
    jobs = dict(line.split()[:2] for line in plan.stdout.splitlines() if line.count(" ") > 3)
    assert jobs["train_cam"] == "3"
    assert jobs["evaluate"] == "12"  # four methods, three random seeds


def test_two_runs_at_once_are_refused(tmp_path):
    with (
        copies.locked(tmp_path),
        pytest.raises(UserError, match="another run is in progress"),
        copies.locked(tmp_path),
    ):
        pass
    with copies.locked(tmp_path):
        pass  # free again


def test_options_are_checked(tmp_path):
    assert copies.chosen("street,shapes", DATASETS) == ["shapes", "street"]
    assert copies.numbers("2,0") == [0, 2]
    for read, text in (
        (partial(copies.chosen, known=DATASETS), "shapes,voc"),
        (copies.numbers, "0,x"),
        (partial(copies.originals, datasets=DATASETS), f"street={tmp_path / 'absent'}"),
        (partial(copies.originals, datasets=DATASETS), "street="),
        (partial(copies.originals, datasets=DATASETS), f"cats={tmp_path}"),
    ):
        with pytest.raises(UserError, match="expected"):
            read(text)


def test_results_are_kept_with_their_commit(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    described_together = importlib.import_module("keep_results").described_together
    rows = [f"{name},0,cam,seg,50,," for name in ("shapes", "stamps")]
    head = "dataset,random_seed,method,stage,miou,oracle_miou,threshold"
    (tmp_path / "results.csv").write_text("\n".join([head, *rows]) + "\n")
    for number, name in enumerate(("shapes", "stamps")):
        logs = tmp_path / name / "logs/seed0/cam"
        logs.mkdir(parents=True)
        params = {"random_seeds": [0], "methods": ["cam"]}
        (tmp_path / name / "params.yaml").write_text(yaml.safe_dump(params))
        (logs / "evaluate.tsv").write_text(f"s\tmax_rss\n{60 + number}\t{300 + number}\n")
        os.utime(logs / "evaluate.tsv", (1000 + 50 * number, 1000 + 50 * number))
        (tmp_path / name / "origin.json").write_text(json.dumps({"commit": "a1", "changed": []}))

    run = described_together(tmp_path, command="make generality", wall_s=None)
    assert (run["commit"], run["wall_s"], run["peak_mib"]) == (
        "a1",
        1050 - 940,
        301,
    )  # 940 to 1000 and 989 to 1050

    other = {"commit": "a1", "changed": ["src/a.py"]}
    (tmp_path / "stamps/origin.json").write_text(json.dumps(other))
    with pytest.raises(SystemExit, match=r"got changes in src/a\.py; commit them"):
        described_together(tmp_path, command="make generality", wall_s=None)
    (tmp_path / "stamps/origin.json").write_text(json.dumps({"commit": "b2", "changed": []}))
    with pytest.raises(SystemExit, match="expected data sets of one commit"):
        described_together(tmp_path, command="make generality", wall_s=None)
