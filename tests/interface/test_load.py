"""``recam.load``: the interface agrees with the commands and the steps, whatever holds an image."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_networks import CLASSES, SEGMENTER, write_classifier, write_segmenter

import recam
from recam import predict
from recam.catalogue.methods import load_classifier, make_classifier
from recam.catalogue.segmenters import make_segmenter
from recam.core.errors import UserError
from recam.core.labels import display_colours
from recam.interface.images import sources_of
from recam.interface.networks import Classifier, Segmenter
from recam.io.checkpoints import save_checkpoint
from recam.io.images import read_image, read_mask
from recam.methods.cam import peak_normalised
from recam.models.backbones import backbone_of
from recam.pipeline.inference import averaged_maps
from recam.refine.crf import CrfKernels
from recam.refine.crf_masks import Crf


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three photographs, smooth noise: two of one size, one a JPEG on its side."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name, size in {"a.png": (40, 30), "b.png": (40, 30), "c.jpg": (64, 48)}.items():
        small = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[274] = 6 if name == "c.jpg" else 1
        Image.fromarray(small).resize(size).save(root / name, exif=exif)
    return root


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    write_segmenter(root / "segmenter.pt", scales=(1.0, 0.5))
    write_classifier(root / "classifier.pt")
    return root


@pytest.fixture(scope="module")
def segmenter(checkpoints):
    return recam.load(checkpoints / "segmenter.pt", device="cpu")


@pytest.fixture(scope="module")
def classifier(checkpoints):
    return recam.load(checkpoints / "classifier.pt", device="cpu")


def forms(path):
    """One image as path, Pillow's image, array and tensors."""
    pixels = read_image(path)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    return [
        str(path),
        Image.open(path),
        pixels,
        tensor,
        tensor.float() / 255,
        tensor.double() / 255,
    ]


