"""Values that no step writes are refused, in files whose checksums are right or missing."""

import io
import json
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from numpy.lib import format as npy
from torch import nn

from recam.core.errors import UserError
from recam.io.atomic import read_manifest, require_listed, write_manifest
from recam.io.checkpoints import ModelConfig, load_checkpoint, load_network, save_checkpoint
from recam.io.origins import step_of
from recam.io.placeholders import write_placeholder
from recam.io.records import read_cut, read_metrics, read_signs, write_record
from recam.io.result_tables import read_table
from recam.io.scores import load_classes, load_scores

CONFIG = ModelConfig(
    method="cam",
    backbone="resnet18",
    output_stride=16,
    classes=("cat", "dog"),
    frozen_batch_norm=True,
    frozen_stem=False,
)
CUT = {"background": 0.35, "threshold": 0.5, "margin": 0.05}
WHOLE = {"split": "val", "images": 1, "of": 2, "miou": 43.0}
MAPS = np.zeros((1, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("output_stride", 7),
        ("output_stride", "16"),
        ("classes", 3),
        ("classes", ["cat", 2]),
        ("backbone", None),
        ("weight", float("nan")),
        ("frozen_stem", "yes"),
        ("rates", [0]),
        ("radius", -1),
        ("method", torch.zeros(2)),
    ],
)
def test_a_configuration_that_no_step_writes_is_refused(tmp_path, name, value):
    path = tmp_path / "classifier.pt"
    save_checkpoint(path, {"weight": torch.zeros(2)}, CONFIG)
    content = torch.load(path, weights_only=True)
    content["model_config"][name] = value
    torch.save(content, path)
    with pytest.raises(UserError, match=r"classifier\.pt: .*train_cam makes it anew"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        {"tensors": None},
        {"tensors": {"weight": 1.0}},
        {"tensors": {3: torch.zeros(2)}},
        {"tensors": {"weight": torch.tensor([float("nan")])}},
        {"model_config": None},
        {"model_config": []},
    ],
)
def test_a_checkpoint_without_tensors_or_configuration_is_refused(tmp_path, content):
    path = tmp_path / "segmenter.pt"
    save_checkpoint(path, {"weight": torch.zeros(2)}, CONFIG)
    torch.save(torch.load(path, weights_only=True) | content, path)
    with pytest.raises(UserError, match=r"segmenter\.pt: .*(makes it anew|run the step)"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"weight": torch.zeros(3, 2)},
        {"weight": torch.zeros(2, 3, dtype=torch.int64)},
        {"weight": torch.zeros(2, 3), "more": torch.zeros(1)},
    ],
)
def test_tensors_of_another_form_do_not_fit(tmp_path, tensors):
    path = tmp_path / "classifier.pt"
    save_checkpoint(path, tensors, CONFIG)
    with pytest.raises(UserError, match=r"classifier\.pt: its tensors do not fit the network"):
        load_network(path, make_linear, methods=["cam"], expected="a classifier", give="one")


def make_linear(model_config: ModelConfig) -> nn.Module:
    return nn.Linear(3, len(model_config.classes), bias=False)


def test_the_network_of_an_unknown_method_is_named(tmp_path):
    path = tmp_path / "classifier.pt"
    save_checkpoint(path, {}, replace(CONFIG, method="magic"))
    with pytest.raises(UserError, match="expected a classifier, got a network of method magic"):
        load_network(path, make_linear, methods=["cam"], expected="a classifier", give="one")


def test_a_placeholder_is_no_damaged_checkpoint(tmp_path):
    write_placeholder(tmp_path / "irn.pt", "the refiner needs none")
    with pytest.raises(UserError, match=r"irn\.pt: expected a checkpoint, got the placeholder"):
        load_checkpoint(tmp_path / "irn.pt")


@pytest.mark.parametrize(
    "classes",
    [np.array(0), np.array([[0]]), np.array(["0"]), np.array([-1]), np.array([254]), [0.0]],
)
@pytest.mark.parametrize("load", [load_scores, load_classes])
def test_classes_that_are_no_ascending_indices_are_refused(tmp_path, classes, load):
    path = tmp_path / "cams/a.npz"
    path.parent.mkdir()
    np.savez(path, scores=MAPS, classes=classes)
    with pytest.raises(UserError, match=r"a\.npz: expected classes .* make_cams makes it anew"):
        load(path)


def test_classes_that_occur_twice_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", scores=np.zeros((2, 2, 2), np.uint8), classes=np.array([1, 1]))
    with pytest.raises(UserError, match=r"expected classes as ascending indices from 0 to 253"):
        load_scores(tmp_path / "a.npz")


def test_a_header_that_promises_more_than_there_is_allocates_nothing(tmp_path):
    header = io.BytesIO()
    npy.write_array_header_1_0(
        header, {"shape": (1, 10**9, 10**9), "fortran_order": False, "descr": "|u1"}
    )
    with ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("scores.npy", header.getvalue())
        archive.writestr("classes.npy", header.getvalue())
    with pytest.raises(UserError, match=r"a\.npz: damaged, or not a file of score maps"):
        load_scores(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "{}", "text", "0.5", '{"threshold": 0.5}'),
        *(json.dumps(CUT | {"threshold": value}) for value in (float("nan"), 7, -0.1, "0.5", None)),
        json.dumps(CUT | {"more": 1}),
        json.dumps(CUT | {"saliency": "magic"}),
    ],
)
def test_a_cut_that_make_pseudo_does_not_write_is_refused(tmp_path, text):
    (tmp_path / "cut.json").write_text(text)
    with pytest.raises(UserError, match=r"cut\.json: .*run again: make_pseudo makes it anew"):
        read_cut(tmp_path / "cut.json")


