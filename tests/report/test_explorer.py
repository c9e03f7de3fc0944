"""The explorer of the report: encoded values, the choice of images, and its limits."""

import base64
import json
import re
import zlib

import numpy as np
import pandas as pd
import pytest
from archived import in_archive
from explorer_runs import (
    CUTS,
    MARGIN,
    NAMES,
    SIZES,
    evaluate,
    write_data,
    write_experiment,
    write_maps,
    write_run,
)

from recam.core.errors import UserError
from recam.core.labels import seed_mask
from recam.io.images import read_mask
from recam.io.scores import ScoredClasses, load_scores
from recam.report.explorer import explorer_html
from recam.report.explorer.choice import _ranked, chosen_ids, in_turn
from recam.report.explorer.encoding import in_steps, packed, sampled, shrunk
from recam.report.explorer.fragment import safe_json
from recam.report.explorer.sources import experiment_of
from recam.report.object_outcomes import image_mious
from recam.report.summary import Run, gathered_table


def content_of(html):
    """The embedded JSON."""
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def unpacked(text, shape):
    """The values of ``packed``."""
    differences = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape)
    return differences.cumsum(axis=1, dtype=np.uint8)


def shown(folder, methods=("cam", "recam", "supervised"), **options):
    return content_of(explorer_html(folder, random_seed=0, methods=methods, **options))


@pytest.fixture
def runs(tmp_path):
    return write_experiment(tmp_path)


def test_maps_in_archives_are_explored_alike(runs):
    expected = shown(runs)
    for method in ("cam", "recam"):
        for stage in CUTS:
            in_archive(runs / f"results/seed0/{method}/{stage}")
    assert shown(runs) == expected


def test_packed_values_come_back_exactly():
    values = np.random.default_rng(0).integers(256, size=(2, 5, 7), dtype=np.uint8)
    assert (unpacked(packed(values), values.shape) == values).all()
    assert unpacked(packed(values[:0]), (0, 5, 7)).shape == (0, 5, 7)


def test_scores_are_rounded_up_to_steps():
    scores = np.array([[[0, 0.005, 0.0051, 0.4975, 0.999, 1]]], np.float32)
    scored = ScoredClasses(scores=scores, classes=np.array([0]))
    assert in_steps(scored).tolist() == [[[0, 1, 2, 100, 200, 200]]]


def test_a_reduced_map_holds_values_of_the_map():
    values = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    assert sampled(values, (2, 2)).tolist() == [[[5, 7], [13, 15]]]
    assert (sampled(values, (4, 4)) == values).all()
    assert shrunk((640, 320), longest=320) == (320, 160)
    assert shrunk((100, 320), longest=320) == (100, 320)
    assert shrunk((1000, 1), longest=320) == (320, 1)


def test_lists_are_mixed_in_turn_without_repetition():
    assert in_turn([["a", "b"], ["b", "c"], []], count=9) == ["a", "b", "c"]
    assert in_turn([["a", "b"], ["b", "c"]], count=2) == ["a", "b"]


def test_gains_losses_and_failures_are_ranked():
    mious = pd.DataFrame({"cam": [50.0, 50, 50, 50], "recam": [60.0, 90, 20, np.nan]})
    mious.index = list("abcd")
    assert _ranked(mious, ("cam", "recam")) == [list("bac"), list("cab"), list("cab")]
    assert _ranked(mious[["recam"]], ("recam",)) == [list("cab")]
    assert _ranked(mious[:0], ("cam", "recam")) == []


def test_the_first_image_has_the_largest_gain_and_the_second_the_largest_loss(runs):
    counts = gathered_table(
        [Run(folder=runs / f"results/seed0/{method}") for method in ("cam", "recam")], "counts.csv"
    )
    mious = image_mious(counts[counts["stage"] == "pseudo"])
    mious = mious.pivot_table(index="image", columns="method", values="miou")
    gain = (mious["recam"] - mious["cam"]).sort_values()
    experiment = experiment_of(runs, random_seed=0, methods=["cam", "recam"])
    assert chosen_ids(experiment, count=2) == [gain.index[-1], gain.index[0]]


