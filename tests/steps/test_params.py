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


@pytest.mark.parametrize("section", ["make_cams", "evaluate"])
def test_precisions_of_inference_are_named(params, section):
    params[section]["inference_precision"] = "int8"
    words = refusal(params)
    assert f"{section}.inference_precision: expected 'machine', 'bf16' or 'fp32'" in words
    assert words.endswith("got 'int8'")


def test_limits_of_context_clusters_are_in_order(params):
    params["make_clusters"] |= {"context_min": 0.9, "context_max": 0.9}
    assert refusal(params).endswith(
        "context_min: expected less than context_max (0.9), got 0.9; lower context_min or raise "
        "context_max"
    )


def test_a_stride_that_no_backbone_has_is_reported(params):
    params["train_cam"]["output_stride"] = 12
    assert refusal(params) == (
        "params.yaml: train_cam.output_stride: expected 8, 14, 16 or 32 "
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


@pytest.mark.parametrize("shards", [0, -1, "two", True, 1.5, 10_001])
def test_a_number_of_shards_is_one_at_least(params, shards):
    params["machine"]["shards"] = shards
    assert refusal(params).startswith("params.yaml: machine.shards: expected ")
    assert refusal(params).endswith(f"got {shards!r}")


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
    assert optional == {
        f"download.{name}" for name in (*MADE, "longest_side", "saliency", "coco_masks")
    }
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


# Overlays that are no experiment on the default alone.
AFTER = {"voc12_deit": "voc12", "voc12_dinov2": "voc12"}
PRESETS = [
    "stamps",
    "voc12",
    "voc12_fast",
    "voc12_dinov2",
    "voc12_swin",
    "voc12_deit",
    "voc12_advcam",
    "voc12_lpcam",
    "voc12_saliency",
    "coco14_advcam",
    "coco14",
    "shapes",
    "street",
    "folder",
    "replicates",
]


def preset(name):
    """The default parameters, overlaid with a preset and the one before it."""
    return merged(before(name), read_params(ROOT / f"presets/{name}.yaml").values)


def before(name):
    """The parameters that a preset overlays."""
    return preset(AFTER[name]) if name in AFTER else read_params(ROOT / SOURCE).values


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_on_the_default_is_an_experiment(name):
    check(preset(name), FILES)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_holds_only_what_differs(name):
    overlay = read_params(ROOT / f"presets/{name}.yaml")
    for key in overlay.lines:
        if key == ("download", "source"):  # shown in every preset that reads a user's files
            continue
        ours, theirs = overlay.values, before(name)
        for part in key:
            ours, theirs = ours[part], theirs.get(part)
            if theirs is None:
                break
        assert ours != theirs, ".".join(key)


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


def test_a_crop_in_pixels_is_not_compared_with_sizes_in_percent(params):
    params["train_irn"] |= {"resize_unit": "percent", "resize_min": 50, "resize_max": 100}
    check(params, FILES)
    params["train_irn"]["resize_min"] = 101
    assert refusal(params) == (
        "params.yaml: train_irn.resize_min: expected no more than resize_max (100), got 101; lower "
        "resize_min or raise resize_max"
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


@pytest.mark.parametrize("method", ["eps", "eps-control", "eps-recam-lpcam"])
def test_a_method_that_learns_from_saliency_needs_the_folder(params, method):
    params["methods"] = ["cam", method]
    assert refusal(params) == (
        f"params.yaml: methods: {method} learns from saliency maps, expected the path of their "
        "folder in download.saliency, got none; set it, or remove the method"
    )
    params["download"]["saliency"] = "maps"
    check(params, FILES)


def test_saliency_of_a_folder_needs_the_folder(params):
    params["make_pseudo"]["saliency"] = "folder"
    assert refusal(params) == (
        "params.yaml: make_pseudo.saliency: expected the path of a folder of saliency maps in "
        "download.saliency, got none; set it, or set make_pseudo.saliency: none"
    )
    params["download"]["saliency"] = "maps"
    check(params, FILES)


FROZEN = {"frozen_backbone": True}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"train_cam": FROZEN | {"colour": 0.2}},
            "params.yaml: train_cam.colour: expected 0 with frozen_backbone, whose features are "
            "computed once, got 0.2; set colour: 0.0",
        ),
        (
            {"train_cam": FROZEN, "methods": ["seam-recam"]},
            "params.yaml: train_cam.frozen_backbone: expected false with seam, which needs images "
            "and not their stored features alone, got true; set it to false, or choose cam",
        ),
        (
            {"train_cam": FROZEN, "train_recam": {"colour": 0.1}},
            "params.yaml: train_recam.colour: expected 0 with train_cam.frozen_backbone, whose "
            "features are computed once, got 0.1; set it to 0.0",
        ),
        (
            {"train_seg": FROZEN | {"colour": 0.0}},
            "params.yaml: train_seg.segmenter: expected linear or tokens with frozen_backbone, "
            "whose final features alone are stored, got deeplab; change one",
        ),
        (
            {"train_seg": FROZEN | {"segmenter": "linear"}},
            "params.yaml: train_seg.colour: expected 0 with frozen_backbone, whose features are "
            "computed once, got 0.3; set colour: 0.0",
        ),
    ],
)
def test_a_frozen_backbone_refuses_what_needs_images(params, changed, sentence):
    assert refusal(merged(params, changed)) == sentence


def test_a_frozen_backbone_fits_its_methods_and_segmenters(params):
    light = FROZEN | {"segmenter": "tokens", "colour": 0.0}
    check(merged(params, {"train_cam": FROZEN, "train_seg": light}), FILES)
    # Stage two of control and recam reads the features of stage one; supervised has none.
    check(
        merged(params, {"train_cam": FROZEN, "train_recam": {"colour": 0.1}})
        | {"methods": ["cam", "supervised"]},
        FILES,
    )
