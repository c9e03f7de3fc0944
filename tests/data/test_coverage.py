"""The images of a picture: all classes, in whatever order the files are listed."""

from itertools import pairwise

import numpy as np
import pandas as pd

from recam.data.coverage import MOST_NEW, covering_images, labels_of


def drawn(random_seed, *, images=60, classes=9):
    """Labels in which class k is as frequent as 1 / (k + 1), without images of no class."""
    generator = np.random.default_rng(random_seed)
    labels = generator.random((images, classes)) < 0.5 / np.arange(1, classes + 1)
    labels[~labels.any(axis=1), 0] = True
    return [f"image_{number:03d}" for number in range(images)], labels


def test_each_image_adds_a_class_until_all_are_shown():
    for random_seed in range(20):
        ids, labels = drawn(random_seed)
        chosen = covering_images(ids, labels, count=labels.shape[1])
        rows = labels[[ids.index(image_id) for image_id in chosen]]
        shown = np.logical_or.accumulate(rows)
        all_of_them = labels.any(axis=0).sum()
        for before, after in pairwise(shown):
            assert after.sum() > before.sum() or before.sum() == all_of_them
        assert shown[-1].sum() == all_of_them


def test_the_order_of_the_files_decides_nothing():
    ids, labels = drawn(0)
    chosen = covering_images(ids, labels, count=6)
    for random_seed in range(5):
        order = np.random.default_rng(random_seed).permutation(len(ids))
        assert covering_images([ids[i] for i in order], labels[order], count=6) == chosen


def test_other_names_give_images_of_the_same_labels():
    ids, labels = drawn(1)
    renamed = [f"photo-{1000 - number}" for number in range(len(ids))]
    first, second = (covering_images(names, labels, count=12) for names in (ids, renamed))
    assert [labels[ids.index(i)].tolist() for i in first] == [
        labels[renamed.index(i)].tolist() for i in second
    ]


def test_fewer_images_are_the_first_of_more():
    ids, labels = drawn(2)
    longest = covering_images(ids, labels, count=100)
    assert sorted(longest) == ids
    assert covering_images(ids, labels, count=5) == longest[:5]


def test_a_sorted_folder_of_one_class_after_another_shows_every_class():
    labels = np.repeat(np.eye(6, dtype=bool), 50, axis=0)
    ids = [f"{number:04d}" for number in range(300)]
    chosen = [int(image_id) // 50 for image_id in covering_images(ids, labels, count=12)]
    assert sorted(chosen[:6]) == sorted(chosen[6:]) == list(range(6))


def test_rare_classes_come_first_and_images_without_labels_last():
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    labels = np.concatenate([labels, labels[:1]])
    chosen = covering_images(list("abcdefg"), labels, count=7)
    assert chosen[0] == "e"
    assert chosen[1] in "cd"
    assert chosen[-1] == "f"


def test_no_image_is_preferred_for_more_classes_than_can_be_seen():
    labels = np.ones((3, 2 * MOST_NEW + 1), bool)
    labels[1, MOST_NEW:] = False
    labels[2, :MOST_NEW] = False
    assert covering_images(["a", "b", "c"], labels, count=1) == ["b"]


def test_a_lower_rank_comes_before_any_label():
    labels = np.array([[1, 1], [1, 0], [1, 0], [0, 1]], bool)
    ranks = np.array([1, 0, 0, 0])
    chosen = covering_images(list("abcd"), labels, count=4, ranks=ranks)
    assert chosen[0] == "d"  # the rarer of two
    assert chosen[1] in "bc"
    assert chosen[3] == "a"


def test_images_without_a_row_have_no_labels():
    table = pd.DataFrame([[True, False]], index=["a"], columns=["x", "y"])
    assert labels_of(["b", "a"], table).tolist() == [[False, False], [True, False]]