def test_without_ground_truth_each_class_has_an_image(tmp_path):
    write_data(tmp_path, with_truth=False)
    rows = ["id,cat,dog,hen", "a,1,0,0", "b,1,0,0", "c,0,0,1", "d,0,1,0"]
    (tmp_path / "data/labels.csv").write_text("\n".join(rows) + "\n")
    write_run(tmp_path, "cam")
    experiment = experiment_of(tmp_path, random_seed=0, methods=["cam"])
    assert chosen_ids(experiment, count=3) == ["a", "d", "c"]
    html = explorer_html(tmp_path, random_seed=0, methods=["cam"])
    assert "Without ground truth there is no IoU." in html
    assert re.findall('<option value="([a-z]+)">', html) == ["class"]
    for image in content_of(html)["images"]:
        assert image["truth"] is None
        assert image["maps"]["cams"]["cam"]["miou"] is None


def test_embedded_maps_and_masks_are_those_of_the_files(runs):
    images = shown(runs)["images"]
    assert sorted(image["name"] for image in images) == sorted(SIZES)
    for image in images:
        name, size = image["name"], tuple(image["size"])
        assert size == SIZES[name] == tuple(image["stored"])
        mask = read_mask(runs / f"data/SegmentationClass/{name}.png")
        assert (unpacked(image["truth"], (1, *size))[0] == mask).all()
        for stage in CUTS:
            saved = load_scores(runs / f"results/seed0/cam/{stage}/{name}.npz")
            found = image["maps"][stage]["cam"]
            assert found["ids"] == [1, 3]
            steps = unpacked(found["packed"], (2, *size))
            assert (steps / np.float32(200) == saved.scores).all()


def test_numbers_of_images_are_those_of_the_evaluation(runs):
    for image in shown(runs)["images"]:
        for stage, name in {"cams": "cams", "scores": "pseudo"}.items():
            counts = gathered_table([Run(folder=runs / "results/seed0/cam")], "counts.csv")
            mious = image_mious(counts[counts["stage"] == name]).set_index("image")["miou"]
            assert image["maps"][stage]["cam"]["miou"] == pytest.approx(
                mious[image["name"]], abs=0.01
            )
            masks = []
            for method in ("cam", "recam"):
                scored = load_scores(runs / f"results/seed0/{method}/{stage}/{image['name']}.npz")
                masks.append(seed_mask(scored.scores, scored.classes, threshold=CUTS[stage]))
            change = 100 * (masks[0] != masks[1]).mean()
            assert image["changes"][stage]["cam recam"] == pytest.approx(change, abs=0.01)


def test_thresholds_are_in_steps(runs):
    head = shown(runs)["head"]
    cams, scores = head["sources"]["cams"]["cam"], head["sources"]["scores"]["cam"]
    assert (cams["cut"], cams["margin"]) == (94.0, None)
    assert (scores["cut"], scores["margin"]) == (80.0, 200 * MARGIN)
    metrics = Run(folder=runs / "results/seed0/cam").metrics()
    for source, stage in ((cams, "cams"), (scores, "pseudo")):
        assert source["oracle"] == round(200 * metrics[stage]["oracle_threshold"])


def test_an_unfinished_run_shows_the_maps_that_it_has(tmp_path):
    write_data(tmp_path)
    write_run(tmp_path, "cam")
    write_maps(tmp_path, "recam", "cams", sizes={"b": SIZES["b"]})
    content = shown(tmp_path, most_images=2)
    assert list(content["head"]["methods"]) == ["cam", "recam"]
    assert list(content["head"]["sources"]["scores"]) == ["cam"]
    assert content["head"]["sources"]["cams"]["recam"] == dict.fromkeys(("cut", "oracle", "margin"))
    assert [image["name"] for image in content["images"]] == ["b"]  # all other maps are missing


