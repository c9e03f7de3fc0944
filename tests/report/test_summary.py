"""The table of all runs: means and deviations over replicates, worked out by hand."""

import json

import pytest

from recam.core.errors import UserError
from recam.report.summary import (
    Run,
    gathered_curves,
    gathered_metrics,
    gathered_table,
    results_table,
    table_of,
)


@pytest.fixture
def runs(tmp_path):
    """Two replicates of recam, with cams of 40 and 44, and of the upper bound, without cams."""
    runs = []
    for seed, miou in ((0, 40.0), (1, 44.0)):
        for method in ("recam", "supervised"):
            folder = tmp_path / f"seed{seed}/{method}"
            folder.mkdir(parents=True)
            metrics = {"seg": {"split": "val", "miou": 50.0 + seed}}
            if method == "recam":
                metrics["cams"] = {"split": "train", "miou": miou, "oracle_miou": miou + 1}
                (folder / "classifier_curve.csv").write_text(f"epoch,loss,value\n1,sce,{seed}.5\n")
                (folder / "irn_curve.csv").write_text("epoch,loss,value\n")  # none was needed
            (folder / "segmenter_curve.csv").write_text("epoch,loss,value\n1,ce,2.0\n")
            (folder / "metrics.json").write_text(json.dumps(metrics))
            runs.append(Run(folder=folder))
    return runs


def test_metrics_are_means_and_sample_deviations_over_replicates(runs):
    metrics = gathered_metrics(runs)
    recam = metrics["cams"]["recam"]
    assert recam["miou"] == 42
    assert recam["miou_std"] == pytest.approx(8**0.5, abs=1e-4)  # ((-2)² + 2²) / (2 - 1)
    assert recam["oracle_miou"] == 43
    assert set(metrics["cams"]) == {"recam"}
    assert metrics["seg"]["supervised"]["miou"] == 50.5


def test_one_replicate_has_no_deviation(runs):
    alone = gathered_metrics(runs[:1])
    assert alone["cams"]["recam"]["miou_std"] == 0
    assert "±" not in results_table(alone, replicates=1)


def test_the_table_shows_deviations_and_marks_missing_stages_with_a_dash(runs):
    table = results_table(gathered_metrics(runs), replicates=2)
    assert "| ReCAM | 42.0 ± 2.8 (43.0 ± 2.8) | 50.5 ± 0.7 |" in table
    assert "| supervised | - | 50.5 ± 0.7 |" in table


def test_curves_of_all_networks_stand_below_each_other(runs):
    curves = gathered_curves(runs)
    rows = curves.to_csv(index=False).splitlines()
    assert rows[0] == "random_seed,method,network,epoch,loss,value"
    assert rows[1:3] == ["0,recam,classifier,1,sce,0.5", "1,recam,classifier,1,sce,1.5"]
    assert len(rows) == 1 + 2 + 4
    assert rows[-1] == "1,supervised,segmenter,1,ce,2.0"


def test_only_the_upper_bound_has_segmenters_alone(runs):
    assert set(gathered_curves(runs[1:2])["network"]) == {"segmenter"}


def test_a_table_knows_its_runs(runs):
    table = gathered_table(runs, "segmenter_curve.csv")
    assert list(table["random_seed"]) == [0, 0, 1, 1]
    assert list(table["method"]) == ["recam", "supervised"] * 2


def test_a_run_without_metrics_is_named(tmp_path):
    with pytest.raises(UserError, match=r"metrics.json: not found; run evaluate, which makes it"):
        gathered_metrics([Run(folder=tmp_path / "seed0/cam")])


def scored(images, of=1000, split="train", **numbers):
    return {"split": split, "images": images, "of": of, **numbers}


def write_runs(root, **stages):
    """Two replicates of cam that found the same."""
    runs = [Run(folder=root / f"seed{seed}/cam") for seed in (0, 1)]
    for run in runs:
        run.folder.mkdir(parents=True)
        (run.folder / "metrics.json").write_text(json.dumps(stages))
    return runs


