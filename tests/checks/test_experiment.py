"""Checks of a data set against the numbers of an experiment."""

import logging

from recam.checks.experiment import (
    crop_warnings,
    grid_warnings,
    log_small_images,
    pseudo_mask_errors,
    scoring_notes,
    split_errors,
    supervision_errors,
)
from recam.data.layout import load_weak_split


def grid(longer, *scales, stride=16):
    return grid_warnings(longer, key="make_cams.scales", scales=scales, stride=stride)


def test_eight_cells_at_the_smallest_scale_give_no_warning():
    assert grid([128], 1.0, 1.5) == []  # the default's
    assert grid([113], 1.0) == []  # a border of one pixel is a cell
    assert grid([256], 0.5, 1.0) == []
    assert grid([64], 1.0, stride=8) == []


def test_fewer_cells_give_a_warning_with_a_scale_of_twelve():
    assert grid([208], 0.5, 1.0) == [
        "make_cams.scales: 1 of 1 images (median of the longer side 208 px) have fewer than 8 "
        "cells of 16 px on it at scale 0.5, and about 12 are better; raise the smallest scale to "
        "1, or use larger images"
    ]


def test_images_too_small_for_any_scale_need_larger_ones():
    (sentence,) = grid([64], 1.0)
    assert sentence.endswith("about 12 are better; use larger images")


def test_the_suggested_scale_gives_no_warning_and_twelve_cells():
    for longer in (96, 100, 130, 208, 300):
        (sentence,) = grid([longer], 0.25)
        scale = float(sentence.partition("scale to ")[2].partition(",")[0])
        assert grid([longer], scale) == []
        assert longer * scale / 16 >= 12


def test_one_small_image_in_twenty_is_tolerated():
    assert grid([60, *[300] * 19], 1.0) == []
    assert "2 of 20 images" in grid([60, 60, *[300] * 18], 1.0)[0]


def test_images_of_half_the_crop_are_large_enough():
    assert crop_warnings([112], key="train_cam.crop", crop=224) == []
    assert crop_warnings([111], key="train_cam.crop", crop=224) == [
        "train_cam.crop: 1 of 1 images are less than half as long as the training crop of 224 px "
        "(median 111 px); lower resize_min, resize_max and crop, or use larger images"
    ]


def test_every_unknown_split_is_an_error():
    chosen = {"train_cam.split": "train", "evaluate.seg_split": "val"}
    assert split_errors(chosen, ["train", "val"]) == []
    assert split_errors(chosen, ["train"]) == [
        "evaluate.seg_split: expected a split of the data set (train), got val; choose one of "
        "them, or list the images of val in ImageSets/Segmentation/val.txt"
    ]


def test_supervised_needs_a_mask_of_every_image():
    assert supervision_errors("train", ["a", "b"], {"a", "b", "c"}) == []
    assert supervision_errors("train", ["a", "b"], {"b"}) == [
        "methods: supervised needs ground truth of each of the 2 images of train_seg.split "
        "(train), 1 have none (first: a); add their masks to SegmentationClass, or remove "
        "supervised from methods"
    ]


def test_images_to_train_on_need_maps():
    assert pseudo_mask_errors("train", ["a"], ("both", ["a", "b"])) == []
    assert pseudo_mask_errors("both", ["a", "b"], ("train", ["a"])) == [
        "train_seg.split: 1 of the 2 images of both are not in make_cams.split (train) and get no "
        "pseudo masks; set make_cams.split to both"
    ]


def test_a_split_with_one_mask_is_scored():
    assert scoring_notes("evaluate.seg_split", "val", ["a", "b"], {"b"}) == []
    (note,) = scoring_notes("evaluate.seg_split", "val", ["a", "b"], {"c"})
    assert note.startswith("evaluate.seg_split: no image of val has ground truth")


def test_a_step_logs_the_warning_of_its_split(voc, caplog):
    split = load_weak_split(voc, "train")  # longer sides of 12, 12, 10, 12 and 9 pixels
    with caplog.at_level(logging.WARNING):
        log_small_images(split, key="evaluate.scales", scales=(2.0,), stride=4)
        log_small_images(split, key="evaluate.scales", scales=(2.0,), stride=2)
    (record,) = caplog.records
    assert "5 of 5 images (median of the longer side 12 px)" in record.getMessage()
