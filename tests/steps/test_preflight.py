"""Numbers of an experiment against the data that they are to run on."""

from pathlib import Path

import pytest
import timm
import yaml
from experiment import ROOT

from recam.catalogue.names import networks_of_timm
from recam.steps.networks import name_errors, network_errors
from recam.steps.params import check, merged
from recam.steps.preflight import (
    DataFacts,
    errors_of,
    facts_of_layout,
    machine_errors,
    warnings_of,
    watch_errors,
    weights_errors,
)
from recam.steps.sections.machine import Machine

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())


def numbers(**changed):
    """The default with other values in some sections."""
    return check(merged(PARAMS, changed), [])


def facts(splits, *, masks=()):
    ids = {image_id for listed in splits.values() for image_id in listed}
    images = {image_id: Path(f"{image_id}.png") for image_id in ids}
    return DataFacts(splits=splits, images=images, with_mask=frozenset(masks))


def test_the_default_fits_data_with_masks():
    assert errors_of(numbers(), facts({"train": ("a",), "val": ("b",)}, masks="a")) == []


def test_only_supervised_needs_masks():
    bare = facts({"train": ("a",), "val": ("b",)})
    assert errors_of(numbers(methods=["cam", "recam"]), bare) == []
    (error,) = errors_of(numbers(), bare)
    assert error.startswith("methods: supervised needs ground truth")


def test_splits_of_unused_steps_are_free():
    data = facts({"train": ("a",), "val": ("b",)}, masks="a")
    others = {name: {"split": "none"} for name in ("train_irn", "train_recam", "make_clusters")}
    assert errors_of(numbers(methods=["cam"], **others), data) == []
    others["make_pseudo"] = {"refiner": "irn"}
    errors = errors_of(numbers(**others), data)
    assert [error.partition(":")[0] for error in errors] == ["train_recam.split", "train_irn.split"]


def test_the_split_of_clusters_matters_to_methods_with_lpcam():
    data = facts({"train": ("a",), "val": ("b",)}, masks="a")
    clusters = {"make_clusters": {"split": "none"}}
    (error,) = errors_of(numbers(methods=["cam", "cam-lpcam"], **clusters), data)
    assert error.startswith("make_clusters.split")


def test_maps_are_needed_of_all_images_to_train_on_but_not_by_supervised():
    data = facts({"train": ("a",), "both": ("a", "b"), "val": ("b",)}, masks="ab")
    (error,) = errors_of(numbers(train_seg={"split": "both"}), data)
    assert error.startswith("train_seg.split: 1 of the 2 images of both")
    assert errors_of(numbers(methods=["supervised"], train_seg={"split": "both"}), data) == []


@pytest.fixture
def only_train():
    return numbers(methods=["cam"], evaluate={"seg_split": "train"})


def test_small_images_without_masks_are_reported_with_every_parameter(voc, only_train):
    for mask in (voc / "SegmentationClass").iterdir():
        mask.unlink()
    found = warnings_of(only_train, facts_of_layout(voc))
    assert [sentence.partition(":")[0] for sentence in found] == [
        "make_cams.scales",
        "evaluate.scales",
        "train_cam.crop",
        "train_seg.crop",
        "evaluate.maps_split",
        "evaluate.seg_split",
    ]


def test_shards_without_images_are_reported(voc, only_train):
    machine = only_train.machine.model_copy(update={"shards": 6})
    found = warnings_of(only_train.model_copy(update={"machine": machine}), facts_of_layout(voc))
    assert found[2] == (
        "machine.shards: expected at most 5, the images of split train, got 6; the others have "
        "nothing to do, so lower it"
    )


def test_images_are_judged_at_the_size_that_download_leaves(voc):
    large = facts_of_layout(voc)  # longer sides of 12, 12, 10, 12 and 9 pixels
    small = DataFacts(
        splits=large.splits, images=large.images, with_mask=large.with_mask, longest_side=6
    )
    changed = {"scales": [4.0], "split": "train"}
    own = numbers(
        make_cams=changed, evaluate={"seg_split": "train"}, train_cam={"output_stride": 8}
    )
    assert "median of the longer side 12 px" in warnings_of(own, large)[0]
    assert "median of the longer side 6 px" in warnings_of(own, small)[0]


