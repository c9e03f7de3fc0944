"""The graph: a tiny experiment through Snakemake, reruns, and the inputs of each rule."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
import yaml
from experiment import (
    METHODS,
    ROOT,
    command,
    engines,
    set_up,
    small_params,
    snakemake,
    write_params,
)

from recam.report.details import metrics_of


def jobs_to_run(folder):
    """Jobs by rule of a dry run, from Snakemake's own table."""
    output = snakemake(folder, "--dry-run")
    assert output.returncode == 0, output.stdout
    text = output.stdout
    if "Job stats:" not in text:
        return {}
    table = text.split("Job stats:")[1].split("total")[0].splitlines()[3:]
    rows = dict(line.split() for line in table if line.strip())
    return {rule: int(count) for rule, count in rows.items() if rule != "all"}


@pytest.mark.slow
def test_a_run_ends_with_the_documented_results(finished):
    metrics = json.loads((finished / "results/metrics.json").read_text())
    assert set(metrics) == {"cams", "pseudo", "seg"}
    assert set(metrics["cams"]) == {"cam", "recam"}
    assert set(metrics["seg"]) == set(METHODS)
    assert sum(len(values) for stage in metrics.values() for values in stage.values()) <= 40
    details = metrics_of(finished / "results/details.csv")
    assert details["cams"]["recam"]["split"] == "train"
    assert details["seg"]["recam"]["split"] == "val"
    for stage in metrics.values():
        for values in stage.values():
            assert 0 <= values["miou"] <= 100
            assert values.get("oracle_miou", 100) >= values["miou"] - 0.01
    assert "| ReCAM |" in (finished / "results/summary.md").read_text()
    assert (finished / "results/curves.csv").read_text().count("recam,classifier,1,sce") == 1


@pytest.mark.slow
def test_only_evaluation_pictures_and_the_upper_bound_depend_on_masks(finished):
    summary = snakemake(finished, "--detailed-summary").stdout.splitlines()
    table = [line.split("\t") for line in summary if line.count("\t") > 3]
    rows = [dict(zip(table[0], row, strict=False)) for row in table[1:]]
    assert len(rows) > 20
    seeing = {
        (row["rule"], row["output_file"].split("/")[2] if "seed" in row["output_file"] else "")
        for row in rows
        if "SegmentationClass" in row["input-file(s)"]
    }
    allowed = {("evaluate", method) for method in METHODS}
    assert seeing == allowed | {("train_seg", "supervised"), ("summarize", ""), ("draw", "")}


@pytest.mark.slow
def test_a_new_replicate_adds_only_its_own_jobs(tree):
    write_params(tree, small_params() | {"random_seeds": [0, 1]})
    assert jobs_to_run(tree) == {
        "train_cam": 1,
        "train_recam": 1,
        "make_cams": 2,
        "train_irn": 2,
        "make_pseudo": 2,
        "train_seg": 3,
        "evaluate": 3,
        "summarize": 1,
        "draw": 1,
    }


def test_clusters_are_made_for_methods_with_lpcam_alone(tmp_path):
    """`recam-lpcam` reads the classifier of `recam`; DVC has the same graph."""
    set_up(tmp_path, small_params() | {"methods": ["cam", "recam-lpcam"]})
    written = engines(tmp_path, "write")
    assert written.returncode == 0, written.stdout
    stages = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"]
    assert [n for n in stages if "make_clusters" in n] == ["make_clusters-seed0-recam-lpcam"]
    here = "results/seed0/recam"
    words = f"--checkpoint {here}/classifier.pt --prototypes {here}-lpcam/clusters.pt "
    assert words in stages["make_clusters-seed0-recam-lpcam"]["cmd"]
    assert words in stages["make_cams-seed0-recam-lpcam"]["cmd"]
    assert "--prototypes --cams" in stages["make_cams-seed0-cam"]["cmd"]


