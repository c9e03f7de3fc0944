"""Object outcomes of two small images, counted by hand."""

import pandas as pd
import pytest

from recam.report.object_outcomes import (
    ALONE,
    IMAGE,
    WITH_OTHERS,
    image_mious,
    object_outcomes,
    outcome_shares,
    size_groups,
)

COLUMNS = [*IMAGE, "truth", "prediction", "pixels"]
# Image "both" has 100 pixels: 40 of class 1, 10 of class 2; image "one" has 50: 20 of class 2.
BOTH = [(0, 0, 35), (0, 1, 15), (1, 1, 24), (1, 2, 4), (1, 0, 12), (2, 2, 8), (2, 1, 2)]
ONE = [(0, 0, 27), (0, 2, 3), (2, 2, 20)]


def counts_of(seed=0, method="cam", **images):
    """The table of counts of a run: by image its truth, prediction and pixels."""
    rows = [(seed, method, "cams", image, *row) for image, rows in images.items() for row in rows]
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture
def counts():
    return counts_of(both=BOTH, one=ONE)


def test_every_pixel_of_an_object_is_found_other_or_missed(counts):
    rows = object_outcomes(counts).set_index(["image", "class_id"])
    assert rows.loc[("both", 1), ["found", "other", "missed"]].tolist() == [24, 4, 12]
    assert rows.loc[("both", 2), ["found", "other", "missed"]].tolist() == [8, 2, 0]
    assert rows.loc[("one", 2), ["found", "other", "missed"]].tolist() == [20, 0, 0]
    assert rows["pixels"].tolist() == [40, 10, 20]
    assert rows["share"].tolist() == [40, 10, 40]


def test_extra_pixels_have_the_objects_class_and_lie_outside_it(counts):
    rows = object_outcomes(counts).set_index(["image", "class_id"])
    assert rows["extra"].tolist() == [15 + 2, 4, 3]  # on background, and on the other object


def test_alone_or_with_others_depends_on_the_ground_truth_not_on_the_prediction():
    alone = object_outcomes(counts_of(a=[(1, 1, 5), (1, 2, 5), (0, 3, 5)]))
    assert alone["alone"].tolist() == [ALONE]
    together = object_outcomes(counts_of(a=[(1, 1, 5), (2, 1, 5)]))
    assert together["alone"].tolist() == [WITH_OTHERS] * 2


def test_runs_are_kept_apart():
    rows = object_outcomes(pd.concat([counts_of(one=ONE), counts_of(1, "recam", one=[(2, 0, 9)])]))
    assert rows[["random_seed", "method", "found", "missed"]].values.tolist() == [
        [0, "cam", 20, 0],
        [1, "recam", 0, 9],
    ]


def test_an_image_of_background_has_no_object():
    assert object_outcomes(counts_of(a=[(0, 0, 9), (0, 1, 3)])).empty
    assert object_outcomes(counts_of()).empty


def test_outcomes_are_shares_of_all_the_pixels_of_a_groups_objects(counts):
    shares = outcome_shares(object_outcomes(counts), "alone").set_index("alone")
    several = shares.loc[WITH_OTHERS, ["found", "other", "missed", "extra"]].tolist()
    assert several == [64, 12, 24, 42]  # (24 + 8, 4 + 2, 12 + 0, 17 + 4) of 50, not means of shares
    assert shares.loc[ALONE, ["found", "extra"]].tolist() == [100, 15]
    assert shares["objects"].to_dict() == {ALONE: 1, WITH_OTHERS: 2}


def test_size_groups_hold_as_many_objects_each_in_order_of_size():
    sizes = {f"image{share}": [(1, 1, share), (0, 0, 100 - share)] for share in (8, 2, 6, 4)}
    rows = object_outcomes(counts_of(**sizes)).set_index("image")
    groups = size_groups(rows.reset_index(), 2)
    assert list(groups.cat.categories) == ["2-5 %", "5-8 %"]
    assert dict(zip(rows.index, groups, strict=True)) == {
        "image2": "2-5 %",
        "image4": "2-5 %",
        "image6": "5-8 %",
        "image8": "5-8 %",
    }


def test_an_object_is_in_the_same_group_in_every_run():
    sizes = {f"image{share}": [(1, 1, share), (0, 0, 100 - share)] for share in (2, 4, 6, 8)}
    once = object_outcomes(counts_of(**sizes))
    runs = [counts_of(seed, **sizes) for seed in (0, 1, 2)]
    groups = size_groups(object_outcomes(pd.concat(runs)), 2)
    assert groups.tolist() == size_groups(once, 2).tolist() * 3


def test_an_images_miou_is_over_the_ids_in_its_ground_truth_or_prediction(counts):
    mious = image_mious(counts).set_index("image")["miou"]
    both = (35 / (35 + 15 + 12) + 24 / (40 + 15 + 2) + 8 / (10 + 4)) / 3
    one = (27 / 30 + 20 / 23) / 2  # of two ids: class 1 is not in it
    assert mious.to_dict() == pytest.approx({"both": 100 * both, "one": 100 * one})


def test_a_class_that_is_only_predicted_lowers_an_images_miou():
    assert image_mious(counts_of(a=[(0, 0, 8), (0, 1, 2)]))["miou"].tolist() == [40]  # (80 + 0) / 2