@pytest.mark.parametrize(
    ("device", "gpus", "most", "kind"), [("auto", 2, 2, "GPUs"), ("cuda", 1, 1, "GPUs")]
)
def test_more_devices_than_there_are_is_an_error(device, gpus, most, kind):
    machine = Machine(device=device, devices=most, precision="fp32", threads=1)
    assert machine_errors(machine, gpus) == []
    more = machine.model_copy(update={"devices": most + 1})
    assert machine_errors(more, gpus) == [
        f"machine.devices: expected at most {most}, the {kind} of this machine, got {most + 1}; "
        "lower it"
    ]
    assert machine_errors(machine.model_copy(update={"devices": "auto"}), gpus) == []


def test_processes_on_a_cpu_are_at_most_its_cores():
    machine = Machine(device="cpu", devices=100_000, precision="fp32", threads=1)
    (error,) = machine_errors(machine, 8)
    assert "cores of this machine, got 100000" in error


@pytest.mark.parametrize("section", ["train_cam", "train_seg"])
def test_a_weights_file_that_is_missing_is_an_error(tmp_path, section):
    file = tmp_path / "w.pt"
    experiment = numbers(**{section: {"weights": str(file)}})
    (error,) = weights_errors(experiment)
    assert error.startswith(f"{section}.weights: expected ")
    assert error.endswith(f"got {file}, which does not exist; correct it")
    file.touch()
    assert weights_errors(experiment) == []


def test_a_segmenter_starts_from_a_classifier_of_its_backbone_alone():
    (error,) = weights_errors(numbers(train_seg={"backbone": "resnet50"}))
    assert error.startswith("train_seg.backbone: expected that of train_cam (tf_efficientnet_lite0")


@pytest.mark.parametrize(
    ("backbone", "words"),
    [("no_such_net", "there is no 'no_such_net'"), ("resnet50", None)],
)
def test_an_unknown_backbone_is_found_before_the_first_step(backbone, words):
    errors = list(network_errors(numbers(train_cam={"backbone": backbone})))
    assert [words in error for error in errors] == ([True] if words else [])


@pytest.mark.parametrize("section", ["train_cam", "train_seg"])
def test_a_name_that_timm_lacks_is_found_in_a_dry_run(section):
    (error,) = name_errors(numbers(**{section: {"backbone": "mobilnetv3_large_100"}}))
    assert error.startswith(f"{section}: backbone: there is no 'mobilnetv3_large_100'")
    assert "mobilenetv3_large_100" in error
    assert list(name_errors(numbers(**{section: {"backbone": "mobilenetv3_large_100"}}))) == []


@pytest.mark.parametrize("section", ["train_cam", "train_seg"])
def test_a_tag_may_follow_a_name_of_timm(section):
    name = "vit_small_patch14_dinov2.lvd142m"
    assert list(name_errors(numbers(**{section: {"backbone": name}}))) == []
    (error,) = name_errors(numbers(**{section: {"backbone": f"x{name}"}}))
    assert "vit_small_patch14_dinov2" in error


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("test_vit3", 16),
        ("vit_small_patch14_dinov2.lvd142m", 14),
        ("eva02_tiny_patch14_224", 14),
    ],
)
def test_transformers_are_checked_before_the_first_step(name, stride):
    token = {"backbone": name, "output_stride": stride}
    deeplabv2 = token | {"segmenter": "deeplabv2"}
    assert list(network_errors(numbers(train_cam=token, train_seg=deeplabv2))) == []
    other = {"backbone": name, "output_stride": 32}
    (error,) = network_errors(numbers(train_cam=other))
    assert f"expected output stride {stride}, its only one, got 32" in error


def test_a_decoder_that_needs_an_early_level_is_refused_before_the_first_step():
    tokens = {"backbone": "test_vit", "output_stride": 16}
    (error,) = network_errors(numbers(train_cam=tokens, train_seg=tokens))
    assert error.startswith("train_seg: backbone test_vit: expected a level at stride 4, got 16;")


def test_class_tokens_need_a_plain_transformer():
    experiment = numbers(methods=["cam", "mctformer-recam"])
    (error,) = name_errors(experiment)
    assert error == (
        "train_cam: backbone tf_efficientnet_lite0: mctformer expects a plain transformer without "
        "rotary embeddings, which class tokens can join; choose one, such as "
        "deit_small_patch16_224 with output_stride: 16, or another method"
    )
    assert list(network_errors(experiment)) == []  # refused already
    for backbone, count in (("test_vit", 0), ("test_resnet", 1)):
        errors = list(
            network_errors(numbers(methods=["mctformer"], train_cam={"backbone": backbone}))
        )
        assert len(errors) == count


