"""The files of all results: few numbers to compare, and every number in a table."""

import csv
import json

from recam.report.details import compared, details_of, metrics_of, write_results

CAMS = {
    **{"split": "train", "images": 9, "of": 10, "miou": 40.0, "miou_std": 1.5, "threshold": 0.48},
    **{"oracle_miou": 41.25, "oracle_miou_std": 0.5, "pointing": 50.5},
}
SEG = {
    **{"split": "val", "images": 4, "of": 4, "miou": 60.0, "miou_std": 2.0, "correct": 80.0},
    **{"ratio_to_supervised": 0.75, "ratio_to_supervised_std": 0.25},
}
METRICS = {"cams": {"cam": CAMS}, "pseudo": {}, "seg": {"cam": SEG, "supervised": SEG}}


def test_only_numbers_that_people_compare_are_chosen():
    assert compared(METRICS, replicates=1) == {
        "cams": {"cam": {"miou": 40.0, "oracle_miou": 41.25}},
        "seg": {m: {"miou": 60.0, "ratio_to_supervised": 0.75} for m in ("cam", "supervised")},
    }


def test_several_replicates_add_their_deviations():
    chosen = compared(METRICS, replicates=2)
    assert chosen["cams"]["cam"] == {
        **{"miou": 40.0, "miou_std": 1.5},
        **{"oracle_miou": 41.25, "oracle_miou_std": 0.5},
    }


def test_without_ground_truth_nothing_is_compared():
    nothing = {"split": "val", "images": 0, "of": 4}
    assert compared({"cams": {"cam": nothing}, "seg": {"cam": nothing}}, replicates=1) == {}


def test_every_number_has_a_row_and_is_read_back(tmp_path):
    cams = {"cam": CAMS, "recam": {**CAMS, "saliency": "ccam"}}
    metrics = {"cams": cams, "pseudo": {}, "seg": {"cam": SEG}}
    chosen, every = tmp_path / "metrics.json", tmp_path / "details.csv"
    write_results(metrics, replicates=1, chosen=chosen, every=every)
    rows = list(csv.reader(every.read_text().splitlines()))
    assert rows[0] == ["stage", "method", "split", "saliency", "quantity", "mean", "std"]
    assert rows[1] == ["cams", "cam", "train", "", "images", "9", ""]
    assert rows[3] == ["cams", "cam", "train", "", "miou", "40.0", "1.5"]
    assert rows[7] == ["cams", "recam", "train", "ccam", "images", "9", ""]
    assert len(rows) == 1 + 6 + 6 + 5
    assert metrics_of(every) == metrics
    assert isinstance(metrics_of(every)["cams"]["cam"]["images"], int)
    assert json.loads(chosen.read_text())["cams"]["recam"] == {"miou": 40.0, "oracle_miou": 41.25}


def test_results_of_nothing_are_read_back(tmp_path):
    write_results({}, replicates=1, chosen=tmp_path / "m.json", every=tmp_path / "d.csv")
    assert metrics_of(tmp_path / "d.csv") == {"cams": {}, "pseudo": {}, "seg": {}}
    assert details_of({}).empty