def test_the_table_gives_the_number_of_scored_images_if_some_have_no_ground_truth(tmp_path):
    cams = scored(50, miou=40.0, threshold=0.4, oracle_miou=41.0)
    pseudo = scored(50, miou=42.0, threshold=0.5, oracle_miou=43.0)
    runs = write_runs(tmp_path, cams=cams, pseudo=pseudo, seg=scored(0, 200, "val"))
    metrics = gathered_metrics(runs)
    assert json.dumps(metrics["cams"]["cam"]).startswith(
        '{"split": "train", "images": 50, "of": 1000, "miou": 40.0, "miou_std": 0.0,'
    )
    assert metrics["seg"]["cam"] == {"split": "val", "images": 0, "of": 200}
    assert results_table(metrics, replicates=1) == (
        "| mIoU, % | cams (train) | pseudo masks (train) | segmentation (val) |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| CAM | 40.0 (41.0) | 42.0 (43.0) | no ground truth |\n"
        "\n"
        "Scored on 50 of 1000 images of train; the others have no ground truth.\n"
    )


def test_with_all_ground_truth_there_are_no_notes(tmp_path):
    metrics = gathered_metrics(write_runs(tmp_path, seg=scored(200, 200, "val", miou=50.0)))
    assert results_table(metrics, replicates=1).endswith("| CAM | 50.0 |\n")


def test_without_ground_truth_the_table_says_where_the_masks_are(tmp_path):
    cams, pseudo = scored(0, threshold=0.4), scored(0, threshold=0.5)
    runs = write_runs(tmp_path, cams=cams, pseudo=pseudo, seg=scored(0, 200, "val"))
    metrics = gathered_metrics(runs)
    assert metrics["cams"]["cam"] == scored(0, threshold=0.4)
    _, _, row, _, *notes = results_table(metrics, replicates=2).splitlines()
    assert row == "| CAM | no ground truth | no ground truth | no ground truth |"
    assert len(notes) == 1
    assert "Nothing was scored: the data set has no ground truth." in notes[0]
    assert "`results/seed*/METHOD/pseudo`" in notes[0]


def test_before_any_evaluation_the_table_says_nothing_about_ground_truth():
    table = table_of(gathered_metrics([]), replicates=0)
    assert table.rows == []
    assert table.notes == []


def test_tables_without_rows_keep_their_columns(tmp_path):
    runs = write_runs(tmp_path)
    header = "stage,class,iou\n"
    for run in runs:
        (run.folder / "per_class.csv").write_text(header)
    empty = gathered_table(runs, "per_class.csv")
    assert empty.to_csv(index=False) == f"random_seed,method,{header}"
    (runs[1].folder / "per_class.csv").write_text(f"{header}seg,cat,50.0\n")
    table = gathered_table(runs, "per_class.csv")
    assert table.to_csv(index=False) == f"random_seed,method,{header}1,cam,seg,cat,50.0\n"


def test_the_ratio_to_the_upper_bound_is_that_of_each_random_seed(tmp_path):
    runs = []
    for seed, recam, bound in ((0, 40.0, 50.0), (1, 45.0, 75.0)):  # 0.8 and 0.6
        for method, miou in (("recam", recam), ("supervised", bound)):
            folder = tmp_path / f"seed{seed}/{method}"
            folder.mkdir(parents=True)
            stages = {"seg": scored(200, 200, "val", miou=miou)}
            (folder / "metrics.json").write_text(json.dumps(stages))
            runs.append(Run(folder=folder))
    metrics = gathered_metrics(runs)
    assert metrics["seg"]["recam"]["ratio_to_supervised"] == 0.7
    assert metrics["seg"]["recam"]["ratio_to_supervised_std"] == 0.1414  # sqrt(2 * 0.1²)
    assert metrics["seg"]["supervised"]["ratio_to_supervised"] == 1
    assert "| ReCAM | 42.5 ± 3.5 | 0.70 ± 0.14 |" in results_table(metrics, replicates=2)


