"""The work of an experiment, its wall-clock time, and the size of its data set."""

import pytest
import yaml
from experiment import ROOT
from PIL import Image

from recam.core.errors import UserError
from recam.datasets import shapes, voc12
from recam.steps.data_size import data_size
from recam.steps.estimate import (
    CAM_FEATURES,
    CONFIDENT,
    OWN_MASKS,
    SECOND_ROUND,
    SEG_FEATURES,
    DataSize,
    StepWork,
    wall_seconds,
    works_of,
)
from recam.steps.params import check, merged

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
SIZE = DataSize(images={"train": 50, "val": 20}, size=(128, 128), num_classes=8)


def numbers(**changed):
    """The default with other values in some sections."""
    return check(merged(PARAMS, changed), [])


def works(**changed):
    return {work.step: work for work in works_of(numbers(**changed), SIZE)}


def test_training_takes_whole_batches_of_every_epoch():
    found = works(train_seg={"epochs": 3, "min_steps": 0, "batch_size": 16})
    assert found["train_seg"].images == 3 * 48


def test_runs_are_those_of_methods_and_random_seeds():
    found = works(methods=["cam", "control", "recam", "supervised"], random_seeds=[0, 1, 2])
    assert {step: work.runs for step, work in found.items()} == {
        "train_cam": 3,
        "train_recam": 6,
        "make_cams": 9,
        "make_pseudo": 9,
        "train_seg": 12,
        "evaluate": 12,
    }


def test_shards_are_runs_of_a_part_of_the_images_and_trainings_stay_whole():
    found = works(methods=["cam"], machine={"shards": 4}, make_pseudo={"refiner": "irn+crf"})
    assert {step: (work.runs, work.images) for step, work in found.items() if work.runs > 1} == {
        "make_cams": (4, 13),  # of 50, the largest shard
        CONFIDENT: (4, 13),
        "make_pseudo": (4, 13),
        "evaluate": (4, 7),  # of 20 and 6 examples
    }
    assert found["train_irn"].runs == 1


def test_read_outs_of_other_costs_are_counted_apart():
    found = works(methods=["cam", "cam-lpcam", "recam-advcam", "recam-layercam", "cam-layercam"])
    counted = {step: work.runs for step, work in found.items() if step.startswith("make_cams")}
    assert counted == {"make_cams": 2, "make_cams, advcam": 1, "make_cams, layercam": 2}


def test_trainings_of_other_costs_are_counted_apart():
    found = works(methods=["mctformer", "mctformer-recam", "mctformer-control", "recam"])
    counted = {step: work.runs for step, work in found.items() if "ma" in step or "train" in step}
    assert counted == {
        "train_cam": 1,
        "train_cam, mctformer": 1,
        "train_recam": 1,
        "train_recam, mctformer": 2,
        "make_cams": 1,
        "make_cams, mctformer": 3,
        "make_pseudo": 4,
        "train_seg": 4,
    }


def test_clusters_are_of_methods_with_lpcam_and_of_some_images():
    methods = ["cam", "cam-lpcam", "recam-lpcam"]
    assert "make_clusters" not in works(methods=["cam", "recam"])
    some = works(methods=methods, make_clusters={"images": 30}, random_seeds=[0, 1])
    assert (some["make_clusters"].runs, some["make_clusters"].images) == (4, 30)
    assert works(methods=methods)["make_clusters"].images == 50


def test_a_tower_of_clip_trains_in_no_stage_one_and_has_costs_of_its_own():
    found = works(methods=["clip_es", "clip_es-recam", "recam"], random_seeds=[0, 1])
    assert found["train_cam"].runs == 2  # CAM, from which segmenters start
    assert found["train_recam"].runs == found["train_recam, clip_es"].runs == 2
    assert (found["make_cams"].runs, found["make_cams, clip_es"].runs) == (2, 4)


def test_steps_that_no_method_needs_are_left_out():
    assert set(works(methods=["supervised"])) == {"train_cam", "train_seg", "evaluate"}


def test_irn_is_trained_only_for_its_refiners():
    found = works(make_pseudo={"refiner": "irn"}, train_irn={"epochs": 2, "batch_size": 25})
    assert found[CONFIDENT].images == 50
    assert found["train_irn"].images == 100


def test_a_second_round_of_training_is_one_of_every_method_but_supervised():
    seg = {"self_training": "second_round", "epochs": 3, "min_steps": 0, "batch_size": 16}
    found = works(train_seg=seg, methods=["cam", "recam", "supervised"])
    counted = [(found[step].runs, found[step].images) for step in (OWN_MASKS, SECOND_ROUND)]
    assert counted == [(2, 50), (2, 3 * 48)]
    assert (found["train_seg"].runs, found["train_seg"].images) == (3, 3 * 48)
    assert not {OWN_MASKS, SECOND_ROUND} & set(works())


