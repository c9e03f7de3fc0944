"""The graph: a tiny experiment through Snakemake, what reruns, and what each rule may see."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
METHODS = ["cam", "recam", "supervised"]
SMALL = {
    "download": {"train_images": 16, "val_images": 4, "image_size": 48},
    "train_cam": {"epochs": 1, "batch_size": 8, "resize_min": 40, "resize_max": 56, "crop": 48},
    "train_recam": {"epochs": 1, "batch_size": 8, "resize_min": 40, "resize_max": 56, "crop": 48},
    "train_seg": {"epochs": 1, "batch_size": 8, "resize_min": 40, "resize_max": 56, "crop": 48},
    "make_cams": {"scales": [1.0]},
    "make_pseudo": {"dilations": [1, 2], "iterations": 2},
    "evaluate": {"scales": [1.0], "examples": 2},
    "summarize": {"examples": 2},
}


def small_params():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, numbers in SMALL.items():
        params[section] |= numbers
    return params | {"methods": METHODS, "random_seeds": [0], "device": "cpu"}


def set_up(folder, params):
    """A checkout of its own, so that nothing of the developer's is touched."""
    for name in ("Snakefile", "workflow", "src", "profiles"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    write_params(folder, params)


def write_params(folder, params):
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def snakemake(folder, *options):
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),
    }
    command = [str(BIN / "snakemake"), "--cores", "2", *options]
    return subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, check=False
    )


def jobs_to_run(folder):
    """Jobs by rule of a dry run, from Snakemake's own table."""
    output = snakemake(folder, "--dry-run")
    assert output.returncode == 0, output.stdout + output.stderr
    text = output.stdout + output.stderr
    if "Job stats:" not in text:
        return {}
    table = text.split("Job stats:")[1].split("total")[0].splitlines()[3:]
    rows = dict(line.split() for line in table if line.strip())
    return {rule: int(count) for rule, count in rows.items() if rule != "all"}


def rules_to_run(folder):
    return set(jobs_to_run(folder))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The tiny experiment, run once from nothing."""
    folder = tmp_path_factory.mktemp("experiment")
    set_up(folder, small_params())
    run = snakemake(folder)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder, run.stdout + run.stderr


@pytest.mark.slow
def test_a_run_ends_with_the_results_of_the_contract(finished):
    folder, printed = finished
    metrics = json.loads((folder / "results/metrics.json").read_text())
    assert set(metrics) == {"cams", "pseudo", "seg"}
    assert set(metrics["cams"]) == {"cam", "recam"}
    assert set(metrics["seg"]) == set(METHODS)
    assert metrics["cams"]["recam"]["split"] == "train"
    assert metrics["seg"]["recam"]["split"] == "val"
    for stage in metrics.values():
        for values in stage.values():
            assert 0 <= values["miou"] <= 100
            assert values.get("oracle_miou", 100) >= values["miou"] - 0.01
    assert "| ReCAM |" in (folder / "results/summary.md").read_text()
    assert "results/summary.md" in printed


@pytest.mark.slow
def test_nothing_is_left_to_do_after_a_run_even_if_every_file_is_touched(finished):
    folder, _ = finished
    assert rules_to_run(folder) == set()
    for path in folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path)
    assert rules_to_run(folder) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("evaluate", "cams_threshold", 0.41, {"evaluate", "summarize"}),
        ("summarize", "examples", 1, {"summarize"}),
        ("make_pseudo", "iterations", 1, {"make_pseudo", "train_seg", "evaluate", "summarize"}),
    ],
)
def test_a_changed_number_reruns_its_step_and_what_follows(finished, section, key, value, expected):
    folder, _ = finished
    params = small_params()
    params[section][key] = value
    write_params(folder, params)
    try:
        assert rules_to_run(folder) == expected
    finally:
        write_params(folder, small_params())


@pytest.mark.slow
def test_a_changed_refiner_reruns_no_training_of_classifiers(finished):
    folder, _ = finished
    file = folder / "src/recam/refine/pamr.py"
    text = file.read_text()
    file.write_text(text + "\n# changed\n")
    try:
        assert rules_to_run(folder) == {"make_pseudo", "train_seg", "evaluate", "summarize"}
    finally:
        file.write_text(text)


@pytest.mark.slow
def test_only_evaluation_pictures_and_the_upper_bound_depend_on_masks(finished):
    folder, _ = finished
    summary = snakemake(folder, "--detailed-summary").stdout.splitlines()
    columns = summary[0].split("\t")
    rows = [dict(zip(columns, line.split("\t"), strict=False)) for line in summary[1:] if line]
    assert len(rows) > 20
    seeing = {
        (row["rule"], row["output_file"].split("/")[2] if "seed" in row["output_file"] else "")
        for row in rows
        if "SegmentationClass" in row["input-file(s)"]
    }
    allowed = {("evaluate", method) for method in METHODS}
    assert seeing == allowed | {("train_seg", "supervised"), ("summarize", "")}


@pytest.mark.slow
def test_a_new_replicate_adds_only_its_own_jobs(finished):
    folder, _ = finished
    write_params(folder, small_params() | {"random_seeds": [0, 1]})
    try:
        assert jobs_to_run(folder) == {
            "train_cam": 1,
            "train_recam": 1,
            "make_cams": 2,
            "make_pseudo": 2,
            "train_seg": 3,
            "evaluate": 3,
            "summarize": 1,
        }
    finally:
        write_params(folder, small_params())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["train_cam"].update(lrr=1), "train_cam.lrr is not a parameter; did you mean"),
        (lambda p: p["train_cam"].pop("lr"), "train_cam.lr is missing"),
        (
            lambda p: p["train_cam"].update(lr="1e-3"),
            "train_cam.lr: expected a value of type number",
        ),
        (lambda p: p.update(methods=["cam", "cam"]), "methods: expected no value twice"),
    ],
)
def test_a_mistake_in_params_is_named_before_anything_runs(tmp_path, change, message):
    params = small_params()
    change(params)
    set_up(tmp_path, params)
    run = snakemake(tmp_path, "--dry-run")
    assert run.returncode != 0
    printed = run.stdout + run.stderr
    assert message in printed
    assert "Traceback" not in printed


def test_the_files_that_a_rule_declares_are_those_that_its_script_imports():
    """The rules read import statements; here the scripts are really imported."""
    program = """
import runpy, sys, pathlib
for script in sys.argv[1:]:
    for name in [n for n in sys.modules if n.split('.')[0] in ('recam', '_step', '_training')]:
        del sys.modules[name]
    sys.path.insert(0, str(pathlib.Path(script).parent))
    runpy.run_path(script, run_name='imported')
    files = [m.__file__ for n, m in sys.modules.items()
             if n.split('.')[0] in ('recam', '_step', '_training')]
    print(script, *sorted(files))
"""
    scripts = sorted(p for p in (ROOT / "workflow/scripts").glob("*.py") if p.name[0] != "_")
    names = [str(p.relative_to(ROOT)) for p in scripts]
    output = subprocess.run(
        [sys.executable, "-c", program, *names],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    imported_files = runpy.run_path(str(ROOT / "workflow/imports.py"))["imported_files"]
    lines = output.splitlines()
    assert len(lines) == len(names) == 8
    here = Path.cwd()
    os.chdir(ROOT)
    try:
        for line in lines:
            script, *files = line.split()
            real = sorted(Path(f).resolve().relative_to(ROOT).as_posix() for f in files)
            assert imported_files(script) == real, script
    finally:
        os.chdir(here)
