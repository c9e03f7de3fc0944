"""The catalogues: names to objects, and the messages about unknown names."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from experiment import small_params

from recam.catalogue import names
from recam.catalogue.backbones import BACKBONES
from recam.catalogue.datasets import MADE, REAL, Made, Sources, fill
from recam.catalogue.methods import (
    REACTIVATIONS,
    TRAININGS,
    make_classifier,
    weights_of,
)
from recam.catalogue.names import REFINERS, needs_affinity, needs_irn, unknown
from recam.catalogue.readouts import READOUTS, make_readout
from recam.catalogue.refiners import (
    PROPAGATORS,
    RefinerNumbers,
    bytes_of_walk,
    make_irn,
    make_propagator,
)
from recam.catalogue.segmenters import SEGMENTERS
from recam.core.errors import UserError
from recam.data.layout import load_weak_split
from recam.io.checkpoints import ModelConfig
from recam.io.images import read_image
from recam.methods.cam import Cam
from recam.methods.recam import COMBINATIONS, MEAN, ReCam
from recam.models.initialisation import seeded_initialisation
from recam.refine.irn import edges_of
from recam.refine.pamr import Pamr
from recam.refine.random_walk import Walk, walk_bytes, walked
from recam.runtime import devices
from recam.runtime.devices import how_many, loader_workers, make_device, take
from recam.runtime.threads import usable_cores
from recam.steps.readout import readout_numbers
from recam.steps.sections.make_cams import MakeCams

MODEL_CONFIG = ModelConfig(
    method="cam",
    backbone="resnet18",
    output_stride=32,
    classes=("cat", "dog"),
    frozen_batch_norm=True,
    frozen_stem=False,
    weight=0.5,
)


@pytest.fixture
def images(generator):
    """One image of 64 x 64 pixels."""
    return torch.randn(1, 3, 64, 64, generator=generator)


def build(method):
    with seeded_initialisation(0, "test"):
        return make_classifier(replace(MODEL_CONFIG, method=method)).eval()


@pytest.mark.parametrize(
    ("listed", "catalogue"),
    [
        (names.TRAININGS, TRAININGS),
        (names.names_in("methods", "REACTIVATIONS"), REACTIVATIONS),
        (names.names_in("readouts", "READOUTS"), READOUTS),
        (names.MADE, MADE),
        (names.REAL, REAL),
        (names.SEGMENTERS, SEGMENTERS),
        (names.names_in("refiners", "PROPAGATORS"), PROPAGATORS),
        (names.names_in("backbones", "BACKBONES"), BACKBONES),
        (get_args(MakeCams.model_fields["combine"].annotation), [MEAN, *COMBINATIONS]),
    ],
)
def test_names_known_without_torch_are_those_of_the_catalogue(listed, catalogue):
    assert listed == tuple(catalogue)


@pytest.mark.parametrize(("method", "kind"), [("cam", Cam), ("control", Cam), ("recam", ReCam)])
def test_a_method_gives_its_network(method, kind):
    model = build(method)
    assert type(model) is kind
    assert model.weights.shape == (2, 512)


def test_the_model_config_sets_the_weight_of_the_softmax_loss():
    assert build("recam").weight == 0.5


def read(method, images, combine, **changed):
    model = build(method)
    present = torch.ones(len(images), 2, dtype=torch.bool)
    with torch.no_grad():
        numbers = MakeCams(**small_params()["make_cams"] | {"combine": combine} | changed)
        return make_readout(method, model, readout_numbers(numbers))(images, present)


def of_both_views(maps, images):
    with torch.no_grad():
        return maps(images) + maps(images.flip(3)).flip(3)


@pytest.mark.parametrize(("combine", "by"), [("reclassifier",) * 2, ("mean", "product")])
def test_gradients_are_of_the_score_of_the_combined_weights(images, combine, by):
    """Grad-CAM at the final features is CAM, up to a factor; `mean` has no weights of its own."""
    model = build("recam")
    expected = of_both_views(lambda views: model.maps(views, combine=by), images)
    peaks = expected.amax(dim=(2, 3), keepdim=True)
    found = read("recam-gradcam", images, combine, levels=[-1])
    assert (peaks > 0).any()
    torch.testing.assert_close(found * peaks, expected, rtol=1e-4, atol=1e-4)


def test_layercam_and_gradcam_plus_plus_differ(images):
    assert not torch.equal(
        *(read(f"cam-{name}", images, "mean") for name in ("layercam", "gradcampp"))
    )


@pytest.mark.parametrize("combine", ["classifier", "reclassifier", "mean"])
def test_a_reactivated_model_combines_its_weights_as_asked(images, combine):
    model = build("recam")
    expected = of_both_views(lambda x: model.maps(x, combine=combine), images)
    torch.testing.assert_close(read("recam", images, combine), expected)


def test_a_cam_has_nothing_to_combine(images):
    expected = of_both_views(build("cam").maps, images)
    torch.testing.assert_close(read("cam", images, "product"), expected)


def test_a_read_out_follows_the_product_where_maps_are_averaged():
    model = build("recam")
    w, v = model.weights, model.get_parameter("reclassifier")
    assert torch.equal(weights_of(model, "mean"), w * v)
    assert torch.equal(weights_of(model, "reclassifier"), v)
    plain = build("cam")
    assert weights_of(plain, "reclassifier") is plain.weights


def test_the_grammar_names_each_combination_once():
    found = names.methods_of(["cam", "seam"], ["recam"], ["lpcam"])
    assert list(found) == [
        "cam",
        "cam-lpcam",
        "recam",
        "recam-lpcam",
        "seam",
        "seam-lpcam",
        "seam-recam",
        "seam-recam-lpcam",
    ]
    assert found["recam-lpcam"] == ("cam", "recam", "lpcam")
    assert {name: method.classifier for name, method in found.items()} == {
        name: name.removesuffix("-lpcam") for name in found
    }


def numbers(**changes):
    """Small parameters for all refiners."""
    usual = {
        "pamr": Pamr(dilations=(1,), iterations=1),
        "walk": Walk(radius=2, power=1.0, steps=2),
        "irn": None,
        "affinity": None,
    }
    return RefinerNumbers(**usual | changes)


def test_every_refiner_begins_with_a_propagator():
    assert {parts.propagation for parts in REFINERS.values()} == set(PROPAGATORS)
    assert {name for name in REFINERS if needs_affinity(name)} == {"affinity", "affinity+crf"}
    assert {(name, needs_irn(name)) for name in REFINERS if needs_irn(name)} == {
        ("irn", True),
        ("irn+crf", True),
    }


def test_names_with_crf_have_one():
    assert all(parts.has_crf == name.endswith("crf") for name, parts in REFINERS.items())


def test_irn_walks_between_the_edges_of_its_network(generator):
    with seeded_initialisation(0, "test"):
        irn = make_irn(replace(MODEL_CONFIG, method="irn", radius=3)).eval()
    assert irn.radius == 3
    scores, pixels = (torch.rand(2, n, 32, 48, generator=generator) for n in (1, 3))
    walk = Walk(radius=3, power=2.0, steps=4, cams_power=1.5)
    with torch.no_grad():
        spread = make_propagator("irn+crf", numbers(irn=irn, walk=walk))(scores, pixels)
        edges = edges_of(irn, pixels)
        expected = walked(scores, edges, radius=3, power=2.0, steps=4, cams_power=1.5)
    assert torch.equal(spread, expected)


def test_a_walk_and_affinities_need_a_network():
    with pytest.raises(TypeError, match="a walk needs a trained IRN"):
        make_propagator("irn", numbers())
    with pytest.raises(TypeError, match="affinities need a backbone"):
        make_propagator("affinity", numbers())


def test_the_memory_of_a_walk_is_that_of_its_coarse_grid():
    assert bytes_of_walk(33, 40, 2, radius=5) == walk_bytes(9, 10, num_scores=2, radius=5)


def test_a_refiner_gets_its_numbers(generator):
    scores, pixels = torch.rand(1, 2, 4, 4, generator=generator), torch.zeros(1, 3, 4, 4)
    once, never = (
        make_propagator("pamr", numbers(pamr=Pamr(dilations=(1,), iterations=n))) for n in (1, 0)
    )
    assert torch.equal(never(scores, pixels), scores)
    assert not torch.equal(once(scores, pixels), scores)


NUMBERS = Made(random_seed=3, train_images=2, val_images=1, image_size=32, cooccurrence=1.0)


def test_shapes_are_made_with_the_numbers_given(tmp_path):
    sources = Sources(source="auto", originals=tmp_path / "originals")
    fill(tmp_path / "data", "shapes", sources, NUMBERS)
    split = load_weak_split(tmp_path / "data", "train")
    assert [read_image(path).shape for path in split.images] == [(32, 32, 3), (32, 32, 3)]
    assert len(split.classes) == 8
    assert load_weak_split(tmp_path / "data", "val").ids == ("val_0000",)


def test_a_made_data_set_without_its_numbers_is_refused(tmp_path):
    sources = Sources(source="auto", originals=tmp_path / "originals")
    with pytest.raises(UserError, match="shapes is made and needs all of train_images, val_images"):
        fill(tmp_path / "data", "shapes", sources, None)


def test_a_folder_is_linked(voc, tmp_path):
    sources = Sources(source=str(voc), originals=tmp_path / "originals")
    fill(tmp_path / "data", "folder", sources, None)
    split = load_weak_split(tmp_path / "data", "train")
    assert [path.resolve() for path in split.images] == list(load_weak_split(voc, "train").images)


def test_an_unknown_name_is_reported_with_the_nearest():
    words = str(unknown("refiner", "pamer", ["none", "pamr", "crf"]))
    assert words == "refiner: there is no 'pamer'; expected one of 3 names, nearest are pamr"


def test_a_name_like_no_other_is_reported_with_some_that_exist():
    words = str(unknown("refiner", "zzzz", ["none", "pamr"]))
    assert words == "refiner: there is no 'zzzz'; expected one of 2 names, nearest are none, pamr"


def test_a_process_asks_for_its_device_once():
    """Otherwise its own lock would hold the GPU when its second step starts."""
    assert make_device("auto") is make_device("auto")


def test_auto_is_the_gpu_where_there_is_one():
    assert make_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_cpu_can_always_be_had():
    assert make_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_reported(name):
    with pytest.raises(UserError) as caught:
        make_device(name)
    assert str(caught.value) == (
        f"device: got {name}, but torch sees no GPU; set device: auto or cpu"
    )


def test_more_devices_than_there_are_is_reported():
    cores = usable_cores()
    assert how_many(cores, device="cpu") == cores
    with pytest.raises(UserError) as caught:
        how_many(cores + 1, device="cpu")
    assert str(caught.value) == (
        f"devices: expected at most {cores}, as there are {cores} cores, got {cores + 1}; lower "
        "devices"
    )


def test_auto_is_every_gpu_and_on_a_cpu_one_process():
    assert how_many("auto", device="cpu") == 1
    assert how_many("auto", device="auto") == max(1, torch.cuda.device_count())


def test_steps_side_by_side_take_different_gpus_while_there_are_some(monkeypatch, tmp_path):
    held = []
    monkeypatch.setattr(devices, "_held", held)
    assert take(1, of=3, folder=tmp_path) == [0]
    assert take(2, of=3, folder=tmp_path) == [1, 2]
    assert take(1, of=3, folder=tmp_path) == [0]  # none is free: one is shared
    held.pop(1).release()
    assert take(2, of=3, folder=tmp_path) == [1, 0]
    assert take(1, of=1, folder=tmp_path) == [0]  # the only one is always shared
    for lock in held:
        lock.release()


def test_gpus_are_known_by_the_names_that_a_cluster_gave_them(monkeypatch, tmp_path):
    """Two jobs that each see a GPU of their own as number 0 must not wait for each other."""
    held = []
    monkeypatch.setattr(devices, "_held", held)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    assert take(1, of=2, folder=tmp_path) == [0]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,4")
    assert take(2, of=2, folder=tmp_path) == [0, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "recam-gpu-4.lock",
        "recam-gpu-6.lock",
    ]
    for lock in held:
        lock.release()


def test_a_cpu_loads_images_itself():
    assert loader_workers(torch.device("cpu")) == 0


def test_a_gpu_has_helpers():
    assert 1 <= loader_workers(torch.device("cuda")) <= 8