def test_the_network_of_irn_is_checked_where_irn_is_used():
    irn = {"train_irn": {"backbone": "no_such_net"}}
    assert list(name_errors(numbers(**irn, make_pseudo={"refiner": "pamr"}))) == []
    assert len(list(name_errors(numbers(**irn, make_pseudo={"refiner": "irn"})))) == 1


def test_the_backbone_of_affinities_is_checked_where_they_are_used():
    other = {"affinity_backbone": "no_such_net"}
    assert list(name_errors(numbers(make_pseudo={"refiner": "irn", **other}))) == []
    (error,) = name_errors(numbers(make_pseudo={"refiner": "affinity", **other}))
    assert error.startswith("make_pseudo.affinity_backbone: backbone: there is no 'no_such_net'")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"affinity_backbone": "test_resnet"}, None),
        ({"affinity_backbone": "test_vit", "affinity": "attention"}, None),
        (
            {"affinity_backbone": "test_resnet", "affinity": "attention"},
            "make_pseudo.affinity: attention expects a transformer, got a convolutional backbone; "
            "set affinity: features, or affinity_backbone to a vit_ or deit_ network",
        ),
        (
            {"affinity_backbone": "test_resnet", "affinity_levels": [1, 5]},
            "make_pseudo.affinity_levels: expected levels from -5 to 4 of this backbone, got 5; "
            "correct it",
        ),
    ],
)
def test_a_backbone_without_attention_or_a_level_is_an_early_error(changes, words):
    experiment = numbers(make_pseudo={"refiner": "affinity+crf", **changes})
    assert list(network_errors(experiment)) == ([words] if words else [])


@pytest.mark.parametrize(
    ("methods", "count"),
    [(["clip_es", "clip_es-recam"], 0), (["cam"], 1), (["cam", "clip_es", "supervised"], 1)],
)
def test_attention_of_the_classifier_is_that_of_each_method(methods, count):
    experiment = numbers(
        methods=methods,
        train_cam={"clip_tower": "test_vit"},
        make_pseudo={"refiner": "affinity", "affinity": "attention"},
    )
    errors = list(network_errors(experiment))
    assert [e.partition(":")[0] for e in errors] == ["make_pseudo.affinity"] * count


@pytest.mark.parametrize(
    ("tower", "stride", "words"),
    [
        ("test_vit", 16, None),
        ("test_vit", 14, "expected output stride 16, its only one, got 14"),
        ("test_resnet", 16, "expected an image tower of CLIP that is a plain ViT of timm, got"),
    ],
)
def test_the_tower_of_clip_is_checked_before_the_first_step(tower, stride, words):
    cam = {"clip_tower": tower, "clip_stride": stride}
    errors = list(network_errors(numbers(methods=["clip_es-recam"], train_cam=cam)))
    assert [words in error for error in errors] == ([True] if words else [])
    assert all(error.startswith("train_cam.clip_tower and clip_stride: ") for error in errors)
    assert list(network_errors(numbers(methods=["cam"], train_cam=cam))) == []


@pytest.mark.parametrize("backbone", ["classifier", "test_resnet"])
def test_affinities_read_the_classifier_or_a_file_of_weights(tmp_path, backbone):
    file = tmp_path / "w.pt"
    given = {"affinity_backbone": backbone, "affinity_weights": str(file)}
    (error,) = weights_errors(numbers(make_pseudo=given))
    assert error.startswith("make_pseudo.affinity_weights: expected imagenet, none or the path")
    is_own = backbone == "classifier"
    pseudo = numbers(make_pseudo={"refiner": "affinity", **given}).make_pseudo
    assert pseudo.needs_classifier == is_own
    assert pseudo.affinity_file == (None if is_own else file)
    other = numbers(make_pseudo={"refiner": "crf", **given}).make_pseudo
    assert (other.needs_classifier, other.affinity_file) == (False, None)


def test_names_in_the_source_of_timm_are_those_that_it_lists():
    assert networks_of_timm() == set(timm.list_models())


def test_the_package_of_a_log_must_be_there():
    assert watch_errors("none") == []
    assert watch_errors("json") == []  # any package that is there
    assert watch_errors("no_such_package") == [
        "watch: expected the package no_such_package, which is not installed; run "
        "`pip install 'recam[watch]'`, or set watch: none"
    ]