def test_a_second_round_on_features_draws_more_views():
    frozen = {"frozen_backbone": True, "segmenter": "linear", "colour": 0.0, "weights": "none"}
    seg = frozen | {"epochs": 1, "min_steps": 0}
    twice = seg | {"self_training": "second_round"}
    assert works(train_seg=seg)[SEG_FEATURES].images == 50
    assert works(train_seg=twice)[SEG_FEATURES].images == round(50 * (1 + 5 / 6))
    upper = works(train_seg=twice, methods=["supervised"])
    assert upper[SEG_FEATURES].images == 50


def test_maps_and_predictions_are_made_once_per_image():
    found = works(evaluate={"examples": 6})
    assert found["make_cams"].images == found["make_pseudo"].images == 50
    assert found["evaluate"].images == 26
    assert works(evaluate={"examples": 90})["evaluate"].images == 70


def test_a_run_takes_its_start_and_its_images():
    assert StepWork(step="make_cams", runs=9, images=50).seconds(0.5, start=4.0) == 29


def test_independent_runs_share_the_cores():
    work = [StepWork(step="train_seg", runs=6, images=1)]
    assert wall_seconds(work, {"train_seg": 10.0}, slots=1) == 60
    assert wall_seconds(work, {"train_seg": 10.0}, slots=2) == 30


def test_steps_in_turn_are_the_least_time_on_any_number_of_cores():
    work = [StepWork(step=step, runs=1, images=1) for step in ("train_cam", "make_cams")]
    assert wall_seconds(work, {"train_cam": 10.0, "make_cams": 5.0}, slots=8) == 15


def test_a_run_of_several_threads_keeps_as_many_cores():
    work = [StepWork(step="train_cam", runs=4, images=1, threads=2)]
    assert wall_seconds(work, {"train_cam": 10.0}, slots=4) == 20
    assert wall_seconds(work, {"train_cam": 10.0}, slots=1) == 40  # there are no two cores


def test_a_made_data_set_is_as_large_as_its_numbers(tmp_path):
    found = data_size(numbers(), tmp_path)
    assert found.images == {"train": 384, "val": 160}
    assert found.size == (128, 128)
    assert found.num_classes == len(shapes.CLASSES)


def test_a_folder_is_counted_and_measured_as_download_leaves_it(voc):
    for path in voc.glob("JPEGImages/*"):
        with Image.open(path) as image:
            image.resize((5 * image.width, 5 * image.height)).save(path)
    own = {"dataset": "folder", "source": str(voc), "longest_side": 32}
    found = data_size(numbers(download=own, evaluate={"seg_split": "train"}), voc.parent)
    assert found.images == {"train": 5}
    # Of 60 x 40, 40 x 60, 50 x 50, 60 x 40 and 45 x 35 the medians are 50 x 40.
    assert found.size == (32, 26)
    assert found.num_classes == 3


def test_a_published_data_set_has_its_published_numbers_before_the_download(tmp_path):
    own = numbers(download={"dataset": "voc12"}, train_cam={"crop": 120})
    found = data_size(own, tmp_path)
    assert found == DataSize(images=voc12.COUNTS, size=(120, 120), num_classes=20)


def test_the_data_of_another_set_are_not_counted(voc):
    found = data_size(numbers(download={"dataset": "voc12"}), voc)
    assert found.images == voc12.COUNTS


def test_a_missing_folder_is_one_sentence(tmp_path):
    own = {"dataset": "folder", "source": str(tmp_path / "none"), "longest_side": 32}
    with pytest.raises(UserError, match="which does not exist"):
        data_size(numbers(download=own), tmp_path)


FROZEN = {"frozen_backbone": True, "epochs": 2, "min_steps": 0}


def test_a_frozen_backbone_computes_each_view_once():
    light = FROZEN | {"segmenter": "linear", "colour": 0.0}
    found = works(train_cam=FROZEN, train_recam={"epochs": 1, "min_steps": 0}, train_seg=light)
    # Three passes of train_cam and train_recam over 50 images; 6 views, and each pass takes one.
    assert found[CAM_FEATURES] == StepWork(
        step=CAM_FEATURES, runs=1, images=round(50 * 6 * (1 - (5 / 6) ** 3))
    )
    assert found[SEG_FEATURES].images == round(50 * 6 * (1 - (5 / 6) ** 2))
    many = works(train_cam=FROZEN | {"epochs": 200}, random_seeds=[0, 1])
    assert (many[CAM_FEATURES].runs, many[CAM_FEATURES].images) == (1, 300)
    one_size = works(train_cam=FROZEN | {"epochs": 200, "resize_min": 160})
    assert one_size[CAM_FEATURES].images == 100


def test_segmenters_on_trained_backbones_share_no_features():
    light = FROZEN | {"segmenter": "linear", "colour": 0.0}
    seeds = {"random_seeds": [0, 1, 2], "train_seg": light}
    assert works(**seeds)[SEG_FEATURES].runs == 3
    assert works(**seeds, train_cam=FROZEN)[SEG_FEATURES].runs == 1
    assert CAM_FEATURES not in works(**seeds)
