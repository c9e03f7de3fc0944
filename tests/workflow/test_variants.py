"""CAM variants in copies of the project: targets, scores without a segmenter, options."""

import json
import sys

import numpy as np
import pytest
from experiment import ROOT, small_params, snakemake

sys.path.insert(0, str(ROOT / "workflow"))

import copies
import variants

from recam.catalogue.names import METHODS
from recam.core.errors import UserError
from recam.data.layout import MASKS, load_weak_split
from recam.io.atomic import write_manifest
from recam.io.images import read_mask
from recam.io.scores import ScoredClasses, save_scores
from recam.report.summary import Run
from recam.steps.params import Experiment


def test_targets_are_the_files_of_each_stage():
    assert variants.targets(["cam", "recam"], 7, "cams") == [
        *("results/seed7/cam/classifier.pt", "results/seed7/recam/classifier.pt"),
        *("results/seed7/cam/cams.sha256", "results/seed7/recam/cams.sha256"),
    ]
    assert "results/seed0/recam-lpcam/clusters.pt" in variants.targets(["recam-lpcam"], 0, "cams")
    files = {path.split("/")[-1] for path in variants.targets(["cam"], 0, "seg")}
    assert files == {
        *("classifier.pt", "cams.sha256", "irn.pt", "pseudo.sha256", "segmenter.pt"),
        "metrics.json",
    }


@pytest.mark.parametrize(("until", "segmenters"), [("pseudo", 0), ("seg", 3)])
def test_snakemake_plans_one_random_seed_up_to_a_stage(until, segmenters, tmp_path):
    methods = ["cam", "control", "recam"]
    params = small_params() | {"methods": methods, "random_seeds": [0, 1]}
    copies.prepare(tmp_path, params)
    wanted = variants.targets(methods, 1, until)
    plan = snakemake(tmp_path, "--dry-run", "--no-hooks", "--nolock", *wanted)
    assert plan.returncode == 0, plan.stdout
    jobs = dict(line.split()[:2] for line in plan.stdout.splitlines() if line.count(" ") > 3)
    assert (jobs["train_cam"], jobs["train_recam"], jobs["make_pseudo"]) == ("1", "2", "3")
    assert int(jobs.get("train_seg", 0)) == int(jobs.get("evaluate", 0)) == segmenters
    assert "summarize" not in jobs


@pytest.fixture
def run(voc, tmp_path):
    """A run whose maps and refined maps are the ground truth of its split."""
    run = Run(folder=tmp_path / "results/seed0/cam")
    split = load_weak_split(voc, "train")
    for image_id in split.ids:
        mask = read_mask(voc / MASKS / f"{image_id}.png")
        present = np.flatnonzero(split.labels[split.ids.index(image_id)])
        scores = (mask == present[:, None, None] + 1).astype(np.float32)
        for name in ("cams", "scores"):
            save_scores(
                run.folder / name / f"{image_id}.npz", ScoredClasses(scores=scores, classes=present)
            )
    for path in (run.folder / "cams", run.folder / "scores", voc / MASKS):
        write_manifest(path.with_suffix(".sha256"), [path])
    (run.folder / "cut.json").write_text(
        '{"background": 0.3, "threshold": 0.5, "margin": 0.05, "saliency": "folder"}'
    )
    return run


def test_maps_are_scored_without_a_segmenter_and_once(run, voc):
    section = Experiment.model_validate(small_params()).evaluate
    found = variants.scored_maps(run, voc, section, "pseudo")
    assert set(found) == {"cams", "pseudo"}
    assert found["pseudo"]["miou"] == found["cams"]["oracle_miou"] == pytest.approx(100)
    assert found["pseudo"]["saliency"] == "folder"

    kept = run.folder / variants.SCORES
    state = json.loads(kept.read_text())
    state["metrics"]["pseudo"]["miou"] = 1.0
    kept.write_text(json.dumps(state))
    assert variants.scored_maps(run, voc, section, "pseudo") == found  # damaged: made anew
    state["check"] = variants.check_of(state["metrics"])
    kept.write_text(json.dumps(state))
    again = variants.scored_maps(run, voc, section, "pseudo")
    assert again["pseudo"]["miou"] == 1.0  # not scored again
    listed = run.folder / "scores.sha256"
    listed.write_text("".join(reversed(listed.read_text().splitlines(keepends=True))))  # new maps
    assert variants.scored_maps(run, voc, section, "pseudo") == found
    assert set(variants.scored_maps(run, voc, section, "cams")) == {"cams"}


def test_without_a_finished_run_there_is_no_table(tmp_path):
    params = small_params() | {"methods": ["cam"]}
    assert variants.gather(tmp_path, {"shapes": params}, "seg") == "No method is finished yet.\n"
    assert not (tmp_path / "results.csv").exists()


def test_tables_are_gathered_from_the_finished_runs(tmp_path):
    params = small_params() | {"methods": ["cam", "control", "recam"]}
    for method in ("cam", "recam"):
        folder = tmp_path / "shapes/results/seed0" / method
        folder.mkdir(parents=True)
        stages = {stage: {"split": "train", "miou": 50.0} for stage in ("cams", "pseudo", "seg")}
        (folder / "metrics.json").write_text(json.dumps(stages))
    logs = tmp_path / "shapes/logs/seed0/cam"
    logs.mkdir(parents=True)
    (logs / "train_cam.tsv").write_text("s\tmax_rss\n61.0\t2048\n")
    table = variants.gather(tmp_path, {"shapes": params}, "seg")
    assert "| shapes | CAM | alone | 50.0 | 50.0 | 50.0 | 61 | - | - | - | 2.0 |" in table
    assert "| shapes | CAM | control | - | - | - |" in table
    assert {file.name for file in tmp_path.glob("*.*")} == {
        *("results.csv", "cost.csv", "table.md", "figure.png"),
    }


def test_the_parameters_have_the_methods_of_the_variants():
    params = copies.recipe("shapes", seeds=[5], methods=["cam", "recam"])
    assert (params["methods"], params["random_seeds"]) == (["cam", "recam"], [5])


def test_an_unknown_variant_is_refused():
    with pytest.raises(UserError, match=r"--variants: expected some of cam, .*got recam; change"):
        variants.main(["--variants", "cam,recam"])
    assert "recam" in METHODS