def test_importing_the_package_imports_no_torch():
    code = (
        "import sys, recam; print(recam.__version__, 'torch' in sys.modules, "
        "{'load', 'reactivate'} <= set(dir(recam)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [recam.__version__, "False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        recam.lode  # noqa: B018


def test_the_kind_of_a_checkpoint_decides(segmenter, classifier):
    assert isinstance(segmenter, Segmenter)
    assert segmenter.classes == ("background", *CLASSES)
    assert segmenter.scales == (1.0, 0.5)
    assert isinstance(classifier, Classifier)
    assert classifier.classes == CLASSES


def test_masks_are_those_of_the_command(segmenter, checkpoints, folder, tmp_path):
    words = ["--checkpoint", checkpoints / "segmenter.pt", "--out", tmp_path / "out"]
    words += ["--threads", 1, "--device", "cpu"]
    assert predict.main([str(word) for word in (folder, *words)]) == 0
    for path in sorted(folder.iterdir()):
        segmenter.predict(path).save(tmp_path / "mask.png")
        written = tmp_path / "out" / f"{path.stem}.png"
        assert (tmp_path / "mask.png").read_bytes() == written.read_bytes()
    assert read_image(tmp_path / "out/c.png").shape == (64, 48, 3)


@pytest.mark.parametrize("name", ["deeplabv2", "linear", "tokens"])
def test_segmenters_on_tokens_predict_as_the_command_does(folder, tmp_path, name):
    config = replace(SEGMENTER, method=name, backbone="test_vit")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_checkpoint(tmp_path / "segmenter.pt", make_segmenter(config).state_dict(), config)
    found = recam.load(tmp_path / "segmenter.pt", device="cpu").predict(folder / "a.png")
    assert found.probabilities.shape == (4, 30, 40)  # no multiples of the patch
    assert np.array_equal(found.probabilities.argmax(axis=0), found.mask)
    words = [folder / "a.png", "--checkpoint", tmp_path / "segmenter.pt", "--out", tmp_path / "out"]
    assert predict.main([str(word) for word in (*words, "--threads", 1, "--device", "cpu")]) == 0
    assert np.array_equal(read_mask(tmp_path / "out/a.png"), found.mask)


def test_the_named_classes_compete_in_maps_of_clip_es(folder, tmp_path):
    config = replace(SEGMENTER, method="clip_es", backbone="test_vit")
    config = replace(config, text_channels=8, background_texts=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tower = make_classifier(config)
    tower.scale.fill_(1)  # at CLIP's scale of 100 the strongest rival competes alone
    save_checkpoint(tmp_path / "tower.pt", tower.state_dict(), config)
    model = recam.load(tmp_path / "tower.pt", device="cpu")
    alone, beside = model.maps([folder / "a.png"] * 2, [["dog"], ["cat", "dog"]])
    assert (alone.maps.shape, beside.maps.shape) == ((1, 30, 40), (2, 30, 40))
    assert alone.maps.max() == pytest.approx(1, abs=1e-3)
    assert np.abs(alone.maps[0] - beside.maps[1]).max() > 1e-3


def test_probabilities_belong_to_the_mask(segmenter, folder):
    for scales in (None, (1.5,)):
        one = segmenter.predict(folder / "a.png", scales=scales)
        assert one.probabilities.shape == (4, 30, 40)
        assert one.probabilities.dtype == np.float32
        np.testing.assert_allclose(one.probabilities.sum(axis=0), 1, atol=1e-5)
        assert np.array_equal(one.probabilities.argmax(axis=0), one.mask)
        assert len(np.unique(one.mask)) > 1


def test_scales_change_the_probabilities(segmenter, folder):
    default, one = (segmenter.predict(folder / "a.png", scales=s) for s in (None, (1.0,)))
    both = segmenter.predict(folder / "a.png", scales=[1.0, 0.5])
    assert np.array_equal(default.probabilities, both.probabilities)
    assert np.abs(default.probabilities - one.probabilities).max() > 1e-3


def test_the_crf_beside_a_checkpoint_refines_the_mask(segmenter, folder, tmp_path):
    kernels = CrfKernels(
        gaussian_sxy=3.0,
        gaussian_weight=3.0,
        bilateral_sxy=10.0,
        bilateral_srgb=5.0,
        bilateral_weight=4.0,
    )
    path = write_segmenter(
        tmp_path / "segmenter.pt", scales=(1.0, 0.5), crf=Crf(kernels=kernels, iterations=2)
    )
    refined = recam.load(path, device="cpu").predict(folder / "a.png")
    assert np.array_equal(refined.probabilities.argmax(axis=0), refined.mask)
    plain = segmenter.predict(folder / "a.png")
    assert np.abs(refined.probabilities - plain.probabilities).max() > 0.01


def test_a_shrunk_photograph_gets_a_mask_of_its_own_size(folder, tmp_path):
    small = recam.load(write_segmenter(tmp_path / "small.pt", longest_side=32), device="cpu")
    one = small.predict(folder / "a.png")
    assert one.grid.shape == (4, 24, 32)
    assert one.mask.shape == (30, 40)
    assert np.array_equal(one.probabilities.argmax(axis=0), one.mask)


def test_files_in_the_working_directory_need_no_folder(segmenter, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "a.png", tmp_path)
    one = segmenter.predict("a.png")
    one.save("mask.png")
    assert np.array_equal(read_mask(Path("mask.png")), one.mask)


def test_a_list_gives_the_results_of_its_images_one_by_one(segmenter, classifier, folder):
    paths = sorted(folder.iterdir())
    for one, path in zip(segmenter.predict(paths, batch_size=2), paths, strict=True):
        alone = segmenter.predict(path)
        np.testing.assert_allclose(one.probabilities, alone.probabilities, atol=1e-4)
    labels = [["cat"], ["hen", "dog"], []]
    for one, path, names in zip(classifier.maps(paths, labels), paths, labels, strict=True):
        alone = classifier.maps(path, names)
        assert one.labels == alone.labels == tuple(names)
        np.testing.assert_allclose(one.maps, alone.maps, atol=1e-4)
        np.testing.assert_allclose(one.probabilities, alone.probabilities, atol=1e-5)
    assert segmenter.predict([]) == classifier.maps([], []) == []


@pytest.mark.parametrize("name", ["a.png", "c.jpg"])
def test_paths_pillow_arrays_and_tensors_give_the_same(segmenter, classifier, folder, name):
    first, *others = forms(folder / name)
    mask, maps = segmenter.predict(first), classifier.maps(first, ["dog"])
    assert mask.mask.shape == read_image(folder / name).shape[:2]
    for other in others:
        assert np.array_equal(segmenter.predict(other).probabilities, mask.probabilities)
        assert np.array_equal(classifier.maps(other, ["dog"]).maps, maps.maps)


def test_a_printed_result_is_one_line(segmenter, classifier):
    pixels = np.zeros((32, 48, 3), np.uint8)
    text = repr(segmenter.predict(pixels, scales=[1.0]))
    assert text.startswith("Prediction(48 x 32 pixels, with ")
    assert "\n" not in text
    found = classifier.maps(pixels, [CLASSES[0]], scales=[1.0])
    assert repr(found) == f"ImageMaps(48 x 32 pixels, of {CLASSES[0]})"


def test_a_grey_array_is_the_same_image_in_three_channels():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    (pixels,) = sources_of([grey])
    assert np.array_equal(pixels, np.stack([grey] * 3, axis=2))
    (again,) = sources_of([Image.fromarray(grey)])
    assert np.array_equal(again, pixels)


def test_maps_are_the_cams_of_the_step(classifier, checkpoints, folder):
    model, _ = load_classifier(checkpoints / "classifier.pt")
    tensor = torch.from_numpy(read_image(folder / "a.png")).permute(2, 0, 1)[None] / 255
    images = backbone_of(model).normalise(tensor)
    with torch.no_grad():
        maps = averaged_maps(lambda x: model.maps(x, combine="sum"), images, scales=(1.0, 1.5))[0]
        probabilities = model.logits(images)[0].sigmoid()
    found = classifier.maps(folder / "a.png", ["hen", "cat"], scales=(1.0, 1.5), combine="sum")
    np.testing.assert_allclose(found.maps, peak_normalised(maps[[2, 0]]), atol=1e-6)
    np.testing.assert_allclose(found.probabilities, probabilities[[2, 0]], atol=1e-6)
    assert found.maps.shape == (2, 30, 40)
    assert 0 <= found.maps.min() <= found.maps.max() <= 1


def test_overlays_show_classes_in_their_colours(segmenter, classifier, folder):
    one = segmenter.predict(folder / "a.png")
    shown = np.asarray(one.overlay())
    assert shown.shape[1] == 40
    assert shown.shape[0] > 30  # a legend
    grey = np.ptp(shown[:30].astype(int), axis=2) == 0
    assert grey[one.mask == 0].all()
    assert not grey.all()
    maps = classifier.maps(folder / "a.png", ["dog"])
    row, column = np.unravel_index(maps.maps[0].argmax(), (30, 40))
    pixel = np.asarray(maps.overlay())[row, column].astype(int)
    assert np.abs(pixel - display_colours(1)[1]).max() < 0.1 * 255


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (3, "image: expected a path, a Pillow image, a uint8 array .*, got int; convert it"),
        (np.zeros((4, 4)), r"expected a uint8 array .*, got float64 \(4, 4\)"),
        (np.zeros((4, 4, 1), np.uint8), r"got uint8 \(4, 4, 1\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got uint8 \(0, 4, 3\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), "give several images as a list"),
        (torch.zeros(4, 4), r"expected a tensor \(3, H, W\), .*, got shape \(4, 4\)"),
        (torch.zeros(2, 3, 4, 4), "give a batch as a list"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), r"got torch\.int64"),
        (torch.full((3, 4, 4), 255.0), "got values from 255 to 255"),
        (torch.full((3, 4, 4), float("nan")), "got values from nan to nan"),
        (Image.new("I;16", (4, 4)), "expected 8 bits a channel, got mode I;16"),
        (Image.new("LAB", (4, 4)), "got mode LAB"),
    ],
)
def test_other_images_are_refused_in_one_sentence(image, words):
    with pytest.raises(UserError, match=words):
        sources_of([image])


