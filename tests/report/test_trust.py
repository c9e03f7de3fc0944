"""Lights, verdicts and remedies, from signs worked out by hand."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from recam.data.layout import WeakSplit
from recam.io.images import write_mask
from recam.pipeline.signs import PseudoMasks, signs_of_run
from recam.report.first_page import write_first_page
from recam.report.signs import SIGNS, Light
from recam.report.summary import Run, gathered_curves
from recam.report.trust import (
    harm,
    readings_of,
    remedies,
    trust_json,
    trust_text,
    verdict_words,
    verdicts,
)

ROOT = Path(__file__).parents[2]
CURVE = "epoch,loss,value\n1,bce,0.2\n"
SIZE = 10


def write_run(root, method="recam", *, seed=0, values=None, classes=None, curve=CURVE):
    folder = root / f"seed{seed}/{method}"
    folder.mkdir(parents=True)
    signs = {"values": values or {}, "classes": classes or {}}
    (folder / "signs.json").write_text(json.dumps(signs))
    (folder / "classifier_curve.csv").write_text(curve)
    return Run(folder=folder)


def lights(runs):
    return {reading.name: reading.light for reading in readings_of(runs)}


def test_a_sign_is_green_between_its_limits_and_red_beyond_the_bearable_ones():
    sign = SIGNS["pseudo_foreground"]  # 3 to 45, bearable 1 to 60
    assert [sign.light(v) for v in (0.9, 1.0, 3.0, 45.0, 60.0, 60.1)] == [
        *(Light.BAD, Light.LOOK, Light.OK),
        *(Light.OK, Light.LOOK, Light.BAD),
    ]
    assert [sign.excess(v) for v in (1.0, 20.0, 60.0)] == [2, 0, 15]
    assert "nearly empty" in sign.remedy(1.0)
    assert "fill" in sign.remedy(50.0)
    assert (sign.green, sign.red) == ("3 to 45", "below 1 or above 60")
    assert (SIGNS["recall"].green, SIGNS["recall"].red) == ("from 60", "below 40")
    assert (SIGNS["ignored"].green, SIGNS["ignored"].red) == ("up to 20", "above 50")


@pytest.mark.parametrize("sign", SIGNS.values(), ids=list(SIGNS))
def test_every_sign_has_limits_in_order_and_a_remedy_for_each_side(sign):
    low, high = sign.ok
    lowest, highest = sign.bearable
    assert lowest <= low <= high <= highest
    assert bool(sign.too_low) == (low > 0 or low < 0)
    assert bool(sign.too_high) == np.isfinite(high)


def test_remedies_name_parameters_that_exist():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    words = " ".join(sign.too_low + sign.too_high for sign in SIGNS.values())
    named = re.findall(r"`(\w+)\.(\w+)", words)
    assert len(set(named)) > 5
    for section, name in named:
        assert name in params[section], f"{section}.{name}"


def masks_of(root, *, pseudo, predictions):
    """A run on ten labelled images of 10 x 10 pixels and two classes, with the lights of its signs.

    ``pseudo`` and ``predictions`` are the mask of an image, given the mask id of its label.
    """
    ids = tuple(f"{number}" for number in range(10))
    labels = np.array([[number % 2 == 0, number % 2 == 1] for number in range(10)])
    split = WeakSplit(
        name="train",
        ids=ids,
        images=tuple(Path(f"{i}.png") for i in ids),
        labels=labels,
        classes=("cat", "dog"),
    )
    run = write_run(root)
    for number, image_id in enumerate(ids):
        for name, draw in (("pseudo", pseudo), ("predictions", predictions)):
            write_mask(run.folder / name / f"{image_id}.png", draw(1 + number % 2))
    signs = signs_of_run(
        run.folder / "predictions",
        PseudoMasks(folder=run.folder / "pseudo", compared=ids),
        maps_split=split,
        seg_split=split,
    )
    signs.write(run.folder / "signs.json")
    return lights([run])


def rows(count, mask_id):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:count] = mask_id
    return mask


def test_a_good_run_is_green(tmp_path):
    found = masks_of(tmp_path, pseudo=lambda i: rows(3, i), predictions=lambda i: rows(3, i))
    assert set(found.values()) == {Light.OK}


def test_evidence_that_fills_the_images_is_red(tmp_path):
    found = masks_of(tmp_path, pseudo=lambda i: rows(9, i), predictions=lambda i: rows(9, i))
    assert found["pseudo_foreground"] == found["predicted_foreground"] == Light.BAD


def test_a_threshold_far_too_high_is_red(tmp_path):
    found = masks_of(
        tmp_path,
        pseudo=lambda i: rows(int(i == 1), i) * (np.arange(SIZE) < 1).astype(np.uint8),
        predictions=lambda i: rows(0, i),
    )
    for name in ("pseudo_foreground", "empty_images", "missing_labels", "unseen_classes"):
        assert found[name] == Light.BAD, name


def test_a_threshold_above_the_maps_scores_is_red(tmp_path):

    run = write_run(tmp_path, values={"pseudo_foreground": 5.0, "pseudo_of_yen": 17.0})
    assert lights([run]) == {"pseudo_foreground": Light.OK, "pseudo_of_yen": Light.BAD}


def test_a_threshold_far_too_low_is_red(tmp_path):
    found = masks_of(tmp_path, pseudo=lambda i: rows(10, i), predictions=lambda i: rows(4, i))
    assert found["pseudo_foreground"] == found["predicted_of_pseudo"] == Light.BAD


def test_a_segmenter_that_was_hardly_trained_is_red(tmp_path):
    found = masks_of(tmp_path, pseudo=lambda i: rows(3, i), predictions=lambda _: rows(1, 1))
    assert found["pseudo_foreground"] == Light.OK
    for name in ("agreement", "unpredicted_classes", "predicted_of_pseudo"):
        assert found[name] == Light.BAD, name


def test_harm_is_measured_from_the_classifier_of_cam(tmp_path):
    rows = ["0,held-out bce,0.2", "2,held-out bce,0.4", "0,held-out recall,0.7"]
    rows += ["1,held-out recall,0.9", "2,held-out recall,0.5", "2,held-out precision,0.75"]
    curve = CURVE + "".join(f"{row}\n" for row in rows)
    cam, recam = (write_run(tmp_path, method, curve=curve) for method in ("cam", "recam"))
    values = {(r.method, r.name): r.value for r in readings_of([cam, recam])}
    assert values == pytest.approx(
        {
            ("cam", "recall"): 50,
            ("cam", "precision"): 75,
            ("recam", "recall"): 50,
            ("recam", "precision"): 75,
            ("recam", "bce_of_start"): 200,
            ("recam", "recall_change"): -20,
        }
    )
    assert harm([cam, recam]) == [
        "Stage two did harm: ReCAM (held-out binary cross-entropy at 200 % of that at "
        "epoch 0, held-out recall -20 points)."
    ]
    assert harm([cam]) == []


def test_without_harm_the_caption_says_so(tmp_path):
    curve = CURVE + "0,held-out bce,0.2\n3,held-out bce,0.2\n"
    assert harm([write_run(tmp_path, curve=curve)]) == ["Stage two did no such harm here."]


def test_without_held_out_labels_there_are_no_signs_of_them(tmp_path):
    run = write_run(tmp_path, values={"ignored": 5.0})
    assert [reading.name for reading in readings_of([run])] == ["ignored"]


def test_the_worst_random_seed_counts(tmp_path):
    runs = [
        write_run(tmp_path, seed=seed, values={"pseudo_foreground": share})
        for seed, share in ((0, 20.0), (1, 64.0), (2, 30.0))
    ]
    (reading,) = readings_of(runs)
    assert reading.value == 64
    assert reading.light == Light.BAD


@pytest.fixture
def runs(tmp_path):
    """CAM without a fault, ReCAM with a class in no mask and masks that fill the images."""
    good = {"pseudo_foreground": 20.0, "unseen_classes": 0.0}
    bad = {"pseudo_foreground": 64.0, "unseen_classes": 12.5}
    classes = {"unseen_classes": ["hen"]}
    return [
        write_run(tmp_path, "cam", values=good),
        write_run(tmp_path, "recam", values=bad, classes=classes),
    ]


def test_the_worst_light_of_a_method_is_its_verdict(runs):
    readings = readings_of(runs)
    assert verdicts(readings) == {"cam": Light.OK, "recam": Light.BAD}
    assert verdict_words(readings) == [
        "✓ CAM: ok, no sign of failure.",
        "✗ ReCAM: bad, do not use its masks as they are.",
    ]


def test_remedies_begin_with_the_worst_and_name_the_classes(runs):
    bad, look = remedies(readings_of(runs))
    assert bad.startswith("✗ foreground in pseudo masks (ReCAM 64 %): The masks spill over")
    assert look.startswith("! classes in no pseudo mask (ReCAM 12 %): No mask shows hen. ")


def test_a_remedy_names_the_first_classes_of_many(tmp_path):
    names = [f"c{number}" for number in range(9)]
    classes = {"unpredicted_classes": names}
    run = write_run(tmp_path, values={"unpredicted_classes": 90.0}, classes=classes)
    assert "c0, c1, c2, c3, c4, c5, 3 more" in remedies(readings_of([run]))[0]


def test_the_text_has_a_row_for_each_sign_and_fits_a_terminal(runs):
    lines = trust_text(readings_of(runs)).splitlines()
    assert lines[0] == "**Can these masks be trusted?**"
    assert "| foreground in pseudo masks | 3 to 45 | ✓ ok 20 | ✗ bad 64  |" in lines
    assert "| classes in no pseudo mask  | 0       | ✓ ok 0  | ! look 12 |" in lines
    assert max(map(len, lines)) <= 100
    assert trust_text([]) == ""


def test_the_record_has_an_entry_for_each_sign_and_method(runs):
    records = json.loads(trust_json(readings_of(runs)))
    assert [(r["sign"], r["method"], r["light"], r["value"], r["ok"]) for r in records] == [
        ("pseudo_foreground", "cam", "ok", 20.0, "3 to 45"),
        ("pseudo_foreground", "recam", "bad", 64.0, "3 to 45"),
        ("unseen_classes", "cam", "ok", 0.0, "0"),
        ("unseen_classes", "recam", "look", 12.5, "0"),
    ]
    assert records[0]["what_to_do"] == ""
    assert records[1]["what_to_do"].startswith("The masks spill over")


def write_metrics(runs, **numbers):
    for run in runs:
        stages = {"cams": {"split": "train", "images": 0, "of": 9, **numbers}}
        stages["seg"] = {"split": "val", "images": 0, "of": 9}
        (run.folder / "metrics.json").write_text(json.dumps(stages))


def test_methods_that_share_a_classifier_share_its_held_out_signs(tmp_path):
    curve = CURVE + "0,held-out bce,0.2\n2,held-out bce,0.4\n2,held-out recall,0.5\n"
    recam = write_run(tmp_path, "recam", curve=curve)
    read_out = write_run(tmp_path, "recam-lpcam", values={"ignored": 5.0}, curve="")
    (read_out.folder / "classifier_curve.csv").unlink()
    values = {(r.method, r.name): r.value for r in readings_of([read_out])}
    assert values == {
        ("recam-lpcam", "ignored"): 5,
        ("recam-lpcam", "recall"): 50,
        ("recam-lpcam", "bce_of_start"): 200,
    }
    said = [
        "Stage two did harm: ReCAM (held-out binary cross-entropy at 200 % of that at epoch 0)."
    ]
    assert harm([read_out]) == harm([recam, read_out]) == said  # once for the classifier
    assert gathered_curves([recam, read_out])["method"].unique().tolist() == ["recam"]


def test_the_first_page_knows_shared_classifiers_and_variants(tmp_path):
    runs = [write_run(tmp_path, name) for name in ("seam", "seam-recam", "seam-recam-lpcam")]
    for run in runs:
        for part in ("cams", "pseudo", "segmenter.pt"):
            (run.folder / part).mkdir()
        if run.method != "seam-recam-lpcam":
            (run.folder / "classifier.pt").touch()
    write_metrics(runs, miou=40.0)
    write_first_page(tmp_path / "page.html", runs, picture=None)
    html = (tmp_path / "page.html").read_text()
    assert "Unfinished" not in html
    assert "No: SEAM+ReCAM&#x27;s and SEAM&#x27;s maps reach the same mIoU (seed 0)." in html
    assert "mIoU of SEAM + ReCAM and SEAM, in percent: cams 40.0 and 40.0" in html
    assert "CAM was not run" not in html
    assert "The control was not run" in html
