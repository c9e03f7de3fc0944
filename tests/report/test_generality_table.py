"""The table of several data sets: means, paired differences and verdicts, worked out by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from recam.core.errors import UserError
from recam.report.generality import by_seed, generality_table
from recam.report.replicates import collected
from recam.report.summary import Run

# Maps of random seeds 0, 1 and 2, at the threshold used and at the oracle threshold.
CAMS = {"cam": [(30, 31)] * 3, "control": [(40, 41), (42, 43), (44, 45)]}
CAMS["recam"] = [(50, 51), (50, 51), (53, 54)]
SEG = {"cam": [35, 40, 45], "control": [50] * 3, "recam": [72] * 3, "supervised": [80] * 3}


def runs_in(folder, seeds=(0, 1, 2)):
    """Runs of four methods, with pseudo masks of ReCAM 1 below those of control."""
    runs = []
    for seed in seeds:
        for method, mious in SEG.items():
            metrics = {"seg": {"split": "val", "miou": float(mious[seed])}}
            if method in CAMS:
                miou, oracle = map(float, CAMS[method][seed])
                maps = {"split": "train", "miou": miou, "oracle_miou": oracle, "threshold": 0.5}
                pseudo = {"miou": 60.0 - (method == "recam"), "oracle_miou": 60.0}
                metrics |= {"cams": maps, "pseudo": maps | pseudo}
            run = Run(folder=folder / f"seed{seed}/{method}")
            run.folder.mkdir(parents=True)
            (run.folder / "metrics.json").write_text(json.dumps(metrics))
            runs.append(run)
    return runs


@pytest.fixture
def results(tmp_path):
    """The scores of `shapes`."""
    return collected("shapes", runs_in(tmp_path))


def row_of(table, dataset, title):
    """The cells of a row after its name."""
    (line,) = [x for x in table.splitlines() if x.startswith(f"| {dataset} | {title} |")]
    return [cell.strip() for cell in line.split("|")[3:-1]]


def test_a_row_of_the_csv_is_one_stage_of_one_run(results):
    assert len(results) == 3 * (3 * 3 + 1)  # the upper bound has no maps
    assert list(results.columns)[:4] == ["dataset", "random_seed", "method", "stage"]
    row = results.query("random_seed == 2 and method == 'recam' and stage == 'cams'").iloc[0]
    assert row[["dataset", "miou", "oracle_miou", "threshold"]].to_list() == ["shapes", 53, 54, 0.5]
    segmentation = results.query("stage == 'seg'")
    assert segmentation[["oracle_miou", "threshold"]].isna().all(axis=None)


def test_the_table_is_the_same_after_the_csv(results, tmp_path):
    results.to_csv(tmp_path / "results.csv", index=False)
    assert generality_table(pd.read_csv(tmp_path / "results.csv")) == generality_table(results)


def test_differences_and_ratios_are_taken_within_a_random_seed(results):
    values = by_seed(results).loc["shapes"]
    assert values["recam - control", "cams"].to_list() == [10, 8, 9]
    assert values["recam - cam", "cams"].to_list() == [20, 20, 23]
    assert values["cam", "ratio"].to_list() == [35 / 80, 40 / 80, 45 / 80]


def test_cells_are_means_and_sample_deviations(results):
    table = generality_table(results)
    maps, _, segmentation, ratio, _ = row_of(table, "shapes", "CAM")
    assert maps == "30.0 ± 0.0 (31.0 ± 0.0)"
    assert (segmentation, ratio) == ("40.0 ± 5.0", "0.50 ± 0.06")
    # 10, 8, 9: the deviation of the differences, not that of the methods.
    maps, pseudo, _, ratio, _ = row_of(table, "shapes", "ReCAM - control")
    assert maps == "+9.0 ± 1.0 (+9.0 ± 1.0), 3 of 3"
    assert pseudo == "-1.0 ± 0.0 (+0.0 ± 0.0), 0 of 3"
    assert ratio == "-"
    assert row_of(table, "shapes", "supervised")[:2] == ["-", "-"]


def test_targets_are_reached_or_missed(results, tmp_path):
    stamps = collected("stamps", runs_in(tmp_path / "stamps"))
    table = generality_table(pd.concat([results, stamps]))
    difference = row_of(table, "shapes", "ReCAM - control")[-1]
    assert difference == "cams ≥ 8: reached; pseudo masks > 0: missed by 1"
    ratio = row_of(table, "shapes", "ReCAM")[-1]
    assert ratio == "of supervised ≥ 0.93: missed by 0.03"
    assert row_of(table, "stamps", "ReCAM")[-1] == "of supervised ≥ 0.85: reached"
    assert row_of(table, "stamps", "supervised")[-1] == "segmentation ≥ 45: reached"
    assert row_of(table, "shapes", "supervised")[-1] == ""


def test_an_equal_score_is_not_above_zero(results):
    results.loc[results["stage"] == "pseudo", "miou"] = 60.0
    assert "pseudo masks > 0: missed by 0" in generality_table(results)


def test_the_table_says_that_it_is_less_than_the_protocol(tmp_path):
    one = generality_table(collected("shapes", runs_in(tmp_path / "a", seeds=(1,))))
    assert (
        "Not the whole protocol: without stamps, street; random seeds 1 instead of 0, 1, 2" in one
    )
    assert row_of(one, "shapes", "ReCAM - control")[0] == "+8.0 (+8.0), 1 of 1"
    names = ("shapes", "stamps", "street")
    whole = pd.concat([collected(name, runs_in(tmp_path / name)) for name in names])
    assert "Not the whole protocol" not in generality_table(whole)


def test_a_run_without_metrics_is_named(tmp_path):
    with pytest.raises(UserError, match=r"seed0/cam/metrics\.json: not found"):
        collected("shapes", [Run(folder=tmp_path / "seed0/cam")])


def test_rows_that_used_saliency_have_a_mark_and_a_note(results):
    assert "†" not in generality_table(results)
    is_marked = (results["method"] == "recam") & (results["stage"] == "pseudo")
    results["saliency"] = np.where(is_marked, "folder", None)
    table = generality_table(results)
    assert "| shapes | ReCAM † |" in table
    assert "| shapes | CAM |" in table
    assert table.count("\n† used saliency maps.") == 1


def test_rows_that_learned_from_saliency_are_marked(results):
    results["method"] = results["method"].replace("control", "eps-recam")
    table = generality_table(results)
    assert "| shapes | EPS + ReCAM † |" in table
    assert "| shapes | ReCAM |" in table