def test_wrong_files_and_wrong_calls_are_refused_in_one_sentence(
    segmenter, classifier, checkpoints, folder, tmp_path
):
    (tmp_path / "foreign.pt").write_text("weights")
    torch.save({"a": torch.zeros(1)}, tmp_path / "plain.pt")
    save_checkpoint(tmp_path / "irn.pt", {}, replace(SEGMENTER, method="irn"))
    image = folder / "a.png"
    classifier_pt, segmenter_pt = checkpoints / "classifier.pt", checkpoints / "segmenter.pt"
    for call, words in [
        (lambda: recam.load(tmp_path / "none.pt"), "none.pt"),
        (lambda: recam.load(tmp_path / "foreign.pt"), "foreign.pt"),
        (lambda: recam.load(tmp_path / "plain.pt"), "not a recam checkpoint"),
        (lambda: recam.load(tmp_path / "irn.pt"), "got a network of method irn"),
        (lambda: recam.load(segmenter_pt, device="gpu"), "device: expected auto, cpu, cuda"),
        (
            lambda: classifier.predict(image),
            f"{classifier_pt}: expected a segmenter to predict, got a classifier",
        ),
        (
            lambda: segmenter.maps(image, ["cat"]),
            f"{segmenter_pt}: expected a classifier for maps, got a segmenter",
        ),
        (lambda: segmenter.predict(tmp_path / "none.png"), "none.png"),
        (lambda: segmenter.predict(tmp_path / "foreign.pt"), "not a readable image"),
        (lambda: segmenter.predict(image, scales=()), "scales: expected numbers above 0"),
        (lambda: segmenter.predict(image, scales=(0.0,)), "scales: expected numbers above 0"),
        (lambda: segmenter.predict(image, batch_size=0), "batch_size: expected at least 1, got 0"),
        (lambda: classifier.maps(image, ["cow"]), "among cat, dog, hen, got 'cow'"),
        (lambda: classifier.maps(image, "cat"), "got the text 'cat'"),
        (lambda: classifier.maps([image], []), "for each of 1 images, got 0"),
        (lambda: classifier.maps(image, ["cat"], combine="all"), "combine: expected one of mean"),
    ]:
        with pytest.raises(UserError) as caught:
            call()
        message = str(caught.value)
        assert words in message
        assert "\n" not in message