def test_shards_are_the_same_jobs_in_both_engines(tmp_path):
    params = small_params() | {"methods": ["cam"]}
    params["machine"] |= {"shards": 3}
    set_up(tmp_path, params)
    assert engines(tmp_path, "write").returncode == 0
    stages = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"]
    of_dvc = Counter(name.split("-")[0] for name in stages)
    jobs = jobs_to_run(tmp_path)
    names = ("make_cams", "train_irn", "spread", "make_pseudo", "evaluate")
    assert {n: jobs[n] for n in jobs if n.endswith("_shard")} == {f"{n}_shard": 3 for n in names}
    assert {name: count for name, count in of_dvc.items() if name != "check_graph"} == jobs
    here = "results/seed0/cam"
    stamps = {f"{here}/shards/pseudo.{number}-of-3" for number in (1, 2, 3)}
    assert stamps <= set(stages["make_pseudo-seed0-cam"]["deps"])
    first = stages["make_cams_shard-seed0-cam-1-of-3"]
    assert first["outs"] == [f"{here}/shards/cams.1-of-3"]
    last = stages["make_cams-seed0-cam"]
    words = f" --shard {here}/shards/cams.1-of-3 --log logs/seed0/cam/make_cams.1-of-3.log"
    # The command of the step, whose numbers and paths are the key of unfinished work.
    assert first["cmd"].replace(words, " --log logs/seed0/cam/make_cams.log") == last["cmd"]


@pytest.mark.parametrize(
    ("preset", "jobs"),
    [("shapes", 18), ("stamps", 18), ("street", 18), ("voc12", 16), ("coco14", 16)],
)
def test_a_preset_gives_a_plan(preset, jobs):
    run = snakemake(ROOT, "--dry-run", "--forceall", "--configfile", f"presets/{preset}.yaml")
    assert run.returncode == 0, run.stdout
    assert re.search(f"^total +{jobs}$", run.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["train_cam"].update(lrr=1), "train_cam.lrr is not a parameter; did you mean"),
        (lambda p: p["train_cam"].pop("lr"), "train_cam.lr is missing"),
        (
            lambda p: p["train_cam"].update(lr="1e-3"),
            "train_cam.lr: 1e-3 is read differently",
        ),
        (lambda p: p.update(methods=["cam", "cam"]), "methods: expected no value twice"),
    ],
)
def test_an_error_in_params_is_named_before_anything_runs(tmp_path, change, message):
    params = small_params()
    change(params)
    set_up(tmp_path, params)
    run = snakemake(tmp_path, "--dry-run")
    assert run.returncode != 0
    assert message in run.stdout
    assert "Traceback" not in run.stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  lr: 0.02\n",
            "  lr: 0.02\n  lr: 0.9\n",
            ": train_recam.lr occurs twice (first in line ",
        ),
        ("epochs: 1", "epochs: 1.0", ": train_cam.epochs: expected a whole number"),
        (
            "epochs: 1",
            "epochs: 01",
            ": train_cam.epochs: 01 is read differently by Snakemake and DVC",
        ),
        ("lr: 0.03", "lr: .nan", ": train_cam.lr: expected a finite number"),
        (
            "random_seeds:",
            "__use_yte__: true\nrandom_seeds:",
            ":1: __use_yte__ would let this file",
        ),
    ],
)
def test_a_file_that_is_not_plain_yaml_is_refused_with_its_line(tmp_path, old, new, message):
    set_up(tmp_path, small_params())
    file = tmp_path / "params.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    run = snakemake(tmp_path, "--dry-run")
    assert run.returncode != 0
    assert f"params.yaml{message}" in re.sub(
        r"params\.yaml:\d+: (?!__)", "params.yaml: ", run.stdout
    )
    assert "Traceback" not in run.stdout


def test_code_in_params_is_not_run(tmp_path):
    set_up(tmp_path, small_params())
    file = tmp_path / "params.yaml"
    trap = f"__use_yte__: true\n__definitions__:\n  - open('{tmp_path}/trap', 'w').close()\n"
    file.write_text(trap + file.read_text())
    assert snakemake(tmp_path, "--dry-run").returncode != 0
    assert not (tmp_path / "trap").exists()


