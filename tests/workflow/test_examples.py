"""The example as a new user runs it, with few small images and few steps."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from recam.methods.cam import pooled_logits

PLUG_IN = Path(__file__).parents[2] / "examples/plug_in.py"
SMALL = {
    "rand(24, 3, 96, 96)": "rand(8, 3, 64, 64)",
    "rand(24, 3)": "rand(8, 3)",
    "randint(64,": "randint(32,",
}
SIDE = 64


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the example in a folder of its own for some steps; return its variables."""

    def call(steps):
        text = PLUG_IN.read_text(encoding="utf-8")
        for written, small in (SMALL | {"range(24)": f"range({steps})"}).items():
            assert text.count(written) == 1, written
            text = text.replace(written, small)
        (tmp_path / "example.py").write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        with torch.random.fork_rng():
            return runpy.run_path("example.py")

    return call


def the_users_classifier():
    """The classifier of the example, built again from its seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return resnet18(num_classes=3).eval()


def test_before_training_the_wrapped_classifier_gives_its_logits_without_bias(run):
    names, users = run(steps=0), the_users_classifier()
    model, images = names["model"], names["images"]
    assert torch.equal(model.weights, users.fc.weight)
    assert users.fc.bias.abs().min() > 1e-3  # otherwise its absence would not show
    with torch.no_grad():
        logits = pooled_logits(model.weights, model.features(images))
        torch.testing.assert_close(logits, users(images) - users.fc.bias, rtol=0, atol=1e-5)


def test_training_reaches_both_classifiers_and_the_features(run):
    untrained, trained = run(steps=0)["model"], run(steps=2)["model"]
    for name, before in untrained.named_parameters():
        change = (trained.get_parameter(name) - before).abs().max()
        assert change > 1e-5, name
    owners = {name.removeprefix("variant.").split(".")[0] for name, _ in trained.named_parameters()}
    assert owners == {"backbone", "classifier", "reclassifier"}


def test_the_picture_shows_the_images_and_colours_where_they_have_labels(run, tmp_path, capsys):
    names = run(steps=2)
    present, picture = names["present"], np.asarray(Image.open(tmp_path / "plug_in.png"))
    assert picture.shape == (2 * SIDE, 8 * SIDE, 3)
    coloured = []
    for number, image in enumerate(names["images"]):
        cell = picture[:, number * SIDE : (number + 1) * SIDE]
        assert np.array_equal(cell[:SIDE], (255 * image).byte().permute(1, 2, 0))
        coloured.append(np.ptp(cell[SIDE:], axis=2).max() > 30)
    assert coloured == present.any(dim=1).tolist()
    assert 0 < sum(coloured) < 8
    with torch.no_grad():
        sce = names["model"].loss(names["images"], present)["sce"]
    assert capsys.readouterr().out == f"SCE loss: {sce:.2f}; a guess has ln 3 = 1.10\n"


def test_the_example_is_short():
    assert len(PLUG_IN.read_text(encoding="utf-8").splitlines()) < 40
