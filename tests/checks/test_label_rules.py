"""Warnings about labels from which a classifier cannot learn."""

import numpy as np
import pytest

from recam.checks.inventory import Inventory
from recam.checks.labels import (
    EVERYWHERE,
    FEW_IMAGES,
    ONE_CLASS,
    TOGETHER,
    UNLABELLED,
    unlearnable_labels,
)

CLASSES = ("cat", "dog", "hen")


def faults_of(groups, *, split="train", classes=CLASSES):
    """(file, kind, detail) for a split with as many images of each combination as ``groups`` has.

    A combination is a string of the first letters of its classes.
    """
    names = [combination for combination, count in groups.items() for _ in range(count)]
    labels = {
        str(number): np.array([name[0] in combination for name in classes])
        for number, combination in enumerate(names)
    }
    data = Inventory(
        classes=classes,
        splits={split: tuple(labels)},
        labels=labels,
        rows=frozenset(labels),
        files=(),
        images={},
        masks={},
    )
    return [(fault.file, fault.fault, fault.detail) for fault in unlearnable_labels(data)]


def details(groups, **options):
    """Detail of each kind of warning."""
    return {kind: detail for _, kind, detail in faults_of(groups, **options)}


def test_twenty_images_of_every_class_alone_are_enough():
    assert details({"c": 20, "d": 20, "h": 20}) == {}


def test_classes_that_often_come_together_can_be_told_apart():
    assert details({"cd": 19, "c": 1, "dh": 19, "d": 1, "h": 1}) == {}


def test_a_class_of_fewer_than_twenty_images_is_named_with_its_count():
    assert faults_of({"c": 19, "d": 20, "h": 1}) == [
        ("ImageSets/Segmentation/train.txt", FEW_IMAGES, "cat 19, hen 1, of 40 images")
    ]


def test_a_class_without_images_is_left_to_another_warning():
    assert details({"c": 20, "d": 20}) == {}


def test_of_many_classes_ten_are_named():
    classes = tuple("abcdefghijkl")
    (detail,) = details(dict.fromkeys(classes, 1), classes=classes).values()
    assert detail == ", ".join(f"{name} 1" for name in "abcdefghij") + ", and 2 more, of 12 images"


def test_a_class_in_every_image_cannot_be_learned():
    assert details({"cd": 20, "ch": 20}) == {EVERYWHERE: "cat, 40 images"}
    assert details({"cd": 20, "ch": 20, "": 1}) == {}


def test_one_class_alone_gives_re_activation_nothing_to_compare():
    assert details({"d": 20, "": 20}) == {ONE_CLASS: "dog"}
    assert details({"d": 20}) == {EVERYWHERE: "dog, 20 images", ONE_CLASS: "dog"}


def test_classes_of_the_same_images_cannot_be_told_apart():
    assert details({"cd": 20, "h": 20}) == {TOGETHER: "cat with dog in 20 images"}
    assert details({"cdh": 20, "": 20}) == {TOGETHER: "cat with dog with hen in 20 images"}


def test_two_classes_in_every_image_are_named_once():
    assert details({"cd": 20, "cdh": 20}) == {EVERYWHERE: "cat, dog, 40 images"}


def test_more_images_without_labels_than_with_them_give_a_warning():
    assert details({"c": 20, "d": 20, "": 40}) == {}
    assert details({"c": 20, "d": 20, "": 41}) == {UNLABELLED: "41 of 81"}


@pytest.mark.parametrize("split", ["val", "trainval", "test"])
def test_only_training_splits_are_judged(split):
    assert details({"cd": 1}, split=split) == {}
    assert details({"cd": 1}, split="train_aug") != {}


def test_a_split_of_no_image_gives_no_warning():
    assert details({}) == {}