def test_a_preset_becomes_the_parameters_and_keeps_their_comments(tmp_path):
    set_up(tmp_path, small_params())
    for name in ("params.yaml", "presets"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    run = command(tmp_path, sys.executable, "workflow/params.py", "preset", "presets/voc12.yaml")
    assert run.returncode == 0, run.stdout
    text = (tmp_path / "params.yaml").read_text()
    assert text.splitlines()[:2] == (ROOT / "params.yaml").read_text().splitlines()[:2]
    lines = text.splitlines()
    assert all(
        lines[k - 1] == "" for k, line in enumerate(lines) if line.endswith(":") and line[0] != " "
    )
    params = yaml.safe_load(text)
    assert params["train_cam"]["backbone"] == "resnet50"
    assert params["train_cam"]["batch_size"] == 16
    assert params["make_cams"]["scales"] == [1.0, 0.5, 1.5, 2.0]
    (tmp_path / "wrong.yaml").write_text("train_cam: {epoch: 3}\n")
    run = command(tmp_path, sys.executable, "workflow/params.py", "preset", "wrong.yaml")
    assert run.returncode == 1
    assert run.stdout == (
        "wrong.yaml:1: train_cam.epoch is not a parameter; did you mean epochs?\n"
    )
    assert (tmp_path / "params.yaml").read_text() == text


def test_steps_without_a_network_start_without_torch():
    steps = "check_data, download, draw, summarize"
    code = f"import sys; sys.path.insert(0, '.'); import {steps}; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "workflow" / "scripts",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "recam.io.scores" in modules.split()
    assert "torch" not in modules.split()


def test_a_step_takes_the_cores_of_all_its_processes(tmp_path):
    params = small_params()
    params["machine"] |= {"device": "cpu", "devices": 2, "threads": 2}
    params["train_cam"]["threads"] = 3
    set_up(tmp_path, params)
    run = snakemake(tmp_path, "--dry-run", "--cores", "8", "--quiet", "host")
    assert run.returncode == 0, run.stdout
    found = dict(
        re.findall(r"^rule (\w+):\n(?: .*\n)*? +threads: (\d+)$", run.stdout, re.MULTILINE)
    )
    steps = ["train_recam", "make_cams", "train_irn", "make_pseudo", "train_seg", "evaluate"]
    assert found == {"train_cam": "6", **dict.fromkeys(steps, "4")}


def test_a_run_in_another_folder_says_where_to_run(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    set_up(tmp_path / "project", small_params())
    run = snakemake(tmp_path / "project", "--dry-run", "--directory", "../elsewhere")
    assert run.returncode != 0
    assert f"run `cd {tmp_path / 'project'}` first" in run.stdout
    assert "Traceback" not in run.stdout


def test_outputs_of_a_failed_step_come_back_with_their_record(tmp_path):
    """The old outputs are none of the new parameters, and still those of the old ones."""
    set_up(tmp_path, small_params())
    run = snakemake(tmp_path, "--until", "download")
    assert "The steps asked for are done" in run.stdout
    before = (tmp_path / "data/images.sha256").read_text()
    changed = small_params()
    changed["download"] |= {"dataset": "stamps", "source": str(tmp_path)}
    write_params(tmp_path, changed)
    failed = snakemake(tmp_path, "--until", "download")
    assert failed.returncode != 0
    assert "had made before are back: data/ImageSets, " in failed.stdout
    assert (tmp_path / "data/images.sha256").read_text() == before
    assert jobs_to_run(tmp_path)["download"] == 1
    write_params(tmp_path, small_params())
    assert "download" not in jobs_to_run(tmp_path)


def test_a_damaged_record_is_refused_with_its_output(tmp_path):
    set_up(tmp_path, small_params())
    records = tmp_path / ".snakemake/metadata"
    records.mkdir(parents=True)
    (records / "ZGF0YS9sYWJlbHMuY3N2").write_bytes(b"\xff\x00")
    run = snakemake(tmp_path, "--dry-run")
    assert run.returncode != 0
    assert "Snakemake's record of data/labels.csv is damaged; delete both" in run.stdout