def test_images_without_maps_of_one_method_are_shown_if_no_image_has_all(tmp_path):
    write_data(tmp_path)
    write_maps(tmp_path, "cam", "cams", sizes={"a": SIZES["a"]})
    write_maps(tmp_path, "recam", "cams", sizes={"b": SIZES["b"]})
    maps = {image["name"]: list(image["maps"]["cams"]) for image in shown(tmp_path)["images"]}
    assert maps == {"a": ["cam"], "b": ["recam"]}


def test_without_score_maps_there_is_no_explorer(tmp_path):
    (tmp_path / "results/seed0/cam/cams").mkdir(parents=True)
    assert not explorer_html(tmp_path, random_seed=0, methods=["cam", "supervised"])


def test_the_fragment_stays_within_its_budget(runs):
    html = explorer_html(runs, random_seed=0, methods=["cam", "recam"])
    frame = html.index('"images":[')
    budget = len(html) - 1
    smaller = explorer_html(runs, random_seed=0, methods=["cam", "recam"], budget=budget)
    assert len(smaller.encode()) <= budget
    assert 0 < len(content_of(smaller)["images"]) < len(SIZES)
    assert not explorer_html(runs, random_seed=0, methods=["cam"], budget=frame // 2)
    assert len(shown(runs, most_images=3)["images"]) == 3


def test_large_images_are_reduced_and_the_page_says_so(tmp_path):
    sizes = {"wide": (8, 640)}
    write_data(tmp_path, sizes=sizes)
    write_run(tmp_path, "cam", sizes=sizes)
    html = explorer_html(tmp_path, random_seed=0, methods=["cam"])
    (image,) = content_of(html)["images"]
    assert (image["size"], image["stored"]) == ([4, 320], [8, 640])
    saved = load_scores(tmp_path / "results/seed0/cam/cams/wide.npz")
    steps = unpacked(image["maps"]["cams"]["cam"]["packed"], (2, 4, 320))
    assert (steps == np.rint(200 * saved.scores[:, 1::2, 1::2])).all()
    assert "Large images are reduced" in html


def test_names_cannot_end_the_element_that_holds_them(tmp_path):
    names = ("</script><script>alert(1)</script>", "a<!--", "b & 'c'")
    write_data(tmp_path, classes=names)
    write_run(tmp_path, "cam")
    html = explorer_html(tmp_path, random_seed=0, methods=["cam"])
    assert content_of(html)["head"]["names"] == ["background", *names]
    assert html.count("<script") == html.count("</script>") == 2
    assert "<!--" not in html
    assert json.loads(safe_json('{"a": "</p>"}')) == {"a": "</p>"}


def test_eighty_classes_have_colours_of_their_own(tmp_path):
    names = tuple(f"class {number}" for number in range(80))
    write_data(tmp_path, classes=names)
    write_run(tmp_path, "cam", indices=(0, 79))
    evaluate(tmp_path, "cam", classes=names)
    content = shown(tmp_path)
    colours = [tuple(colour) for colour in content["head"]["colours"]]
    assert len(set(colours[1:81])) == 80
    assert all(image["maps"]["cams"]["cam"]["ids"] == [1, 80] for image in content["images"])


def test_maps_of_an_unknown_class_are_refused(tmp_path):
    write_data(tmp_path)
    write_run(tmp_path, "cam", indices=(0, len(NAMES)))
    with pytest.raises(UserError, match="expected class indices below 3, got 3"):
        explorer_html(tmp_path, random_seed=0, methods=["cam"])


def test_saliency_is_mentioned_where_it_cut_scores(tmp_path):
    write_data(tmp_path)
    write_run(tmp_path, "cam", saliency="folder")
    html = explorer_html(tmp_path, random_seed=0, methods=["cam"])
    assert "Refined scores are 0 where the saliency map is low" in html
