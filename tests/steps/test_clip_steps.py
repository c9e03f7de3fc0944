"""Prompts, text vectors and the tower of CLIP-ES: files, their errors, and the text encoder."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import timm
import torch
from experiment import ROOT, small_params
from torch.nn import functional

from recam.catalogue.methods import load_classifier
from recam.catalogue.names import METHODS
from recam.core.errors import UserError
from recam.io.checkpoints import save_checkpoint
from recam.io.texts import TEXTS_FORMAT, Texts, load_texts, save_texts
from recam.methods.recam import ReCam
from recam.models.text_encoder import encoded
from recam.models.tokens import TokenBackbone
from recam.steps.affinity import affinity_of
from recam.steps.bench import make_bench
from recam.steps.clip import initial_tower, save_tower
from recam.steps.estimate import DataSize
from recam.steps.params import Experiment, check, merged
from recam.steps.paths import TrainCamPaths
from recam.steps.preflight import texts_errors
from recam.steps.prompts import Prompts, background_words, class_words, read_prompts
from recam.steps.sections.embed_texts import EmbedTexts
from recam.steps.sections.make_pseudo import MakePseudo
from recam.steps.sections.train_cam import TrainCamRun
from recam.steps.texts import texts_of
from recam.steps.timing import WORKS
from recam.steps.yaml_files import read_params

CLASSES = ("cat", "rock")
VOC = ("aeroplane", "bird", "chair", "person", "tvmonitor")
PRESETS = ("presets/voc12.yaml", "presets/voc12_clip.yaml")
TOWER = "test_vit"  # a plain ViT of 64 channels


def vectors(count, channels=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, channels, generator=generator))


TEXTS = Texts(
    classes=CLASSES,
    background=("sky", "ground", "sea"),
    class_vectors=vectors(2),
    background_vectors=vectors(3, seed=1),
    scale=100.0,
    model="drawn",
)


def prompts(**changed):
    return Prompts(**{"template": "a {}.", "classes": {}, "background": ["sky"]} | changed)


def run_of(**changed):
    """The numbers of train_cam for CLIP-ES on a tiny tower."""
    numbers = small_params()["train_cam"] | {"clip_tower": TOWER, "clip_weights": "none"}
    return TrainCamRun(**numbers | {"method": "clip_es", "random_seed": 0} | changed)


def embedding(**changed):
    return EmbedTexts(**small_params()["embed_texts"] | changed)


def paths_in(folder, texts):
    return TrainCamPaths(
        data=folder,
        checkpoint=folder / "classifier.pt",
        curve=folder / "classifier_curve.csv",
        saliency_maps=None,
        texts=texts,
    )


def test_text_vectors_round_trip(tmp_path):
    save_texts(tmp_path / "texts.pt", TEXTS)
    found = load_texts(tmp_path / "texts.pt")
    assert torch.equal(found.class_vectors, TEXTS.class_vectors)
    assert torch.equal(found.background_vectors, TEXTS.background_vectors)
    assert (found.classes, found.background) == (TEXTS.classes, TEXTS.background)
    assert (found.scale, found.model) == (100.0, "drawn")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"class_vectors": vectors(3)}, "expected 2 vectors as class_vectors, one for each of"),
        ({"class_vectors": 2 * vectors(2)}, "expected vectors of length 1 as class_vectors"),
        ({"class_vectors": vectors(2) * torch.nan}, "expected vectors of length 1"),
        ({"background_vectors": vectors(2, channels=7)}, "classes and background differ in length"),
        ({"background": [], "background_vectors": vectors(0)}, "list of names as background"),
        ({"scale": float("inf")}, "expected a scale above 0"),
    ],
)
def test_other_content_is_refused(tmp_path, changed, message):
    content = {"format": TEXTS_FORMAT, "classes": ["cat", "rock"], "background": ["sky", "ground"]}
    content |= {"class_vectors": vectors(2), "background_vectors": vectors(2), "scale": 100.0}
    torch.save(content | changed, tmp_path / "texts.pt")
    with pytest.raises(UserError, match=message):
        load_texts(tmp_path / "texts.pt")


def test_damaged_missing_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "texts.pt"
    with pytest.raises(UserError, match="does not exist; run embed_texts"):
        load_texts(path)
    save_texts(path, TEXTS)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"texts\.pt: damaged .*: embed_texts makes it anew"):
        load_texts(path)
    torch.save({"format": "another"}, path)
    with pytest.raises(UserError, match="expected text vectors of the format recam-texts-1"):
        load_texts(path)


def test_a_class_is_called_by_its_name_or_its_words(caplog):
    caplog.set_level("INFO")
    given = prompts(classes={"cat": "cat feline"}, background=["Rock", "sky", "cat feline"])
    assert class_words(given, CLASSES, source=ROOT) == ("cat feline", "rock")
    assert background_words(given, CLASSES, source=ROOT) == ("sky",)
    assert "that are classes are left out: Rock, cat feline" in caplog.text
    assert given.sentence("cat feline") == "a cat feline."


def test_wrong_prompts_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"classes\.cst: expected a class of .*nearest are cat"):
        class_words(prompts(classes={"cst": "x"}), CLASSES, source=ROOT)
    with pytest.raises(UserError, match="every background word is a class"):
        background_words(prompts(background=["rock"]), CLASSES, source=ROOT)
    path = tmp_path / "prompts.yaml"
    for text, message in (
        ("template: a cat\nclasses: {}\nbackground: [sky]\n", "expected a sentence with one {}"),
        ("template: a {}\nclasses: {}\nbackground: []\n", "background: expected at least 1 value"),
        ("template: a {}\nbackground: [sky]\n", "classes is missing"),
        ("template: a {}\nclass: {}\n", "class is not a parameter"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message) as error:
            read_prompts(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize(("name", "count"), [("plain", 23), ("voc12", 25), ("coco14", 23)])
def test_the_prompts_of_the_project_are_valid(name, count):
    found = read_prompts(ROOT / f"prompts/{name}.yaml")
    assert (len(found.background), found.template) == (count, "a clean origami {}.")
    assert len(set(found.background)) == count
    if name == "voc12":
        words = class_words(found, VOC, source=ROOT)
        assert words[:3] == ("aeroplane", "bird avian", "chair seat")


def test_the_preset_of_voc_is_an_experiment():
    files = [read_params(ROOT / path) for path in ("params.yaml", *PRESETS)]
    values = merged(merged(files[0].values, files[1].values), files[2].values)
    numbers = check(values, files)
    assert numbers.methods == ("clip_es", "clip_es-recam")
    assert numbers.train_cam.clip_tower.startswith("vit_base_patch16_clip_quickgelu_224")
    assert numbers.make_pseudo.needs_classifier


def test_given_vectors_take_the_place_of_a_text_encoder(tmp_path):
    save_texts(tmp_path / "mine.pt", TEXTS)
    given = embedding(vectors=str(tmp_path / "mine.pt"), prompts="no such file")
    assert texts_of(given, CLASSES).model == "drawn"
    with pytest.raises(UserError, match="expected text vectors of the 1 classes of the data set"):
        texts_of(given, ("cow",))


def test_the_tower_is_saved_with_the_texts_and_an_empty_curve(tmp_path):
    save_texts(tmp_path / "texts.pt", TEXTS)
    paths = paths_in(tmp_path, tmp_path / "texts.pt")
    save_tower(paths, run_of(), classes=CLASSES)
    model, classes = load_classifier(paths.checkpoint)
    assert classes == CLASSES
    assert torch.equal(model.texts[:2], TEXTS.class_vectors)
    assert model.scale == 100
    assert paths.curve.read_text() == "epoch,loss,value\n"
    expected, _ = initial_tower(run_of(), TEXTS)
    images = torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.logits(images), expected.eval().logits(images))


def test_texts_of_other_classes_and_no_texts_are_refused(tmp_path):
    save_texts(tmp_path / "texts.pt", TEXTS)
    with pytest.raises(UserError, match="those of 2 classes"):
        save_tower(paths_in(tmp_path, tmp_path / "texts.pt"), run_of(), classes=("cow",))
    with pytest.raises(
        UserError, match="clip_es expects the text vectors of embed_texts, got none"
    ):
        save_tower(paths_in(tmp_path, None), run_of(), classes=CLASSES)


def test_the_projection_is_that_of_the_weights(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(TOWER, num_classes=8)
    torch.save(network.state_dict(), tmp_path / "tower.pt")
    model, config = initial_tower(run_of(clip_weights=str(tmp_path / "tower.pt")), TEXTS)
    assert torch.equal(model.projection, network.head.weight)
    assert torch.equal(model.backbone.network.norm.weight, network.norm.weight)
    assert (config.text_channels, config.background_texts) == (8, 3)
    torch.save(timm.create_model(TOWER, num_classes=9).state_dict(), tmp_path / "tower.pt")
    with pytest.raises(UserError, match=r"of shape \(8, 64\), .* got one of shape \(9, 64\)"):
        initial_tower(run_of(clip_weights=str(tmp_path / "tower.pt")), TEXTS)


@pytest.mark.parametrize("method", ["clip_es", "clip_es-recam"])
def test_attention_of_the_classifier_is_that_of_the_tower(tmp_path, method, generator):
    tower, config = initial_tower(run_of(), TEXTS)
    model = ReCam(tower, weight=1.0) if method.endswith("recam") else tower
    path = tmp_path / "classifier.pt"
    save_checkpoint(path, model.state_dict(), replace(config, method=method))
    given = {"refiner": "affinity", "affinity": "attention", "affinity_scale": 1.0}
    numbers = MakePseudo.model_validate(small_params()["make_pseudo"] | given)
    affinity = affinity_of(numbers, path, CLASSES, torch.device("cpu"))
    assert affinity is not None
    assert isinstance(affinity.backbone, TokenBackbone)
    expected = tower.backbone.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in affinity.backbone.state_dict().items())
    scores, pixels = (torch.rand(1, n, 48, 64, generator=generator) for n in (2, 3))
    with torch.inference_mode():
        refined = affinity(scores, pixels)
    assert refined.shape == scores.shape
    torch.testing.assert_close(refined.amax(dim=(2, 3)), torch.ones(1, 2))
    assert refined.min() >= 0


def test_the_time_of_refinement_is_that_of_the_tower(tmp_path):
    experiment = experiment_with(
        train_cam={"clip_tower": TOWER},
        make_pseudo={"refiner": "affinity", "affinity": "attention"},
    )
    data = DataSize(images={"train": 4, "val": 4}, size=(48, 64), num_classes=3)
    bench = make_bench(experiment, data, tmp_path, device=torch.device("cpu"))
    run, images = WORKS["make_pseudo"](bench)
    run()
    assert len(list((tmp_path / "masks").iterdir())) == images == 4


def test_control_would_train_nothing_and_is_no_method():
    assert [name for name in METHODS if name.startswith("clip_es-")][-1].startswith("clip_es-recam")
    assert "clip_es-control" not in METHODS


def experiment_with(**changed):
    return Experiment.model_validate(merged(small_params(), {"methods": ["clip_es"]} | changed))


def test_errors_of_text_vectors_come_before_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    made = tmp_path / "texts.pt"
    assert texts_errors(experiment_with(methods=["cam"], embed_texts={"prompts": "x"}), made) == []
    missing = {"vectors": "no.pt"}
    (error,) = texts_errors(experiment_with(embed_texts=missing), made)
    assert error.startswith("embed_texts.vectors: expected none or the path of a file, got no.pt")
    with pytest.raises(UserError, match=r"no\.yaml: cannot be read"):
        texts_errors(experiment_with(embed_texts={"prompts": "no.yaml"}), made)
    made.touch()
    assert texts_errors(experiment_with(), made) == []
    (error,) = texts_errors(experiment_with(train_cam={"clip_weights": "no.pt"}), made)
    assert error.startswith("train_cam.clip_weights: expected timm, none or the path of a file")


@pytest.mark.skipif(bool(find_spec("open_clip")), reason="open_clip is installed")
def test_a_missing_text_encoder_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (error,) = texts_errors(experiment_with(), tmp_path / "texts.pt")
    assert "expected the package open_clip, which is not installed; run `pip install" in error
    with pytest.raises(UserError, match="package open_clip, which is not installed"):
        encoded(["a cat."], model="ViT-B-16-quickgelu", weights="none")


@pytest.mark.skipif(not find_spec("open_clip"), reason="needs the extra recam[clip]")
def test_sentences_become_unit_vectors():
    found, scale = encoded(["a cat.", "a dog.", "a cat."], model="RN50", weights="none")
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    assert torch.equal(found[0], found[2])
    assert scale > 1
    with pytest.raises(UserError, match="expected a model of open_clip, got RN5"):
        encoded(["a cat."], model="RN5", weights="none")
