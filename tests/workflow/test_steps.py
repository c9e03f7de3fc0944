"""The steps as command lines: messages about user errors, and runs that repeat and resume.

The scripts run in this process, as ``python script.py ...`` would run them.
"""

import hashlib
import json
import logging
import re
import resource
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from archived import in_archive
from filelock import FileLock
from PIL import Image

from recam import predict
from recam.io.archives import files_in, read_content
from recam.io.atomic import write_manifest
from recam.io.checkpoints import load_checkpoint
from recam.io.images import read_mask, write_mask, write_saliency
from recam.io.scores import ScoredClasses, load_scores, save_scores

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
FAST = {
    "threads": 1,
    "train_images": 8,
    "val_images": 4,
    "image_size": 32,
    "epochs": 1,
    "min_steps": 0,
    "held_out": 0.0,
    "warmup_steps": 1,
    "threshold": "fixed",
    "loss": "cross_entropy",
    "colour": 0.0,
    "batch_size": 4,
    "resize_min": 32,
    "resize_max": 32,
    "crop": 32,
    "weights": "none",
    "backbone": "resnet18",
    "scales": [1.0],
    "radius": 3,
    "irn_radius": 3,
    "crf_iterations": 3,
    "pamr_dilations": [1, 2],
    "pamr_iterations": 2,
    "examples": 2,
}
MACHINE = {"device": "cpu", "devices": 1, "precision": "auto", "threads": 1}


