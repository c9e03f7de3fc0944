"""Images of the grids: the largest values, and all classes among equals."""

import numpy as np
import pandas as pd
import pytest

from recam.report.selection import groups_by_score, mious_of

CLASSES = ("cat", "dog", "owl")
IDS = [f"flower_{number:02d}" for number in range(12)]
# Four images of each class after another.
LABELS = pd.DataFrame(np.repeat(np.eye(3, dtype=bool), 4, axis=0), index=IDS, columns=CLASSES)


def classes_of(group):
    return {CLASSES[int(LABELS.loc[image_id].to_numpy().argmax())] for image_id in group.ids}


def scored(recam, cam=0.0):
    return pd.DataFrame({"cam": cam, "recam": recam}, index=pd.Index(IDS, name="image"))


def test_the_largest_gains_and_losses_come_first():
    gains = [*range(-60, 0, 10), *range(10, 70, 10)]
    groups = groups_by_score(scored([50.0 + gain for gain in gains], 50.0), LABELS, count=3)
    assert groups["1-largest-gains"].ids == IDS[:-4:-1]
    assert groups["3-largest-losses"].ids == IDS[:3]
    assert groups["4-failures"].ids == IDS[:3]
    assert set(groups["2-typical"].ids) <= set(IDS[4:8])
    assert "gains in 50 % of the images" in groups["2-typical"].words


def test_images_of_equal_gains_show_all_classes():
    groups = groups_by_score(scored(30.0), LABELS, count=3)
    for group in groups.values():
        assert classes_of(group) == set(CLASSES)


def test_gains_that_are_printed_alike_are_equal_and_others_are_not():
    values = [40.2, 40.1, 40.0, 39.9, 39.8, 39.7, 39.6, 39.55, 38.0, 41.0, 37.0, 36.0]
    groups = groups_by_score(scored(values), LABELS, count=4)
    gains = groups["1-largest-gains"].ids
    assert gains[0] == IDS[9]  # rounds to 41
    assert set(gains) <= set(IDS[:8]) | {IDS[9]}  # round to 40
    assert classes_of(groups["1-largest-gains"]) == {"cat", "dog", "owl"}


def test_one_method_has_best_typical_and_worst_images():
    mious = scored(np.arange(12.0))[["recam"]]
    groups = groups_by_score(mious, LABELS, count=2)
    assert list(groups) == ["1-best", "2-typical", "3-worst", "4-failures"]
    assert groups["1-best"].ids == [IDS[11], IDS[10]]
    assert groups["3-worst"].ids == IDS[:2]


@pytest.mark.parametrize("random_seed", range(3))
def test_the_order_of_the_scores_decides_nothing(random_seed):
    generator = np.random.default_rng(random_seed)
    mious = scored(generator.integers(0, 4, 12).astype(float))
    shuffled = mious.loc[generator.permutation(IDS)]
    for one, other in zip(
        groups_by_score(mious, LABELS, count=5).values(),
        groups_by_score(shuffled, LABELS, count=5).values(),
        strict=True,
    ):
        assert one.ids == other.ids


def test_scores_of_other_stages_are_left_out():
    counts = pd.DataFrame(
        [(0, "cam", "seg", "a", 1, 1, 10), (0, "cam", "seg", "a", 0, 0, 10)],
        columns=["random_seed", "method", "stage", "image", "truth", "prediction", "pixels"],
    )
    assert mious_of(counts, "seg").loc["a", "cam"] == pytest.approx(100)
    assert mious_of(counts, "cams").empty
    assert mious_of(None, "seg").empty
