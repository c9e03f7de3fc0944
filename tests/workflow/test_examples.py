"""The example as a new user runs it, with few small images and few steps."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

PLUG_IN = Path(__file__).parents[2] / "examples/plug_in.py"
SMALL = {
    "rand(24, 3, 96, 96)": "rand(8, 3, 64, 64)",
    "rand(24, 3)": "rand(8, 3)",
    "randint(64,": "randint(32,",
    "range(24)": "range(1)",
    "warmup_steps=10": "warmup_steps=1",
}
SIDE = 64


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the example in a folder of its own for some epochs; return its variables."""

    def call(epochs):
        text = PLUG_IN.read_text(encoding="utf-8")
        for written, small in (SMALL | {"epochs=12": f"epochs={epochs}"}).items():
            assert text.count(written) == 1, written
            text = text.replace(written, small)
        (tmp_path / "example.py").write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        with torch.random.fork_rng():
            return runpy.run_path("example.py")

    return call


def test_the_users_classifier_is_as_it_was_and_the_new_one_has_learned(run):
    names = run(epochs=2)
    yours, images, result = names["yours"].eval(), names["images"], names["result"]
    with torch.no_grad():
        torch.testing.assert_close(result.before.logits(images), yours(images))
        torch.testing.assert_close(result.after.logits(images), result.model(images))
    for name, before in yours.named_parameters():
        change = (result.model.get_parameter(name) - before).abs().max()
        assert change > 1e-6, name
    assert result.layer == "layer4"


def test_the_picture_shows_images_and_their_maps_before_and_after(run, tmp_path, capsys):
    names = run(epochs=1)
    present, picture = names["present"], np.asarray(Image.open(tmp_path / "plug_in.png"))
    assert picture.shape == (3 * SIDE, 8 * SIDE, 3)
    for number, image in enumerate(names["images"]):
        cell = picture[:, number * SIDE : (number + 1) * SIDE]
        assert np.array_equal(cell[:SIDE], (255 * image).byte().permute(1, 2, 0))
        for maps in (cell[SIDE : 2 * SIDE], cell[2 * SIDE :]):
            peaks = maps.max(axis=(0, 1))  # by colour, as by class
            assert not peaks[~present[number].numpy()].any()
    assert picture[SIDE:].max() > 250
    assert not np.array_equal(picture[SIDE : 2 * SIDE], picture[2 * SIDE :])
    sce = names["result"].losses[-1]["sce"]
    assert capsys.readouterr().out == f"SCE loss: {sce:.2f}; a guess has ln 3 = 1.10\n"


def test_the_example_is_short():
    assert len(PLUG_IN.read_text(encoding="utf-8").splitlines()) < 36
