"""Saliency maps of the user in the graph: inputs of the steps that learn from them, of no other."""

import re

import experiment
import numpy as np
import pytest
import yaml
from experiment import snakemake

from recam.io.images import write_image, write_saliency

LEARNING = {"eps/train_cam", "eps-recam/train_recam"}  # logs of the steps


@pytest.fixture
def tree(tmp_path):
    """An experiment on two images with saliency maps; nothing is made yet."""
    folder = tmp_path / "experiment"
    rows = ["id,labels"]
    for image_id, label in (("p0", "cat"), ("p1", "dog")):
        write_image(folder / f"photos/JPEGImages/{image_id}.png", np.zeros((40, 50, 3), np.uint8))
        write_saliency(folder / f"maps/{image_id}.png", np.zeros((40, 50), np.uint8))
        rows.append(f"{image_id},{label}")
    (folder / "photos/labels.csv").write_text("\n".join(rows) + "\n")
    params = experiment.small_params() | {"methods": ["recam", "eps-recam", "eps-lpcam"]}
    params["download"] = {"dataset": "folder", "source": "photos", "saliency": "maps"}
    params["evaluate"] |= {"seg_split": "train"}
    experiment.set_up(folder, params)
    return folder


def test_only_the_classifiers_of_eps_get_the_maps(tree):
    plan = snakemake(tree, "--dry-run", "--printshellcmds", "--quiet", "host")
    assert plan.returncode == 0, plan.stdout
    commands = re.findall(r"train_(?:re)?cam\.py .* --log logs/seed0/(\S+)\.log", plan.stdout)
    assert sorted(commands) == ["cam/train_cam", *sorted(LEARNING), "recam/train_recam"]
    given = re.findall(r"--saliency_maps data/Saliency .* --log logs/seed0/(\S+)\.log", plan.stdout)
    assert set(given) == LEARNING


def test_eps_without_a_folder_of_maps_is_refused_before_anything_runs(tree):
    params = yaml.safe_load((tree / "params.yaml").read_text())
    del params["download"]["saliency"]
    experiment.write_params(tree, params)
    run = snakemake(tree)
    assert run.returncode != 0
    assert "methods: eps-recam learns from saliency maps, expected the path" in run.stdout
    assert "Traceback" not in run.stdout
    assert not (tree / "data").exists()


def test_an_image_without_a_map_is_refused_before_anything_runs(tree):
    (tree / "maps/p1.png").unlink()
    run = snakemake(tree)
    assert "maps: expected a saliency map for each of the 2 images of split train" in run.stdout
    assert not (tree / "data").exists()
