"""Text vectors in the graph of both engines: a step, and an input, of methods of CLIP-ES alone."""

import experiment
import yaml
from experiment import ROOT, engines


def test_text_vectors_are_made_once_and_read_by_the_tower_alone(tmp_path):
    params = experiment.small_params() | {"methods": ["recam", "clip_es-recam"]}
    params["random_seeds"] = [0, 1]
    params["embed_texts"] |= {"vectors": "mine.pt"}
    params["train_cam"] |= {"clip_weights": "tower.pt"}
    for name in ("mine.pt", "tower.pt"):
        (tmp_path / name).write_bytes(b"tensors")
    experiment.set_up(tmp_path, params)
    written = engines(tmp_path, "write")
    assert written.returncode == 0, written.stdout
    stages = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"]
    assert [name for name in stages if "embed_texts" in name] == ["embed_texts"]
    assert stages["embed_texts"]["deps"][1:] == ["data/classes.txt", "mine.pt"]
    reading = {
        name for name, stage in stages.items() if "results/texts.pt" in stage.get("deps", [])
    }
    assert reading == {"train_cam-seed0-clip_es", "train_cam-seed1-clip_es"}
    assert reading == {n for n, stage in stages.items() if "tower.pt" in stage.get("deps", [])}
    assert "--texts results/texts.pt --checkpoint" in stages["train_cam-seed0-clip_es"]["cmd"]
    assert "--texts --checkpoint" in stages["train_cam-seed0-cam"]["cmd"]
    assert (
        "results/seed0/clip_es/classifier.pt" in stages["train_recam-seed0-clip_es-recam"]["deps"]
    )


def test_the_default_has_no_text_vectors():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert not any("embed_texts" in name for name in stages)
