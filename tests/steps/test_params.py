"""Every kind of mistake in params.yaml, and the sentence that tells it."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from recam.core.errors import UserError
from recam.steps.params import check

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/params.schema.yaml").read_text(encoding="utf-8"))
SOURCE = "params.yaml"
LR = (
    "first learning rate of the backbone (and, in train_recam, of the first classifier); "
    "decays to 0"
)


@pytest.fixture
def params():
    """Load the parameters that the project is shipped with."""
    return yaml.safe_load((ROOT / SOURCE).read_text(encoding="utf-8"))


def refusal(params):
    """Give the sentence that tells what is wrong."""
    with pytest.raises(UserError) as caught:
        check(params, SCHEMA, source=SOURCE)
    return str(caught.value)


def test_the_parameters_of_the_project_pass(params):
    check(params, SCHEMA, source=SOURCE)


def test_checking_changes_nothing(params):
    before = deepcopy(params)
    check(params, SCHEMA, source=SOURCE)
    assert params == before


def test_a_misspelt_parameter_is_told_with_the_nearest_name(params):
    params["train_cam"]["epoch"] = params["train_cam"].pop("epochs")
    assert refusal(params) == (
        "params.yaml: train_cam.epoch is not a parameter; did you mean epochs?"
    )


def test_a_misspelt_section_is_told_with_the_nearest_name(params):
    params["train_recan"] = params.pop("train_recam")
    assert (
        refusal(params) == "params.yaml: train_recan is not a parameter; did you mean train_recam?"
    )


def test_an_invented_parameter_is_told_with_all_that_are_known(params):
    params["summarize"]["zzz"] = 1
    assert refusal(params) == "params.yaml: summarize.zzz is not a parameter; known are examples"


def test_a_key_that_is_no_text_is_told(params):
    params["summarize"][1] = 1
    assert refusal(params) == "params.yaml: summarize.1 is not a parameter; known are examples"


def test_a_missing_parameter_is_told_with_its_meaning(params):
    del params["train_cam"]["crop"]
    assert refusal(params) == (
        "params.yaml: train_cam.crop is missing; "
        "side of the square cut from a resized image, in pixels"
    )


def test_a_missing_section_is_told(params):
    del params["make_cams"]
    assert refusal(params) == "params.yaml: make_cams is missing; add this section"


def test_an_empty_file_is_told():
    assert refusal({}) == (
        "params.yaml: random_seeds is missing; replicates to run; results are reported as mean and "
        "standard deviation over them"
    )


def test_an_empty_section_is_told(params):
    params["summarize"] = None
    assert refusal(params) == "params.yaml: summarize: expected a value of type object, got None"


def test_a_number_that_yaml_reads_as_text_is_told(params):
    # YAML 1.1 wants a dot in 1.0e-4; without it 1e-4 is text.
    params["train_cam"]["lr"] = yaml.safe_load("1e-4")
    assert refusal(params) == (
        f"params.yaml: train_cam.lr: expected a value of type number ({LR}), got '1e-4'; "
        "write 0.0001"
    )


def test_a_fraction_for_a_count_is_told(params):
    params["train_cam"]["epochs"] = 1.5
    assert refusal(params) == (
        "params.yaml: train_cam.epochs: expected a value of type integer (passes over the split), "
        "got 1.5"
    )


def test_yes_for_a_count_is_told(params):
    params["train_cam"]["epochs"] = yaml.safe_load("yes")
    assert refusal(params) == (
        "params.yaml: train_cam.epochs: expected a value of type integer (passes over the split), "
        "got True"
    )


def test_a_value_below_its_range_is_told(params):
    params["train_recam"]["weight"] = -0.5
    assert refusal(params) == (
        "params.yaml: train_recam.weight: expected at least 0 (lambda of the softmax loss), "
        "got -0.5"
    )


def test_a_value_above_its_range_is_told(params):
    params["evaluate"]["cams_threshold"] = 1.5
    assert refusal(params) == (
        "params.yaml: evaluate.cams_threshold: expected at most 1 "
        "(a score of normalised maps, from 0 to 1), got 1.5"
    )


def test_an_unknown_architecture_is_told_with_the_nearest(params):
    params["train_seg"]["segmenter"] = "smp/deeplabv3+"
    told = refusal(params)
    assert told.startswith("params.yaml: train_seg.segmenter: expected one of ['deeplab', ")
    assert told.endswith(
        ", got 'smp/deeplabv3+'; did you mean smp/deeplabv3 or smp/deeplabv3plus or deeplabv2?"
    )


def test_a_bound_that_is_not_part_of_the_range_is_told(params):
    params["train_cam"]["lr"] = 0
    assert refusal(params) == f"params.yaml: train_cam.lr: expected more than 0 ({LR}), got 0"


def test_an_item_of_a_list_is_told_by_its_place(params):
    params["make_cams"]["scales"] = [1.0, 5.0]
    assert refusal(params) == (
        "params.yaml: make_cams.scales.1: expected at most 4 (from above 0 to 4), got 5.0"
    )


def test_an_empty_list_is_told(params):
    params["random_seeds"] = []
    assert refusal(params) == (
        "params.yaml: random_seeds: expected at least 1 values (replicates to run; results are "
        "reported as mean and standard deviation over them), got []"
    )


def test_a_name_that_is_not_known_is_told_with_those_that_are(params):
    params["make_cams"]["combine"] = "difference"
    assert refusal(params) == (
        "params.yaml: make_cams.combine: expected one of "
        "['product', 'reclassifier', 'classifier', 'sum'] "
        "(which weights make the maps of a re-activated model), got 'difference'"
    )


def test_a_stride_that_no_backbone_has_is_told(params):
    params["train_cam"]["output_stride"] = 12
    assert refusal(params) == (
        "params.yaml: train_cam.output_stride: expected one of [8, 16, 32] "
        "(pixels between neighbours of the feature grid), got 12"
    )


def test_a_method_listed_twice_is_told(params):
    params["methods"] = ["cam", "recam", "cam"]
    assert refusal(params) == (
        "params.yaml: methods: expected no value twice (methods to run side by side), "
        "got ['cam', 'recam', 'cam']"
    )


def test_a_device_of_another_kind_is_told(params):
    params["device"] = "gpu"
    assert refusal(params) == (
        "params.yaml: device: expected text that matches ^(auto|cpu|cuda(:[0-9]+)?)$ "
        "(auto (a GPU where there is one), cpu, cuda or cuda:1), got 'gpu'"
    )


def test_the_first_of_several_mistakes_is_told_by_the_alphabet(params):
    params["train_cam"]["epochs"] = 0
    params["evaluate"]["examples"] = -1
    assert refusal(params).startswith("params.yaml: evaluate.examples: expected at least 0 (")


@pytest.mark.parametrize(
    ("devices", "expected"), [(0, "at least 1"), ("two", "text that matches ^auto$")]
)
def test_a_number_of_devices_is_one_at_least_or_auto(params, devices, expected):
    params["devices"] = devices
    assert refusal(params) == (
        f"params.yaml: devices: expected {expected} (how many devices a step works on together: "
        f"1, 2, ... or auto (all GPUs of the machine)), got {devices!r}"
    )


def test_a_batch_that_the_devices_cannot_share_is_told(params):
    params["devices"] = 2
    params["train_recam"]["batch_size"] = 15
    assert refusal(params) == (
        "params.yaml: train_recam.batch_size: expected a multiple of the 2 devices that share a "
        "batch, got 15; change it or devices"
    )
    params["devices"] = "auto"
    check(params, SCHEMA, source=SOURCE)


def test_a_batch_of_a_step_that_trains_nothing_is_not_looked_at(params):
    params["devices"] = 2
    params["train_irn"]["batch_size"] = 15
    check(params, SCHEMA, source=SOURCE)
    params["make_pseudo"]["refiner"] = "irn+crf"
    assert "train_irn.batch_size" in refusal(params)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices_pass(params, device):
    params["device"] = device
    check(params, SCHEMA, source=SOURCE)


def described(schema, place=()):
    """Yield every parameter of a schema with its place."""
    for name, spec in schema.get("properties", {}).items():
        if spec.get("type") == "object":
            yield from described(spec, (*place, name))
        else:
            yield ".".join((*place, name)), spec


PARAMETERS = dict(described(SCHEMA))


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_says_what_it_means(name):
    assert PARAMETERS[name]["description"]


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_parameter_has_a_second_value_in_the_schema(name):
    assert "default" not in PARAMETERS[name]


def sections(schema):
    """Yield every object of a schema."""
    yield schema
    for spec in schema["properties"].values():
        if spec.get("type") == "object":
            yield from sections(spec)


def test_every_section_requires_all_its_parameters_and_no_others():
    for section in sections(SCHEMA):
        assert section["additionalProperties"] is False
        required = [*section["required"], *section.get("then", {}).get("required", [])]
        left = set(section["properties"]) - set(required)
        assert left == ({"longest_side"} if "dataset" in section["properties"] else set())
        assert not set(required) - set(section["properties"])


MADE = ("random_seed", "train_images", "val_images", "image_size", "cooccurrence")


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("dataset", ["shapes", "stamps"])
def test_a_made_data_set_needs_all_its_numbers(params, dataset, name):
    params["download"]["dataset"] = dataset
    del params["download"][name]
    words = refusal(params)
    assert words.startswith(f"params.yaml: download.{name} is missing; ")


@pytest.mark.parametrize("dataset", ["voc12", "coco14", "folder"])
def test_a_real_data_set_needs_none_of_them(params, dataset):
    params["download"] = {"dataset": dataset, "source": "somewhere"}
    check(params, SCHEMA, source=SOURCE)


@pytest.mark.parametrize("name", ["stamps", "voc12", "voc12_fast", "coco14", "folder"])
def test_presets_are_complete(name):
    preset = yaml.safe_load((ROOT / f"presets/{name}.yaml").read_text(encoding="utf-8"))
    check(preset, SCHEMA, source=name)


PUBLISHED = {  # Chen et al., CVPR 2022, the authors' code: VOC, then COCO where it differs
    ("train_cam", "epochs"): (5, 5),
    ("train_cam", "batch_size"): (16, 16),
    ("train_cam", "lr"): (0.1, 0.1),
    ("train_cam", "lr_classifier"): (1.0, 1.0),
    ("train_cam", "momentum"): (1e-4, 1e-4),
    ("train_cam", "weight_decay"): (1e-4, 1e-4),
    ("train_cam", "crop"): (512, 512),
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
    presets = [
        yaml.safe_load((ROOT / f"presets/{p}.yaml").read_text()) for p in ("voc12", "coco14")
    ]
    assert tuple(preset[section][name] for preset in presets) == PUBLISHED[section, name]