@pytest.fixture(autouse=True)
def _quiet_threads_and_logs():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for handler in logging.getLogger().handlers[:]:
        if isinstance(handler, logging.StreamHandler | logging.FileHandler):
            logging.getLogger().removeHandler(handler)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a step with these paths and small numbers; return its exit code and messages."""
    section_of = yaml.safe_load((ROOT / "params.yaml").read_text())

    def call(step, paths, **changes):
        numbers = section_of[step] | {k: v for k, v in FAST.items() if k in section_of[step]}
        arguments = []
        for name, value in (paths | numbers | changes).items():
            values = value if isinstance(value, list) else [value]
            if value is True:
                arguments.append(f"--{name}")
            elif value is not False:
                arguments += [f"--{name}", *map(str, values)]
        monkeypatch.setattr(sys, "argv", [str(SCRIPTS / f"{step}.py"), *arguments])
        monkeypatch.syspath_prepend(str(SCRIPTS))
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().err

    return call


@pytest.fixture
def data(run, tmp_path):
    """A data set of eight drawn training images."""
    names = ("report.md", "classes.csv", "cooccurrence.csv", "faults.csv")
    check = [tmp_path / "data/check" / name for name in names]
    code, words = run("download", {"data": tmp_path / "data", "check": check})
    assert code == 0, words
    return tmp_path / "data"


@pytest.fixture
def cam_paths(data, tmp_path):
    out = tmp_path / "out"
    return {
        "data": data,
        "checkpoint": out / "classifier.pt",
        "curve": out / "curve.csv",
        "method": "cam",
        "random_seed": 0,
        **MACHINE,
    }


@pytest.fixture
def cams(data, tmp_path):
    """Maps drawn from the ground truth: 0.9 on the objects of a class, 0.1 elsewhere."""
    for line in (data / "labels.csv").read_text().splitlines()[1:]:
        image_id, *labels = line.split(",")
        if image_id.startswith("train"):
            mask = read_mask(data / f"SegmentationClass/{image_id}.png")
            classes = np.flatnonzero(np.array(labels) == "1")
            scores = np.where(mask == classes[:, None, None] + 1, 0.9, 0.1)
            write_cams(tmp_path / f"cams/{image_id}.npz", scores, classes)
    write_manifest(tmp_path / "cams.sha256", [tmp_path / "cams"])
    return tmp_path / "cams"


def write_cams(path, scores, classes):
    """Write the maps of an image as make_cams does."""
    scored = ScoredClasses(scores=scores.astype(np.float32), classes=np.asarray(classes))
    save_scores(path, scored)


@pytest.fixture
def irn_paths(data, cams, tmp_path):
    return {
        "data": data,
        "cams": cams,
        "checkpoint": tmp_path / "irn/irn.pt",
        "curve": tmp_path / "irn/curve.csv",
        "refiner": "irn",
        "random_seed": 0,
        **MACHINE,
    }


@pytest.fixture
def pseudo_paths(data, cams, irn_paths, tmp_path):
    """Paths of make_pseudo, with the placeholder of a refiner that needs no IRN."""
    irn_paths["checkpoint"].parent.mkdir()
    irn_paths["checkpoint"].write_text("no IRN was trained")
    out = tmp_path / "out"
    return {
        "data": data,
        "cams": cams,
        "irn": irn_paths["checkpoint"],
        "masks": out / "pseudo",
        "scores": out / "scores",
        "manifest": [out / "pseudo.sha256", out / "scores.sha256"],
        "cut": out / "cut.json",
        "picture": out / "picture.png",
        **MACHINE,
    }


def succeeded(result):
    """The messages of a successful step."""
    code, text = result
    assert code == 0, text
    return text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_whole_and_alone(paths):
    """All outputs of make_pseudo for eight images exist, and no other files."""
    ids = [f"train_{number:04d}" for number in range(8)]
    assert names(paths["masks"]) == [f"{image_id}.png" for image_id in ids]
    assert names(paths["scores"]) == [f"{image_id}.npz" for image_id in ids]
    for image_id in ids:
        mask = read_mask(paths["masks"] / f"{image_id}.png")
        scored = load_scores(paths["scores"] / f"{image_id}.npz")
        assert set(np.unique(mask)) <= {0, 255, *(scored.classes + 1)}
        assert scored.scores.shape[1:] == mask.shape == (32, 32)
        cams = load_scores(paths["cams"] / f"{image_id}.npz")
        assert scored.classes.tolist() == cams.classes.tolist()
    for manifest in paths["manifest"]:
        assert manifest.read_text().count("train_") == 8
    with Image.open(paths["picture"]) as picture:
        assert picture.format == "PNG"
        picture.load()
    outputs = {"pseudo", "scores", "pseudo.sha256", "scores.sha256", "cut.json", "picture.png"}
    assert {n for n in names(paths["masks"].parent) if not n.endswith(".lock")} == outputs


def refused(result, *words):
    """The step failed with one sentence and without a traceback."""
    code, text = result
    assert code not in (0, None)
    assert "Traceback" not in text
    for word in words:
        assert word in text, text


def test_an_unknown_backbone_is_answered_with_the_nearest_names(run, cam_paths):
    refused(run("train_cam", cam_paths, backbone="resnet5O"), "resnet5O", "resnet50")


def test_imagenet_weights_from_a_file_that_is_not_there_are_refused(run, cam_paths):
    refused(run("train_cam", cam_paths, weights="/no/such.pt"), "/no/such.pt", "no such file")


def test_fewer_images_than_a_batch_are_refused(run, cam_paths):
    refused(
        run("train_cam", cam_paths, batch_size=9),
        "expected at most 8, the number of images",
        "batch_size",
        "9",
    )


def test_a_split_that_is_not_there_is_named(run, cam_paths):
    refused(run("train_cam", cam_paths, split="trainaug"), "trainaug.txt", "not found")


def test_an_empty_split_is_refused(run, data, cam_paths):
    (data / "ImageSets/Segmentation/train.txt").write_text("\n")
    refused(run("train_cam", cam_paths), "train.txt", "empty")


def test_a_class_listed_twice_is_refused(run, data, cam_paths):
    (data / "classes.txt").write_text("ring\nring\n")
    refused(run("train_cam", cam_paths), "classes.txt", "'ring' is listed twice")


def test_an_image_without_a_row_of_labels_is_named(run, data, cam_paths):
    table = (data / "labels.csv").read_text().splitlines()
    kept = [line for line in table if not line.startswith("train_0003")]
    (data / "labels.csv").write_text("\n".join(kept))
    refused(run("train_cam", cam_paths), "labels.csv", "train_0003")


def test_an_unreadable_image_is_named(run, data, cam_paths):
    (data / "JPEGImages/train_0002.png").write_bytes(b"not an image")
    refused(run("train_cam", cam_paths), "train_0002.png", "not a readable image")


def test_numbers_out_of_range_and_mistyped_are_refused_by_name(run, cam_paths):
    refused(run("train_cam", cam_paths, lr=-1), "--lr", "expected more than 0")
    refused(run("train_cam", cam_paths, epochs="many"), "--epochs", "many")
    refused(
        run("train_cam", cam_paths, output_stride=12), "--output_stride", "expected 8, 14, 16 or 32"
    )


def test_a_folder_that_cannot_be_made_is_named(run, data, cam_paths):
    paths = cam_paths | {"checkpoint": data / "classes.txt" / "classifier.pt"}
    refused(run("train_cam", paths), "classes.txt", "then run again")


def test_a_full_disk_is_reported_and_leaves_the_old_result(run, cam_paths):
    checkpoint = cam_paths["checkpoint"]
    checkpoint.parent.mkdir()
    checkpoint.write_text("the old one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))  # no file may grow beyond 1 MB
    try:
        refused(run("train_cam", cam_paths), "then run again")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert checkpoint.read_text() == "the old one"
    assert not list(checkpoint.parent.glob("*.tmp"))


def test_an_output_that_another_process_writes_is_left_to_it(run, cam_paths):
    checkpoint = cam_paths["checkpoint"]
    checkpoint.parent.mkdir()
    with FileLock(checkpoint.with_name(f".{checkpoint.name}.lock")):
        refused(run("train_cam", cam_paths), "is being written by another process")


def test_a_checkpoint_of_other_classes_is_refused(run, data, cam_paths, tmp_path):
    assert run("train_cam", cam_paths)[0] == 0
    names = (data / "classes.txt").read_text().replace("ring", "wheel", 1)
    (data / "classes.txt").write_text(names)
    labels = (data / "labels.csv").read_text().replace("ring", "wheel", 1)
    (data / "labels.csv").write_text(labels)
    paths = {
        "data": data,
        "cam": cam_paths["checkpoint"],
        "checkpoint": tmp_path / "re/classifier.pt",
        "curve": tmp_path / "re/curve.csv",
        "method": "recam",
        "random_seed": 0,
        **MACHINE,
    }
    refused(run("train_recam", paths), "expected a checkpoint for the", "wheel")


@pytest.fixture
def saliency(data):
    """The saliency maps of the eight training images: white on their objects."""
    for path in (data / "SegmentationClass").glob("train_*.png"):
        objects = np.isin(read_mask(path), (0, 255), invert=True)
        write_saliency(data / "Saliency" / path.name, np.uint8(255) * objects)
    write_manifest(data / "Saliency.sha256", [data / "Saliency"])
    return data / "Saliency"


def losses_in(curve):
    """The names of the losses in a training curve."""
    return {line.split(",")[1] for line in curve.read_text().splitlines()[1:]}


def test_eps_and_its_reactivation_learn_from_saliency_on_held_out_images_too(
    run, cam_paths, saliency
):
    paths = cam_paths | {"method": "eps", "saliency_maps": saliency}
    succeeded(run("train_cam", paths, held_out=0.25))
    judged = {f"held-out {name}" for name in ("bce", "sal", "recall", "precision")}
    assert losses_in(paths["curve"]) == {"bce", "sal"} | judged
    checkpoint = paths["checkpoint"].with_name("again.pt")
    again = paths | {"cam": paths["checkpoint"], "checkpoint": checkpoint}
    succeeded(run("train_recam", again | {"method": "eps-recam"}, held_out=0.25))
    assert losses_in(paths["curve"]) == {"bce", "sal", "sce", "held-out sce"} | judged
    folder = paths["checkpoint"].parent
    maps = {
        "data": cam_paths["data"],
        "checkpoint": checkpoint,
        "cams": folder / "cams",
        "manifest": folder / "cams.sha256",
        "method": "eps-recam",
        **MACHINE,
    }
    succeeded(run("make_cams", maps))
    for path in maps["cams"].glob("*.npz"):
        assert load_scores(path).scores.max(axis=(1, 2)) == pytest.approx(1, abs=1 / 255)
    assert len(names(maps["cams"])) == 8


def test_the_control_of_eps_keeps_the_losses_of_eps(run, cam_paths, saliency):
    paths = cam_paths | {"method": "eps", "saliency_maps": saliency}
    succeeded(run("train_cam", paths))
    again = paths | {
        "method": "eps-control",
        "cam": paths["checkpoint"],
        "checkpoint": paths["checkpoint"].with_name("again.pt"),
    }
    succeeded(run("train_recam", again))
    assert losses_in(paths["curve"]) == {"bce", "sal"}


def test_eps_without_a_map_of_every_image_is_refused(run, cam_paths, saliency):
    paths = cam_paths | {"method": "eps"}
    refused(run("train_cam", paths), "--saliency_maps: expected the folder", "download.saliency")
    (saliency / "train_0003.png").unlink()
    words = ("each of the 8 images of split train, 1 are missing (first: train_0003.png)",)
    refused(run("train_cam", paths | {"saliency_maps": saliency}), *words)
    assert not paths["checkpoint"].exists()


def without_method(paths):
    return {name: path for name, path in paths.items() if name != "method"}


def test_a_mask_id_beyond_the_classes_is_named(run, data, cam_paths):
    path = data / "SegmentationClass/train_0001.png"
    mask = np.array(Image.open(path))
    mask[0, 0] = 77
    Image.fromarray(mask).save(path)
    write_manifest(data / "SegmentationClass.sha256", [path.parent])
    assert run("train_cam", cam_paths)[0] == 0
    paths = without_method(cam_paths) | {
        "checkpoint": data.parent / "seg/segmenter.pt",
        "masks": data / "SegmentationClass",
        "classifier": cam_paths["checkpoint"],
    }
    refused(run("train_seg", paths), "train_0001.png", "77", "0..8 or 255")


def test_a_segmenter_starts_from_a_classifier_of_its_own_backbone_only(run, data, cam_paths):
    assert run("train_cam", cam_paths)[0] == 0
    paths = without_method(cam_paths) | {
        "checkpoint": data.parent / "seg/segmenter.pt",
        "masks": data / "SegmentationClass",
        "classifier": cam_paths["checkpoint"],
    }
    assert run("train_seg", paths, weights="classifier")[0] == 0
    other = run("train_seg", paths, weights="classifier", backbone="resnet34")
    refused(other, "resnet18", "resnet34", "make them the same")


def test_background_above_foreground_is_refused(run, irn_paths):
    result = run("train_irn", irn_paths, background=0.61)
    refused(result, "background: expected no more than foreground (0.6), got 0.61")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(run, cam_paths, tmp_path):
    hashes = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        checkpoint = tmp_path / folder / "classifier.pt"
        paths = cam_paths | {"checkpoint": checkpoint, "random_seed": seed}
        assert run("train_cam", paths)[0] == 0
        hashes.append(hashlib.sha256(checkpoint.read_bytes()).hexdigest())
    assert hashes[0] == hashes[1] != hashes[2]


def test_control_starts_from_the_same_cam_and_differs_from_recam(run, data, cam_paths, tmp_path):
    assert run("train_cam", cam_paths)[0] == 0
    curves = {}
    for method in ("control", "recam"):
        paths = {
            "data": data,
            "cam": cam_paths["checkpoint"],
            "checkpoint": tmp_path / method / "classifier.pt",
            "curve": tmp_path / method / "curve.csv",
            "method": method,
            "random_seed": 0,
            **MACHINE,
        }
        assert run("train_recam", paths)[0] == 0
        curves[method] = paths["curve"].read_text()
    assert "sce" in curves["recam"]
    assert "sce" not in curves["control"]


def test_lpcam_reads_maps_by_the_clusters_of_their_own_step(run, data, cam_paths, tmp_path):
    assert run("train_cam", cam_paths)[0] == 0
    clusters = {
        "data": data,
        "checkpoint": cam_paths["checkpoint"],
        "prototypes": tmp_path / "clusters.pt",
        "method": "cam-lpcam",
        "random_seed": 0,
        **MACHINE,
    }
    said = succeeded(run("make_clusters", clusters, images=8, clusters=3))
    assert "clusters kept as prototypes" in said
    first = clusters["prototypes"].read_bytes()
    assert run("make_clusters", clusters, images=8, clusters=3)[0] == 0
    assert clusters["prototypes"].read_bytes() == first

    out = {"cams": tmp_path / "cams", "manifest": tmp_path / "cams.sha256"}
    paths = {key: clusters[key] for key in ("data", "checkpoint", *MACHINE)} | out
    refused(run("make_cams", paths, method="cam-lpcam"), "--prototypes", "run make_clusters")
    checkpoint = {"prototypes": cam_paths["checkpoint"], "method": "cam-lpcam"}
    refused(run("make_cams", paths | checkpoint), "expected clusters, got another file")
    found = {}
    for method in ("cam", "cam-lpcam"):
        given = {"prototypes": clusters["prototypes"], "method": method}
        succeeded(run("make_cams", paths | given))
        found[method] = [load_scores(file).scores for file in sorted(out["cams"].glob("*.npz"))]
    assert any((a != b).any() for a, b in zip(*found.values(), strict=True))
    assert all(scores.min() >= 0 and scores.max() <= 1 for scores in found["cam-lpcam"])


def test_a_class_without_an_image_for_clusters_is_named(run, data, cam_paths, tmp_path):
    assert run("train_cam", cam_paths)[0] == 0
    table = (data / "labels.csv").read_text().splitlines()
    rows = [line.split(",") for line in table[1:]]
    rows = [[row[0], "0", *row[2:]] for row in rows]
    (data / "labels.csv").write_text("\n".join([table[0], *map(",".join, rows)]) + "\n")
    paths = {
        "data": data,
        "checkpoint": cam_paths["checkpoint"],
        "prototypes": tmp_path / "clusters.pt",
        "method": "cam-lpcam",
        "random_seed": 0,
        **MACHINE,
    }
    name = table[0].split(",")[1]
    words = f"class {name} has no local features: its maps stay those of CAM"
    assert words in succeeded(run("make_clusters", paths, clusters=3))


def test_made_cams_are_those_of_the_present_classes_and_reach_one(run, data, cam_paths, tmp_path):
    assert run("train_cam", cam_paths)[0] == 0
    paths = {
        "data": data,
        "checkpoint": cam_paths["checkpoint"],
        "cams": tmp_path / "cams",
        "manifest": tmp_path / "cams.sha256",
        "method": "cam",
        **MACHINE,
    }
    assert run("make_cams", paths)[0] == 0
    labels = (data / "labels.csv").read_text().splitlines()[1:]
    train = {line.split(",")[0]: line.split(",")[1:] for line in labels if "train" in line}
    files = sorted((tmp_path / "cams").glob("*.npz"))
    assert [file.stem for file in files] == sorted(train)
    for file in files:
        cams = load_scores(file)
        present = [i for i, value in enumerate(train[file.stem]) if value == "1"]
        assert cams.classes.tolist() == present
        for scores in cams.scores:
            assert scores.max() == pytest.approx(1, abs=2e-3) or scores.max() == 0
    listed = (tmp_path / "cams.sha256").read_text().splitlines()
    assert len(listed) == len(files)


@pytest.mark.parametrize("refiner", ["none", "crf", "pamr", "pamr+crf"])
def test_a_refiner_that_needs_no_irn_gets_a_note_instead(run, irn_paths, refiner):
    said = succeeded(run("train_irn", irn_paths, refiner=refiner))
    note = f"no IRN was trained: make_pseudo.refiner is {refiner}, which needs none"
    assert note in said
    assert irn_paths["checkpoint"].read_text() == f"{note}\n"
    assert irn_paths["curve"].read_text() == "epoch,loss,value\n"


def test_a_refiner_that_needs_an_irn_refuses_the_note(run, irn_paths, pseudo_paths):
    succeeded(run("train_irn", irn_paths, refiner="crf"))
    result = run("make_pseudo", pseudo_paths, refiner="irn")
    refused(result, "irn.pt: expected a checkpoint, got the placeholder of train_irn")
    assert not pseudo_paths["cut"].exists()


def test_a_refiner_that_needs_an_irn_refuses_other_tensors(run, pseudo_paths):
    torch.save({"weight": torch.zeros(2)}, pseudo_paths["irn"])
    refused(run("make_pseudo", pseudo_paths, refiner="irn"), "irn.pt: not a recam checkpoint")


def test_an_irn_is_trained_once_and_walks_for_both_refiners_that_need_it(
    run, irn_paths, pseudo_paths
):
    said = succeeded(run("train_irn", irn_paths))
    assert "epoch 1/1" in said
    assert "confident pixels: " in said
    trained = irn_paths["checkpoint"].read_bytes()
    curve = irn_paths["curve"].read_text()
    losses = {line.split(",")[1] for line in curve.splitlines()[1:]}
    assert len(losses) == len(curve.splitlines()) - 1 > 1  # several, one epoch each
    assert not list(irn_paths["checkpoint"].parent.glob(".irn_masks*"))

    irn_paths["checkpoint"].unlink()  # an engine deletes outputs before it makes them again
    said = succeeded(run("train_irn", irn_paths, refiner="irn+crf"))
    assert "epoch 1/1" not in said
    assert "confident pixels: " not in said
    assert irn_paths["checkpoint"].read_bytes() == trained
    assert irn_paths["curve"].read_text() == curve
    assert not list(irn_paths["checkpoint"].parent.glob(".irn_masks*"))

    maps, widths = {}, {}
    for refiner, cut in {
        "none": {"background": 0.5, "threshold": 0.5},
        "pamr": {"background": 0.5, "threshold": 0.5},
        "irn": {"background": 0.35, "threshold": 0.35},
        "irn+crf": {"background": 0.45, "threshold": 0.5},
    }.items():
        numbers = {"background": 0.5, "irn_background": 0.35, "crf_background": 0.45}
        succeeded(run("make_pseudo", pseudo_paths, refiner=refiner, margin=0.05, **numbers))
        assert_whole_and_alone(pseudo_paths)
        assert json.loads(pseudo_paths["cut"].read_text()) == cut | {"margin": 0.05}
        maps[refiner] = load_scores(pseudo_paths["scores"] / "train_0000.npz").scores
        with Image.open(pseudo_paths["picture"]) as picture:
            widths[refiner] = picture.width
    for one, other in (("none", "pamr"), ("none", "irn"), ("pamr", "irn"), ("irn", "irn+crf")):
        assert not np.array_equal(maps[one], maps[other])
    # Columns for PAMR's maps, for edges and walk, and for the CRF's result.
    assert widths["none"] < widths["pamr"] < widths["irn"] < widths["irn+crf"]


def test_affinities_refine_maps_by_the_backbone_that_is_named(run, pseudo_paths):
    named = {"affinity_backbone": "test_resnet", "affinity_weights": "none"}
    own = {"refiner": "affinity", "affinity_background": 0.6, **named}
    said = succeeded(run("make_pseudo", pseudo_paths, margin=0.05, **own))
    assert "8 masks" in said
    assert_whole_and_alone(pseudo_paths)
    cut = {"background": 0.6, "threshold": 0.6, "margin": 0.05}
    assert json.loads(pseudo_paths["cut"].read_text()) == cut
    scores = load_scores(pseudo_paths["scores"] / "train_0000.npz").scores
    assert (scores.max(axis=(1, 2)) == 1).all()
    refused(run("make_pseudo", pseudo_paths, **own, affinity="attention"), "a transformer, got")
    words = "--classifier: affinities of the classifier expect its checkpoint, got none"
    refused(run("make_pseudo", pseudo_paths, refiner="affinity"), words)
    result = run("make_pseudo", pseudo_paths, **own, memory=1, affinity_scale=4.0, batch_size=2)
    succeeded(result)  # the image is shrunk for the network


def test_an_irn_is_trained_anew_with_other_numbers(run, irn_paths):
    hashes = []
    for changes in ({"lr_edges": 0.1}, {"lr_edges": 0.2}, {"lr_edges": 0.1}):
        assert "epoch 1/1" in succeeded(run("train_irn", irn_paths, **changes))
        hashes.append(hashlib.sha256(irn_paths["checkpoint"].read_bytes()).hexdigest())
    assert hashes[0] == hashes[2] != hashes[1]


def test_too_little_memory_for_a_walk_and_an_irn_of_other_classes_are_refused(
    run, data, irn_paths, pseudo_paths
):
    succeeded(run("train_irn", irn_paths))
    result = run("make_pseudo", pseudo_paths, refiner="irn", irn_radius=40, memory=1)
    refused(result, "train_0000.png: propagating its maps needs 2 MiB, memory is 1; raise memory")
    text = (data / "classes.txt").read_text().replace("ring", "wheel", 1)
    (data / "classes.txt").write_text(text)
    refused(
        run("make_pseudo", pseudo_paths, refiner="irn"),
        "irn.pt: expected a checkpoint for the",
        "wheel",
    )


def test_cams_without_confident_pixels_train_no_irn(run, irn_paths):
    result = run("train_irn", irn_paths, foreground=0.95)
    refused(result, "no pixel of any image is confident foreground; lower foreground")


@pytest.mark.parametrize("storage", ["files", "archives"])
def test_confident_pixels_are_counted_by_hand(run, data, cams, irn_paths, monkeypatch, storage):
    monkeypatch.setenv("RECAM_STORAGE", storage)
    half = np.zeros((1, 32, 32))
    half[:, :, :8], half[:, :, 8:16] = 0.9, 0.5  # a quarter is confident, a quarter is not
    for file in cams.iterdir():
        write_cams(file, half, [3])
    if storage == "archives":
        in_archive(cams)
        write_manifest(cams.with_name("cams.sha256"), [cams])
    said = succeeded(run("train_irn", irn_paths, crf_iterations=0))
    assert "confident pixels: 25.0 % foreground, 50.0 % background; 25.0 % ignored" in said


@pytest.mark.parametrize("refiner", ["none", "pamr", "crf", "pamr+crf"])
def test_masks_of_drawn_maps_equal_the_ground_truth(run, data, pseudo_paths, refiner):
    changes = {"crf_iterations": 0, "pamr_iterations": 0}
    said = succeeded(run("make_pseudo", pseudo_paths, refiner=refiner, **changes))
    assert "8 masks, 100.0 % of their pixels to train on" in said
    assert_whole_and_alone(pseudo_paths)
    for file in pseudo_paths["masks"].iterdir():
        truth = read_mask(data / "SegmentationClass" / file.name)
        np.testing.assert_array_equal(read_mask(file), np.where(truth == 255, 0, truth))


@pytest.mark.parametrize(
    ("refiner", "discount", "background", "threshold"),
    [("none", 0.04, 0.1, 0.1), ("crf", 0.04, 0.06, 0.5), ("crf", 0.3, 0.05, 0.5)],
)
def test_a_threshold_found_by_yen_is_logged_and_written(
    run, pseudo_paths, refiner, discount, background, threshold
):
    numbers = {"refiner": refiner, "threshold": "yen", "crf_discount": discount, "margin": 0}
    said = succeeded(run("make_pseudo", pseudo_paths, **numbers))
    # Yen's score is 0.1, between the scores 0.1 and 0.9; before a CRF it is lower, by half at most.
    assert f"background score {background:.2f}, found in the maps" in said
    cut = json.loads(pseudo_paths["cut"].read_text())
    assert cut == {"background": background, "threshold": threshold, "margin": 0.0}


def test_yen_needs_a_map_and_other_thresholds_do_not(run, cams, pseudo_paths):
    for file in cams.iterdir():
        write_cams(file, np.zeros((0, 32, 32)), np.array([], dtype=np.int64))
    result = run("make_pseudo", pseudo_paths, threshold="yen")
    refused(result, "threshold: yen expects an image with a class, got none; set fixed")
    succeeded(run("make_pseudo", pseudo_paths, threshold="fixed"))
    assert_whole_and_alone(pseudo_paths)


def test_storage_changes_neither_maps_nor_masks(run, cams, pseudo_paths, monkeypatch):
    found = []
    for storage in ("files", "archives"):
        monkeypatch.setenv("RECAM_STORAGE", storage)
        if storage == "archives":
            in_archive(cams)
            write_manifest(cams.with_name("cams.sha256"), [cams])
        succeeded(run("make_pseudo", pseudo_paths, refiner="pamr+crf"))
        files = [*files_in(pseudo_paths["masks"]), *files_in(pseudo_paths["scores"])]
        pixels = np.array(Image.open(pseudo_paths["picture"]))
        found.append([pixels.tolist(), [(file.name, read_content(file)) for file in files]])
    assert found[0] == found[1]
    assert len(files) == 16
    out = pseudo_paths["masks"].parent
    assert names(out / "pseudo") == names(out / "scores") == ["00000.zip"]
    assert not [name for name in names(out) if "partial" in name or "packed" in name]
    listed = pseudo_paths["manifest"][0].read_text()
    assert [line.split("  ")[1] for line in listed.splitlines()] == ["cut.json", "pseudo/00000.zip"]


def test_the_same_cams_give_the_same_pseudo_masks(run, pseudo_paths):
    lists = []
    for batch_size in (1, 3):
        changes = {"refiner": "pamr+crf", "batch_size": batch_size}
        succeeded(run("make_pseudo", pseudo_paths, **changes))
        lists.append([path.read_text() for path in pseudo_paths["manifest"]])
    assert lists[0] == lists[1]


def test_a_map_of_a_class_beyond_the_data_set_is_named(run, cams, irn_paths, pseudo_paths):
    write_cams(cams / "train_0003.npz", np.full((1, 32, 32), 0.9), [200])
    words = "train_0003.npz: expected class indices below 8, got 200"
    for refiner in ("none", "crf"):
        refused(run("make_pseudo", pseudo_paths, refiner=refiner), words)
    refused(run("train_irn", irn_paths), words)
    assert not pseudo_paths["masks"].exists()


def test_maps_of_another_size_than_their_image_are_named(run, cams, irn_paths, pseudo_paths):
    write_cams(cams / "train_0003.npz", np.full((1, 32, 16), 0.9), [2])
    words = "train_0003.npz: expected maps of (32, 32) pixels, as its image, got (32, 16)"
    refused(run("make_pseudo", pseudo_paths), words)
    refused(run("train_irn", irn_paths), words)


def test_crops_too_small_for_any_pair_are_refused(run, cams, irn_paths):
    words = "crop: expected more than 32 pixels, so that pairs of radius 5 fit, got 32"
    refused(run("train_irn", irn_paths, radius=5), words)


def test_cams_without_confident_objects_are_refused(run, cams, irn_paths):
    for file in cams.iterdir():
        write_cams(file, np.full((1, 32, 32), 0.2), [1])
    refused(run("train_irn", irn_paths), "no pixel of any image is confident foreground; lower")


def test_maps_that_are_not_finite_are_named(run, cams, irn_paths, pseudo_paths):
    scores = np.full((1, 32, 32), np.nan, np.float32)
    np.savez(cams / "train_0003.npz", scores=scores, classes=np.array([2]))
    words = "train_0003.npz: expected finite scores, got NaN or infinity in 100.0%"
    refused(run("make_pseudo", pseudo_paths), words)
    refused(run("train_irn", irn_paths), words)


def test_a_folder_without_maps_is_named(run, cams, irn_paths, pseudo_paths):
    for file in cams.iterdir():
        file.unlink()
    refused(run("make_pseudo", pseudo_paths), "cams: lacks 8 of the 8 files in cams.sha256")
    refused(run("train_irn", irn_paths), "train_0000.npz: not found; delete the folder")


def test_cams_that_were_never_made_are_named(run, cams, pseudo_paths):
    cams.with_name("cams.sha256").unlink()
    refused(run("make_pseudo", pseudo_paths), "cams: not found, or not finished; run the step")


def test_every_script_explains_its_arguments(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for script in sorted(SCRIPTS.glob("[a-z]*.py")):
        monkeypatch.setattr(sys, "argv", [str(script), "--help"])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(script), run_name="__main__")
        assert stop.value.code == 0


class _Experiment:
    """One run of cam, from a classifier to a summary, in the folders of the real experiment."""

    def __init__(self, run, data):
        self.run, self.data = run, data
        self.truth = data / "SegmentationClass"
        self.results = data.parent / "results"
        self.folder = self.results / "seed0/cam"

    def step(self, name, paths, **changes):
        common = MACHINE | ({"method": "cam"} if name in ("train_cam", "make_cams") else {})
        seed = {"random_seed": 0} if name.startswith("train") else {}
        return self.run(name, {"data": self.data, **paths, **seed, **common}, **changes)

    def train(self):
        f, classifier = self.folder, {"checkpoint": self.folder / "classifier.pt"}
        for name, paths in {
            "train_cam": classifier | {"curve": f / "classifier_curve.csv"},
            "make_cams": classifier | {"cams": f / "cams", "manifest": f / "cams.sha256"},
            "train_irn": {
                "cams": f / "cams",
                "refiner": "crf",
                "checkpoint": f / "irn.pt",
                "curve": f / "irn_curve.csv",
            },
            "make_pseudo": {
                "cams": f / "cams",
                "irn": f / "irn.pt",
                "masks": f / "pseudo",
                "scores": f / "scores",
                "manifest": [f / "pseudo.sha256", f / "scores.sha256"],
                "cut": f / "cut.json",
                "picture": f / "pseudo_picture.png",
            },
        }.items():
            code, words = self.step(name, paths)
            assert code == 0, words
        code, words = self.train_seg(f / "pseudo")
        assert code == 0, words

    def train_seg(self, masks, **changes):
        paths = {
            "masks": masks,
            "classifier": self.folder / "classifier.pt",
            "checkpoint": self.folder / "segmenter.pt",
            "curve": self.folder / "segmenter_curve.csv",
        }
        return self.step("train_seg", paths, **changes)

    def evaluate(self, **changes):
        f = self.folder
        paths = {
            "truth": self.truth,
            "checkpoint": f / "segmenter.pt",
            "classifier": f / "classifier.pt",
            "cams": f / "cams",
            "scores": f / "scores",
            "cut": f / "cut.json",
            "pseudo": f / "pseudo",
            "predictions": f / "predictions",
            "manifest": f / "predictions.sha256",
            "metrics": f / "metrics.json",
            "plots": [f / f"{name}.csv" for name in ("per_class", "thresholds", "confusion")],
            "counts": f / "counts.csv",
            "signs": f / "signs.json",
            "prediction": f / "prediction.json",
        }
        return self.step("evaluate", paths, **changes)

    def summarize(self):
        r, names = self.results, ("per_class", "thresholds", "confusion", "curves")
        paths = {
            "data": self.data,
            "truth": self.truth,
            "runs": [self.folder / "metrics.json"],
            "metrics": r / "metrics.json",
            "details": r / "details.csv",
            "table": r / "summary.md",
            "trust": r / "trust.json",
            "picture": r / "picture.png",
            "plots": [r / f"{name}.csv" for name in names],
        }
        return self.run("summarize", paths)

    def scored(self):
        """Evaluate and summarize: messages and tables, images by stage, width of the picture."""
        said = ""
        for step in (self.evaluate, self.summarize):
            code, words = step()
            assert code == 0, words
            said += words
        said += (self.results / "metrics.json").read_text()
        said += (self.results / "details.csv").read_text()
        said += (self.results / "summary.md").read_text()
        assert "nan" not in said.lower()
        images = {}
        for stage, values in json.loads((self.folder / "metrics.json").read_text()).items():
            assert ("miou" in values) == (values["images"] > 0)
            images[stage] = values["images"], values["of"]
        picture = np.asarray(Image.open(self.results / "picture.png"))
        return said, images, picture.shape[1]


@pytest.mark.parametrize("watch", ["tensorboard", "dvclive"])
def test_a_log_changes_no_byte_of_a_training(run, data, cam_paths, tmp_path, monkeypatch, watch):
    pytest.importorskip(watch)
    made = [cam_paths["checkpoint"], cam_paths["curve"]]

    def trained():
        code, words = run("train_cam", cam_paths, epochs=2, held_out=0.25)
        assert code == 0, words
        return [path.read_bytes() for path in made], words

    monkeypatch.chdir(tmp_path)
    without, _ = trained()
    monkeypatch.setenv("RECAM_WATCH", watch)
    made_with, said = trained()
    assert made_with == without
    assert "warning" not in said
    folder = tmp_path / "logs/watch" / tmp_path.name / "out/train_cam"
    assert any(file.is_file() for file in folder.rglob("*"))
    shutil.rmtree(tmp_path / "logs")
    (tmp_path / "logs").write_text("in the way")
    made_with, said = trained()
    assert made_with == without
    assert said.count("the log of `watch` ends here, training goes on") == 1


def test_a_step_without_snakemake_takes_its_log_from_params_yaml(
    run, data, cam_paths, tmp_path, monkeypatch
):
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("watch: tensorboard\n")
    assert run("train_cam", cam_paths)[0] == 0
    assert len(list(tmp_path.glob("logs/watch/*/out/train_cam/events.*"))) == 1


def tensors_of(path, part):
    """The tensors of a checkpoint whose names hold a part."""
    tensors, _ = load_checkpoint(path)
    return {name.rpartition(part)[2]: value for name, value in tensors.items() if part in name}


def same(ones, others):
    """Whether two networks have the same tensors, bit for bit."""
    return ones.keys() == others.keys() and all(torch.equal(ones[n], others[n]) for n in ones)


def test_a_frozen_backbone_stays_and_its_features_are_shared(
    run, data, cam_paths, tmp_path, monkeypatch
):
    """The features of train_cam are read by train_recam and train_seg; no step trains them."""
    monkeypatch.setenv("RECAM_FEATURE_CACHE", "0.1")
    numbers = {"frozen_backbone": True, "held_out": 0.25}
    assert "frozen backbone: 0 views in " in succeeded(run("train_cam", cam_paths, **numbers))
    cam, made = cam_paths["checkpoint"], [cam_paths["checkpoint"], cam_paths["curve"]]
    before, backbone = [path.read_bytes() for path in made], tensors_of(cam, "backbone.")
    assert "frozen backbone: 0 views computed" in succeeded(run("train_cam", cam_paths, **numbers))
    assert [path.read_bytes() for path in made] == before

    out = tmp_path / "out/recam"
    stage_two = {"cam": cam, "checkpoint": out / "classifier.pt", "curve": out / "curve.csv"}
    paths = cam_paths | stage_two | {"method": "recam"}
    refused(run("train_recam", paths, colour=0.2), "colour: expected 0 with a frozen backbone")
    succeeded(run("train_recam", paths))
    assert same(tensors_of(paths["checkpoint"], "backbone."), backbone)

    masks = {"masks": data / "SegmentationClass", "classifier": cam, "random_seed": 0}
    out = tmp_path / "out/seg"
    paths = {"data": data, "checkpoint": out / "segmenter.pt", "curve": out / "c.csv", **MACHINE}
    frozen = {"segmenter": "linear", "frozen_backbone": True, "weights": "classifier"}
    said = succeeded(run("train_seg", paths | masks, **frozen))
    computed = int(re.search(r"(\d+) views computed", said)[1])
    assert computed < 8  # views of its two batches of four
    assert same(tensors_of(paths["checkpoint"], "backbone."), backbone)


def test_a_data_set_is_scored_on_all_some_or_none_of_its_images(run, data):
    experiment = _Experiment(run, data)
    experiment.train()
    said, images, width = experiment.scored()
    assert images == {"cams": (8, 8), "pseudo": (8, 8), "seg": (4, 4)}
    assert "true mask" not in said
    assert "no ground truth" not in said
    assert "mIoU of cams: CAM" in said

    for mask in experiment.truth.glob("train_000[0235-7].png"):  # the first of them, too
        mask.unlink()
    said, images, width_of_some = experiment.scored()
    assert images == {"cams": (2, 8), "pseudo": (2, 8), "seg": (4, 4)}
    assert said.count("scored on 2 of 8 images of train; the others have no ground truth") == 1
    assert said.count("Scored on 2 of 8 images of train; the others have no ground truth.") == 1
    assert width_of_some == width

    for mask in experiment.truth.glob("*.png"):
        mask.unlink()
    said, images, width_of_none = experiment.scored()
    assert images == {"cams": (0, 8), "pseudo": (0, 8), "seg": (0, 4)}
    assert "no ground truth for split train: nothing to score" in said
    assert "no ground truth for split val: nothing to score" in said
    assert "| CAM | no ground truth | no ground truth | no ground truth |" in said
    assert "mIoU, %: no ground truth" in said
    assert width_of_none < width  # no column of the ground truth
    for name, columns in (
        ("thresholds", "stage,threshold,miou"),
        ("per_class", "stage,class,iou"),
        ("confusion", "stage,truth,prediction,pixels"),
    ):
        text = (experiment.results / f"{name}.csv").read_text()
        assert text == f"random_seed,method,{columns}\n"


def test_masks_to_train_on_that_are_missing_are_counted_before_training(run, data):
    experiment = _Experiment(run, data)
    (experiment.truth / "train_0003.png").unlink()
    (experiment.truth / "train_0005.png").unlink()
    words = ("each of the 8 images of split train, 2 are missing (first: train_0003)", "supervised")
    refused(experiment.train_seg(experiment.truth), *words)
    pseudo = experiment.folder / "pseudo"
    experiment.truth.rename(pseudo)
    refused(
        experiment.train_seg(pseudo), "set make_cams.split to a split that contains train_seg.split"
    )


def test_a_cut_that_was_never_written_is_named(run, data):
    experiment = _Experiment(run, data)
    for folder in ("cams", "scores"):
        for number in range(8):
            write_cams(
                experiment.folder / folder / f"train_{number:04d}.npz", np.ones((1, 32, 32)), [0]
            )
    refused(experiment.evaluate(), "cut.json: not found; run make_pseudo")


def test_maps_of_another_split_are_refused_before_anything_is_predicted(run, data):
    experiment = _Experiment(run, data)
    (experiment.folder / "cams").mkdir(parents=True)
    (experiment.folder / "cut.json").write_text('{"threshold": 0.5}')
    words = ("no maps for 8 of the 8 images of split train", "maps_split", "make_cams.split")
    refused(experiment.evaluate(), *words)


def test_every_kind_of_segmenter_is_trained_and_predicts(run, data):
    experiment = _Experiment(run, data)
    experiment.train()
    losses = {
        ("deeplab", 16): ["ce"],
        ("deeplabv2", 8): ["ce_1", "ce_0.75", "ce_0.5", "ce_max"],
        ("smp/unet", 32): ["ce"],
    }
    for (segmenter, stride), names in losses.items():
        numbers = {"segmenter": segmenter, "output_stride": stride, "weights": "classifier"}
        succeeded(
            experiment.train_seg(
                experiment.folder / "pseudo", **numbers, gradient_accumulation_steps=2
            )
        )
        rows = (experiment.folder / "segmenter_curve.csv").read_text().splitlines()[1:]
        assert [row.split(",")[1] for row in rows] == names
        succeeded(experiment.evaluate())


def test_a_second_round_goes_on_where_it_was_stopped(run, data):
    experiment, masks = _self_trained(run, data)
    f, twice = experiment.folder, {"self_training": "second_round", "self_training_confidence": 0.0}
    said = succeeded(experiment.train_seg(masks, **twice))
    assert "second round" in said
    unbroken, curve = (f / "segmenter.pt").read_bytes(), (f / "segmenter_curve.csv").read_bytes()
    assert [line.split(",")[0] for line in curve.decode().split()] == ["epoch", "1", "2"]
    assert not [path for path in f.iterdir() if "own_masks" in path.name or "last" in path.name]
    (f / "segmenter.second.last.pt").mkdir()  # no state can be read or written
    code, said = experiment.train_seg(masks, **twice)
    assert code == 1, said
    (f / "segmenter.second.last.pt").rmdir()
    (f / ".own_masks.partial/train_0003.png").unlink()
    said = succeeded(experiment.train_seg(masks, **twice))
    assert "epoch" not in said.split("second round")[0]
    assert (f / "segmenter.pt").read_bytes() == unbroken
    assert (f / "segmenter_curve.csv").read_bytes() == curve
    (f / "segmenter.second.last.pt").write_bytes(b"of a killed run")
    (f / ".own_masks.partial").mkdir()
    succeeded(experiment.train_seg(masks))
    assert not [path for path in f.iterdir() if "own_masks" in path.name or "last" in path.name]


def test_a_second_round_needs_confident_foreground(run, data):
    experiment, masks = _self_trained(run, data)
    changes = {"self_training": "second_round", "self_training_confidence": 1.0}
    words = ("expected masks with foreground pixels, got none", "lower train_seg.self_training_con")
    refused(experiment.train_seg(masks, **changes), *words)
    said = succeeded(experiment.train_seg(masks, **changes | {"self_training_confidence": 0.0}))
    assert "epoch" not in said.split("second round")[0]  # the first round was kept


def test_the_upper_bound_has_no_second_round(run, data):
    experiment, _ = _self_trained(run, data)
    tensors = []
    for self_training in ("none", "second_round"):
        succeeded(experiment.train_seg(experiment.truth, self_training=self_training))
        tensors.append((experiment.folder / "segmenter.pt").read_bytes())
    assert tensors[0] == tensors[1]


def _self_trained(run, data):
    """An experiment whose pseudo masks are ground truth without background.

    Then two steps suffice for a segmenter that predicts foreground.
    """
    experiment = _Experiment(run, data)
    masks = experiment.folder / "pseudo"
    shutil.copytree(experiment.truth, masks)
    for path in masks.glob("*.png"):
        mask = read_mask(path)
        write_mask(path, np.where(mask == 0, np.uint8(255), mask))
    write_manifest(experiment.folder / "pseudo.sha256", [masks])
    (experiment.folder / "classifier.pt").write_bytes(b"of no use without weights")
    return experiment, masks


def test_a_crf_after_the_segmenter_changes_its_masks(run, data):
    experiment = _Experiment(run, data)
    experiment.train()
    masks = []
    for changes in ({}, {"crf": True}, {"crf": True, "crf_iterations": 0}):
        succeeded(experiment.evaluate(**changes))
        files = sorted((experiment.folder / "predictions").glob("*.png"))
        masks.append(np.stack([read_mask(file) for file in files]))
    assert (masks[0] != masks[1]).any()
    assert (masks[0] == masks[2]).all()


def test_predict_repeats_the_masks_that_were_scored(run, data):
    experiment = _Experiment(run, data)
    experiment.train()
    scored, out = experiment.folder / "predictions", data.parent / "masks"
    words = ["--checkpoint", str(experiment.folder / "segmenter.pt"), "--out", str(out)]
    for crf in (False, True):
        succeeded(experiment.evaluate(scales=[0.5, 1.5], crf=crf))
        masks = {mask.name: mask.read_bytes() for mask in sorted(scored.glob("*.png"))}
        images = [str(data / f"JPEGImages/{Path(name).stem}.*") for name in masks]
        assert predict.main([*images, *words]) == 0
        assert {mask.name: mask.read_bytes() for mask in out.glob("*.png")} == masks
        assert any(len(np.unique(read_mask(mask))) > 1 for mask in scored.glob("*.png"))


def test_insertion_and_deletion_are_scored_on_as_many_images_as_wanted(run, data):
    experiment = _Experiment(run, data)
    experiment.train()
    of_images = []
    for images in (0, 1, 8, 9):
        succeeded(experiment.evaluate(causal_images=images))
        cams = json.loads((experiment.folder / "metrics.json").read_text())["cams"]
        assert 0 <= cams["pointing"] <= 100
        assert 0 <= cams["box_accuracy"] <= 100
        of_images.append((cams.get("insertion"), cams.get("deletion")))
    none, one, all_images, more = of_images
    assert none == (None, None)
    assert all(0 < value < 100 for value in (*one, *all_images))
    assert one != all_images == more


def test_segmenters_that_cannot_be_are_refused(run, data):
    experiment = _Experiment(run, data)
    truth = experiment.truth
    words = ("expected output stride 32, got 16", "set output_stride: 32")
    refused(experiment.train_seg(truth, segmenter="smp/unet"), *words)
    refused(experiment.train_seg(truth, backbone="resnet51"), "nearest are resnet5", "there is no")
    experiment.folder.mkdir(parents=True, exist_ok=True)
    (experiment.folder / "classifier.pt").write_bytes(b"of no use without weights")
    words = ("gradient_accumulation_steps: expected a divisor of batch_size (4), got 3",)
    refused(experiment.train_seg(truth, gradient_accumulation_steps=3, weights="none"), *words)


def test_a_crop_that_no_image_fills_is_refused(run, cam_paths):
    words = "crop: expected no more than resize_max (32), got"
    refused(run("train_cam", cam_paths, crop=40), words, "got 40; lower crop or raise resize_max")


def test_a_class_that_no_mask_shows_is_reported_and_training_goes_on(run, data):
    experiment = _Experiment(run, data)
    experiment.folder.mkdir(parents=True, exist_ok=True)
    (experiment.folder / "classifier.pt").write_bytes(b"of no use without weights")
    for path in experiment.truth.glob("train_*.png"):
        mask = np.array(Image.open(path))
        mask[mask == 3] = 255
        Image.fromarray(mask).save(path)
    write_manifest(data / "SegmentationClass.sha256", [experiment.truth])
    said = succeeded(experiment.train_seg(experiment.truth, weights="none"))
    name = (data / "classes.txt").read_text().splitlines()[2]
    assert f"class {name} is in no mask of split train" in said
