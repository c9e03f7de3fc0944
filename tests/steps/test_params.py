"""Every kind of error in params.yaml, and its sentence."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from recam.core.errors import UserError
from recam.steps.params import Experiment, check, merged
from recam.steps.yaml_files import ParamsFile, read_params

ROOT = Path(__file__).parents[2]
SOURCE = "params.yaml"
FILES = [ParamsFile(path=Path(SOURCE), values={}, lines={})]
LR = "initial learning rate of the backbone"


@pytest.fixture
def params():
    """The default parameters."""
    return yaml.safe_load((ROOT / SOURCE).read_text(encoding="utf-8"))


def refusal(params):
    """The message about the error."""
    with pytest.raises(UserError) as caught:
        check(params, FILES)
    return str(caught.value)


def test_the_parameters_of_the_project_pass(params):
    check(params, FILES)


def test_checking_changes_nothing(params):
    before = deepcopy(params)
    check(params, FILES)
    assert params == before


def test_a_misspelt_parameter_is_reported_with_the_nearest_name(params):
    params["train_cam"]["epoch"] = params["train_cam"].pop("epochs")
    assert refusal(params) == (
        "params.yaml: train_cam.epoch is not a parameter; did you mean epochs?"
    )


def test_a_misspelt_section_is_reported_with_the_nearest_name(params):
    params["train_recan"] = params.pop("train_recam")
    assert (
        refusal(params) == "params.yaml: train_recan is not a parameter; did you mean train_recam?"
    )


def test_an_invented_parameter_is_reported_with_all_that_are_known(params):
    params["summarize"]["zzz"] = 1
    assert refusal(params) == "params.yaml: summarize.zzz is not a parameter; known are examples"


def test_a_key_that_is_no_text_is_reported(params):
    params["summarize"][1] = 1
    assert refusal(params) == "params.yaml: summarize.1 is not a parameter; known are examples"


def test_a_missing_parameter_is_reported_with_its_meaning(params):
    del params["train_cam"]["crop"]
    assert refusal(params) == (
        "params.yaml: train_cam.crop is missing; side of the square crop, in pixels"
    )


def test_a_missing_section_is_reported(params):
    del params["make_cams"]
    assert refusal(params) == "params.yaml: make_cams is missing; add this section"


def test_an_empty_file_is_reported():
    assert refusal({}) == ("params.yaml: download is missing; add this section")


def test_an_empty_section_is_reported(params):
    params["summarize"] = None
    assert refusal(params) == "params.yaml: summarize: expected a section, got None"


def test_a_number_that_yaml_reads_as_text_is_reported(params):
    # YAML 1.1 needs a dot in 1.0e-4; without it 1e-4 is text.
    params["train_cam"]["lr"] = yaml.safe_load("1e-4")
    assert refusal(params) == (
        f"params.yaml: train_cam.lr: expected a number ({LR}), got '1e-4'; write 0.0001"
    )


def test_a_fraction_for_a_count_is_reported(params):
    params["train_cam"]["epochs"] = 1.5
    assert refusal(params) == (
        "params.yaml: train_cam.epochs: expected a whole number (passes over the split), got 1.5"
    )


def test_yes_for_a_count_is_reported(params):
    params["train_cam"]["epochs"] = yaml.safe_load("yes")
    assert refusal(params) == (
        "params.yaml: train_cam.epochs: expected a whole number (passes over the split), got True"
    )


def test_a_value_below_its_range_is_reported(params):
    params["train_recam"]["weight"] = -0.5
    assert refusal(params) == (
        "params.yaml: train_recam.weight: expected at least 0 (lambda: weight of the softmax "
        "loss), got -0.5"
    )


def test_a_value_above_its_range_is_reported(params):
    params["evaluate"]["cams_threshold"] = 1.5
    assert refusal(params) == (
        "params.yaml: evaluate.cams_threshold: expected at most 1 "
        "(background score, from 0 to 1), got 1.5"
    )


def test_an_unknown_architecture_is_reported_with_the_nearest(params):
    params["train_seg"]["segmenter"] = "smp/deeplabv3+"
    message = refusal(params)
    assert message.startswith(
        "params.yaml: train_seg.segmenter: expected one of deeplab, deeplabv2, "
    )
    assert message.endswith(
        ", got 'smp/deeplabv3+'; did you mean smp/deeplabv3 or smp/deeplabv3plus or deeplabv2?"
    )


def test_a_bound_that_is_not_part_of_the_range_is_reported(params):
    params["train_cam"]["lr"] = 0
    assert refusal(params) == f"params.yaml: train_cam.lr: expected more than 0 ({LR}), got 0"


def test_an_item_of_a_list_is_reported_by_its_place(params):
    params["make_cams"]["scales"] = [1.0, 5.0]
    assert refusal(params) == (
        "params.yaml: make_cams.scales.1: expected at most 4 (image scales, above 0 to 4, whose "
        "maps are averaged with those of the mirror images), got 5.0"
    )


def test_an_empty_list_is_reported(params):
    params["random_seeds"] = []
    assert refusal(params) == (
        "params.yaml: random_seeds: expected at least 1 value (random seeds of the replicates; "
        "results are means and standard deviations over them), got []"
    )


def test_a_name_that_is_not_known_is_reported_with_those_that_are(params):
    params["make_cams"]["combine"] = "difference"
    assert refusal(params) == (
        "params.yaml: make_cams.combine: expected 'mean', 'product', 'reclassifier', "
        "'classifier' or 'sum' (weights that make the maps of a re-activated model: V * W "
        "(product, as published on VOC), V, W (as published on COCO), V + W, or the mean of the "
        "maps of W and V * W), got 'difference'"
    )


def test_a_stride_that_no_backbone_has_is_reported(params):
    params["train_cam"]["output_stride"] = 12
    assert refusal(params) == (
        "params.yaml: train_cam.output_stride: expected 8, 16 or 32 "
        "(stride of the feature grid, in pixels), got 12"
    )


def test_a_method_listed_twice_is_reported(params):
    params["methods"] = ["cam", "recam", "cam"]
    assert refusal(params) == (
        "params.yaml: methods: expected no value twice (methods to run side by side), "
        "got ['cam', 'recam', 'cam']"
    )


def test_a_device_of_another_kind_is_reported(params):
    params["machine"]["device"] = "gpu"
    assert refusal(params) == (
        "params.yaml: machine.device: expected auto (a GPU if there is one), cpu, cuda or cuda:1, "
        "got 'gpu'"
    )


def test_the_first_of_several_errors_is_reported_by_the_alphabet(params):
    params["train_cam"]["epochs"] = 0
    params["evaluate"]["examples"] = -1
    assert refusal(params).startswith("params.yaml: evaluate.examples: expected at least 0 (")


@pytest.mark.parametrize("devices", [0, "two", True, 1.0])
def test_a_number_of_devices_is_one_at_least_or_auto(params, devices):
    params["machine"]["devices"] = devices
    assert refusal(params) == (
        "params.yaml: machine.devices: expected 1, 2, ... or auto (devices per step: 1, 2, ... or "
        f"auto (all GPUs of the machine)), got {devices!r}"
    )


def test_a_batch_that_the_devices_cannot_share_is_reported(params):
    params["machine"]["devices"] = 2
    params["train_recam"]["batch_size"] = 15
    assert refusal(params) == (
        "params.yaml: train_recam.batch_size: expected a multiple of machine.devices (2), got 15; "
        "change one"
    )
    params["machine"]["devices"] = "auto"
    check(params, FILES)


def test_a_batch_of_a_step_that_trains_nothing_is_not_looked_at(params):
    params["machine"]["devices"] = 2
    params["train_irn"]["batch_size"] = 15
    check(params, FILES)
    params["make_pseudo"]["refiner"] = "irn+crf"
    assert "train_irn.batch_size" in refusal(params)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices_pass(params, device):
    params["machine"]["device"] = device
    check(params, FILES)


NUMBERS = {
    f"{section}.{name}": number
    for section, field in Experiment.model_fields.items()
    for name, number in (
        field.annotation.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        else [("", field)]
    )
}


@pytest.mark.parametrize("name", NUMBERS)
def test_every_parameter_says_what_it_means(name):
    assert NUMBERS[name].description


def test_only_numbers_that_may_be_left_out_have_a_value_in_the_code():
    optional = {name for name, number in NUMBERS.items() if not number.is_required()}
    assert optional == {f"download.{name}" for name in (*MADE, "longest_side", "saliency")}
    assert {NUMBERS[name].default for name in optional} == {None}


MADE = ("random_seed", "train_images", "val_images", "image_size", "cooccurrence")


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("dataset", ["shapes", "stamps"])
def test_a_made_data_set_needs_all_its_numbers(params, dataset, name):
    params["download"]["dataset"] = dataset
    del params["download"][name]
    words = refusal(params)
    assert words.startswith(f"params.yaml: download.{name} is missing; ")


@pytest.mark.parametrize("dataset", ["voc12", "coco14", "street", "folder"])
def test_a_real_data_set_needs_none_of_them(params, dataset):
    params["download"] = {"dataset": dataset, "source": "somewhere"}
    check(params, FILES)


PRESETS = ["stamps", "voc12", "voc12_fast", "coco14", "street", "folder", "replicates"]


def preset(name):
    """The default parameters, overlaid with a preset."""
    base, overlay = (read_params(ROOT / path) for path in (SOURCE, f"presets/{name}.yaml"))
    return merged(base.values, overlay.values)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_on_the_default_is_an_experiment(name):
    check(preset(name), FILES)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_holds_only_what_differs(name):
    base, overlay = (read_params(ROOT / path) for path in (SOURCE, f"presets/{name}.yaml"))
    for key in overlay.lines:
        if key == ("download", "source"):  # shown in every preset that reads a user's files
            continue
        ours, theirs = overlay.values, base.values
        for part in key:
            ours, theirs = ours[part], theirs.get(part)
            if theirs is None:
                break
        assert ours != theirs, ".".join(key)


PUBLISHED = {  # Chen et al., CVPR 2022, the authors' code: VOC, then COCO where it differs
    ("train_cam", "epochs"): (5, 5),
    ("train_cam", "batch_size"): (16, 16),
    ("train_cam", "lr"): (0.1, 0.1),
    ("train_cam", "lr_classifier"): (1.0, 1.0),
    ("train_cam", "momentum"): (1e-4, 1e-4),
    ("train_cam", "weight_decay"): (1e-4, 1e-4),
    ("train_cam", "crop"): (512, 512),
    ("train_cam", "held_out"): (0, 0),
    ("train_cam", "min_steps"): (0, 0),
    ("train_cam", "colour"): (0, 0),
    ("train_recam", "held_out"): (0, 0),
    ("train_recam", "min_steps"): (0, 0),
    ("train_recam", "colour"): (0, 0),
    ("train_recam", "warmup_steps"): (0, 0),
    ("train_recam", "epochs"): (4, 4),
    ("train_recam", "batch_size"): (16, 6),
    ("train_recam", "lr"): (5e-5, 5e-5),
    ("train_recam", "lr_reclassifier"): (5e-4, 5e-4),
    ("train_recam", "momentum"): (1e-4, 1e-4),
    ("train_recam", "weight"): (1.0, 0.1),
    ("make_cams", "scales"): ([1.0, 0.5, 1.5, 2.0],) * 2,
    ("make_cams", "combine"): ("product", "classifier"),
    ("train_irn", "foreground"): (0.35, 0.3),
    ("train_irn", "background"): (0.1, 0.05),
    ("train_irn", "certainty"): (0.7, 0.7),
    ("train_irn", "crf_iterations"): (10, 10),
    ("train_irn", "crf_sxy"): (50, 50),
    ("train_irn", "crf_srgb"): (5, 5),
    ("train_irn", "crf_weight"): (10, 10),
    ("train_irn", "crf_smooth_sxy"): (3, 3),
    ("train_irn", "crf_smooth_weight"): (3, 3),
    ("train_irn", "radius"): (10, 10),
    ("train_irn", "epochs"): (3, 3),
    ("train_irn", "batch_size"): (32, 32),
    ("train_irn", "lr_edges"): (0.1, 0.1),
    ("train_irn", "lr_displacements"): (1.0, 1.0),
    ("train_irn", "momentum"): (1e-4, 1e-4),
    ("train_irn", "crop"): (512, 512),
    ("make_pseudo", "refiner"): ("irn", "irn"),
    ("make_pseudo", "threshold"): ("fixed", "fixed"),
    ("evaluate", "threshold"): ("fixed", "fixed"),
    ("train_seg", "loss"): ("cross_entropy", "cross_entropy"),
    ("train_seg", "min_steps"): (0, 0),
    ("train_seg", "colour"): (0, 0),
    ("make_pseudo", "irn_background"): (0.28, 0.25),
    ("make_pseudo", "irn_radius"): (5, 5),
    ("make_pseudo", "irn_power"): (10, 10),
    ("make_pseudo", "irn_steps"): (256, 256),
    ("train_seg", "segmenter"): ("deeplabv2", "deeplabv2"),
    ("train_seg", "backbone"): ("resnet101", "resnet101"),
    ("train_seg", "weights"): ("imagenet", "imagenet"),
    ("train_seg", "output_stride"): (8, 8),
    ("train_seg", "frozen_batch_norm"): (True, True),
    ("train_seg", "rates"): ([6, 12, 18, 24], [6, 12, 18, 24]),
    ("train_seg", "batch_size"): (10, 10),
    ("train_seg", "gradient_accumulation_steps"): (2, 2),
    ("train_seg", "lr"): (2.5e-4, 2e-4),
    ("train_seg", "lr_head"): (2.5e-3, 2e-3),
    ("train_seg", "lr_head_bias"): (5e-3, 4e-3),
    ("train_seg", "lr_step_interval"): (10, 10),
    ("train_seg", "momentum"): (0.9, 0.9),
    ("train_seg", "weight_decay"): (5e-4, 5e-4),
    ("train_seg", "crop"): (321, 321),
    ("evaluate", "cams_threshold"): (0.21, 0.15),
    ("evaluate", "crf"): (True, True),
    ("evaluate", "crf_iterations"): (10, 10),
    ("evaluate", "crf_sxy"): (67, 67),
    ("evaluate", "crf_srgb"): (3, 3),
    ("evaluate", "crf_weight"): (4, 4),
    ("evaluate", "crf_smooth_sxy"): (1, 1),
    ("evaluate", "crf_smooth_weight"): (3, 3),
}


@pytest.mark.parametrize(("section", "name"), PUBLISHED)
def test_the_published_numbers_are_those_of_the_presets(section, name):
    presets = [preset(p) for p in ("voc12", "coco14")]
    assert tuple(numbers[section][name] for numbers in presets) == PUBLISHED[section, name]


@pytest.mark.parametrize("value", [2.0, float("nan"), float("inf"), "2", True])
def test_a_whole_number_is_written_as_one(params, value):
    params["train_cam"]["epochs"] = value
    words = refusal(params)
    assert words.startswith("params.yaml: train_cam.epochs: expected a whole number")
    assert words.endswith("; write 2") == (value in (2.0, "2"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_is_finite(params, value):
    params["train_cam"]["lr"] = value
    assert refusal(params) == (
        f"params.yaml: train_cam.lr: expected a finite number ({LR}), got {value}"
    )


def test_a_whole_number_may_stand_for_a_real_one(params):
    params["train_cam"]["lr"] = 1
    assert check(params, FILES).train_cam.lr == 1.0


@pytest.mark.parametrize("name", ["resize_min", "crop"])
def test_no_size_exceeds_the_largest(params, name):
    params["train_seg"][name] = 161
    assert refusal(params) == (
        f"params.yaml: train_seg.{name}: expected no more than resize_max (160), got 161; lower "
        f"{name} or raise resize_max"
    )


def test_an_unknown_method_in_the_list_is_named(params):
    params["methods"] = ["recan"]
    assert refusal(params).endswith("got 'recan'; did you mean recam?")


def test_an_error_names_file_and_line_of_the_value_in_force(tmp_path, params):
    base, overlay = tmp_path / "params.yaml", tmp_path / "mine.yaml"
    base.write_text("train_cam:\n  epochs: 1\n  lr: 0.1\n")
    overlay.write_text("# mine\ntrain_cam:\n  epochs: 0\n")
    files = [read_params(base), read_params(overlay)]
    params["train_cam"]["epochs"] = 0
    with pytest.raises(UserError) as caught:
        check(params, files)
    assert str(caught.value).startswith(f"{overlay}:3: train_cam.epochs: expected at least 1")
    del params["train_cam"]["epochs"]
    del params["train_cam"]["crop"]
    with pytest.raises(UserError) as caught:
        check(params, files)
    assert str(caught.value).startswith(f"{overlay}:2: train_cam.crop is missing")


def test_merging_replaces_numbers_and_keeps_the_others():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 3}
    assert merged(base, {"a": {"y": [5]}, "c": 1}) == {"a": {"x": 1, "y": [5]}, "b": 3, "c": 1}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 3}


def test_saliency_of_a_folder_needs_the_folder(params):
    params["make_pseudo"]["saliency"] = "folder"
    assert refusal(params) == (
        "params.yaml: make_pseudo.saliency: expected the path of a folder of saliency maps in "
        "download.saliency, got none; set it, or set make_pseudo.saliency: none"
    )
    params["download"]["saliency"] = "maps"
    check(params, FILES)