@pytest.mark.parametrize(
    "content",
    [
        *("", [], 3, {"seg": 3}, {"seg": {}}, {"other": WHOLE}),
        *({"seg": WHOLE | {"miou": value}} for value in (float("nan"), "43", None, 101, [43])),
        {"seg": WHOLE | {"split": 3}},
        {"seg": WHOLE | {"images": 1.5}},
    ],
)
def test_metrics_that_evaluate_does_not_write_are_refused(tmp_path, content):
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"metrics\.json: .*run again: evaluate makes it anew"):
        read_metrics(tmp_path / "metrics.json")


def test_metrics_come_back_as_they_were_written(tmp_path):
    write_record(tmp_path / "metrics.json", {"seg": WHOLE})
    assert read_metrics(tmp_path / "metrics.json") == {"seg": WHOLE}


@pytest.mark.parametrize("content", [3, {"values": {"recall": "high"}}, {"classes": {"a": "cat"}}])
def test_signs_that_evaluate_does_not_write_are_refused(tmp_path, content):
    (tmp_path / "signs.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"signs\.json: .*evaluate makes it anew"):
        read_signs(tmp_path / "signs.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected the columns stage,class,iou, got none"),
        (b"stage,iou,class\n", "expected the columns stage,class,iou, got stage,iou,class"),
        (b"stage,class,iou\nseg,cat,high\n", "row 2: expected a number from 0 to 100"),
        (b"stage,class,iou\nseg,cat,1\nseg,dog,101\n", "row 3: expected a number from 0 to 100"),
        (b"stage,class,iou\nseg,cat,1,\n", "row 2: expected 3 values, got 4"),
        (b"stage,class,iou\nseg,cat\n", "row 2: expected 3 values, got 2"),
        (b"stage,class,iou\n\n", "row 2: expected 3 values, got 0"),
        (b"\xff\xfe\x00", "damaged .expected text"),
        (b'stage,class,iou\nseg,"cat,1\n', "not a table in CSV"),
    ],
)
def test_a_table_that_evaluate_does_not_write_is_refused(tmp_path, content, words):
    (tmp_path / "per_class.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"per_class\.csv: {words}.*evaluate makes it anew"):
        read_table(tmp_path / "per_class.csv")


def test_text_of_a_table_stays_text_and_undefined_numbers_are_nan(tmp_path):
    (tmp_path / "per_class.csv").write_text('stage,class,iou\nseg,0025,\nseg,"NA, b",12.5\n')
    table = read_table(tmp_path / "per_class.csv")
    assert table["class"].tolist() == ["0025", "NA, b"]
    assert np.isnan(table["iou"].tolist()[0])
    assert table["iou"].tolist()[1] == 12.5


def test_an_id_in_many_rows_is_one_object_and_numbers_are_none(tmp_path):
    rows = [f"seg,photo_{number // 4},1,{number % 4},{1000 + number}" for number in range(40)]
    text = "\n".join(["stage,image,truth,prediction,pixels", *rows]) + "\n"
    (tmp_path / "counts.csv").write_text(text)
    table = read_table(tmp_path / "counts.csv")
    assert table.to_csv(index=False) == text
    assert len(set(map(id, table["image"]))) == 10
    assert table["pixels"].dtype == np.int64


@pytest.mark.parametrize("read", [load_checkpoint, load_scores, read_cut])
def test_a_file_that_cannot_be_opened_is_not_called_damaged(tmp_path, read):
    folder, link = tmp_path / "cut.json", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"cut\.json: expected a file, got a folder; move"):
        read(folder)
    with pytest.raises(UserError, match=r"link: is a link to .*nowhere, which does not exist"):
        read(link)


def test_a_folder_that_lacks_a_listed_file_is_refused(tmp_path):
    folder, manifest = tmp_path / "cams", tmp_path / "cams.sha256"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.npz").write_bytes(b"maps")
    write_manifest(manifest, [folder])
    assert list(read_manifest(manifest)) == ["cams/a.npz", "cams/b.npz"]
    require_listed(folder)
    (folder / "b.npz").unlink()
    with pytest.raises(UserError, match=r"lacks 1 of the 2 files in cams\.sha256 \(first: b\.npz"):
        require_listed(folder)
    manifest.write_text("chosen\n")
    with pytest.raises(UserError, match=r"cams\.sha256: damaged .* make_cams makes it anew"):
        require_listed(folder)


def test_the_step_of_a_file_is_known_by_its_name_or_folder(tmp_path):
    run = tmp_path / "results/seed0/cam-lpcam"
    assert step_of(run / "clusters.pt") == "make_clusters"
    assert step_of(run / ".cams.partial/a.npz") == "make_cams"
    assert step_of(run.with_name("seam-recam") / "classifier.last.pt") == "train_recam"
    assert step_of(run / "classifier_curve.csv") == "train_cam"
    assert step_of(run.with_name("saliency") / "maps/a.png") == "train_saliency"
    assert step_of(tmp_path / "data/SegmentationClass/a.png") == ""
    assert step_of(tmp_path / "own/maps/a.png") == ""
    assert step_of(tmp_path / "own/predictions/a.bmp") == ""