def test_without_ground_truth_of_val_there_is_no_ratio(tmp_path):
    (tmp_path / "seed0/supervised").mkdir(parents=True)
    runs = [
        *write_runs(tmp_path, seg=scored(0, 200, "val")),
        Run(folder=tmp_path / "seed0/supervised"),
    ]
    (runs[-1].folder / "metrics.json").write_text(json.dumps({"seg": scored(0, 200, "val")}))
    metrics = gathered_metrics(runs)
    assert "ratio_to_supervised" not in metrics["seg"]["supervised"]
    assert "of supervised" not in results_table(metrics, replicates=2)


def test_ids_and_class_names_are_text_whatever_they_look_like(tmp_path):
    runs = write_runs(tmp_path)[:1]
    folder = runs[0].folder
    (folder / "counts.csv").write_text("stage,image,truth,prediction,pixels\ncams,0025,0,1,7\n")
    (folder / "per_class.csv").write_text("stage,class,iou\ncams,NA,50\ncams,1,\n")
    (folder / "confusion.csv").write_text("stage,truth,prediction,pixels\ncams,NA,007,3\n")
    counts = gathered_table(runs, "counts.csv")
    assert counts[["image", "truth", "pixels"]].to_numpy().tolist() == [["0025", 0, 7]]
    classes = gathered_table(runs, "per_class.csv")
    assert classes["class"].tolist() == ["NA", "1"]
    assert classes["iou"].isna().tolist() == [False, True]
    pairs = gathered_table(runs, "confusion.csv")
    assert pairs[["truth", "prediction"]].to_numpy().tolist() == [["NA", "007"]]


def test_localisation_scores_of_cams_are_notes(tmp_path):
    for method, pointing in (("cam", 80.0), ("recam", 90.26)):
        folder = tmp_path / f"seed0/{method}"
        folder.mkdir(parents=True)
        cams = {"split": "train", "images": 4, "of": 4, "miou": 40.0, "pointing": pointing}
        seg = {"split": "val", "images": 4, "of": 4, "miou": 50.0}
        (folder / "metrics.json").write_text(json.dumps({"cams": cams, "seg": seg}))
    metrics = gathered_metrics([Run(folder=tmp_path / f"seed0/{m}") for m in ("cam", "recam")])
    notes = table_of(metrics, replicates=1).notes
    assert notes == ["Pointing game of cams, %: CAM 80.0, ReCAM 90.3."]


def test_boxes_without_masks_are_scored(tmp_path):
    folder = tmp_path / "seed0/cam"
    folder.mkdir(parents=True)
    none = {"split": "train", "images": 0, "of": 4}
    metrics = {"cams": none | {"box_accuracy": 12.5}, "seg": none}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    notes = table_of(gathered_metrics([Run(folder=folder)]), replicates=1).notes
    assert notes == ["Box accuracy (MaxBoxAccV2) of cams, %: CAM 12.5."]


def test_methods_that_used_saliency_have_a_mark_and_a_note(runs):
    for run in runs:
        path = run.folder / "metrics.json"
        metrics = json.loads(path.read_text())
        if run.method == "recam":
            metrics["pseudo"] = {"split": "train", "miou": 60.0, "saliency": "folder"}
        path.write_text(json.dumps(metrics))
    metrics = gathered_metrics(runs)
    assert metrics["pseudo"]["recam"]["saliency"] == "folder"
    table = results_table(metrics, replicates=2)
    assert "| ReCAM † |" in table
    assert "| supervised |" in table
    assert "\n† used saliency maps: masks are background where given maps" in table


def test_methods_that_learned_from_saliency_are_marked(runs):
    metrics = gathered_metrics(runs)
    metrics["seg"]["eps-recam-lpcam"] = dict(metrics["seg"]["recam"])
    table = results_table(metrics, replicates=2)
    assert "| EPS + ReCAM + LPCAM † |" in table
    assert "| ReCAM |" in table
    assert "\n† used saliency maps: classifiers learned from given maps of saliency.\n" in table


def test_without_saliency_nothing_is_marked(runs):
    assert "†" not in results_table(gathered_metrics(runs), replicates=2)
