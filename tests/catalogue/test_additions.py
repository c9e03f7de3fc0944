"""An addition of each kind is one file and one line, as in the recipes of docs/contributing.md.

They are added to one copy of the project; Snakemake plans with them and Python makes them.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
import yaml
from experiment import PARTS, ROOT, small_params, snakemake

ADDED = {  # the file -> the catalogue, the import in it, the dictionary
    "methods/smoothed.py": ("methods", "from recam.methods.smoothed import Smoothed", "TRAININGS"),
    "methods/squared.py": ("readouts", "from recam.methods.squared import squared", "READOUTS"),
    "datasets/discs.py": ("datasets", "from recam.datasets import discs", "MADE"),
    "models/three.py": ("backbones", "from recam.models.three import Three", "BACKBONES"),
    "refine/blur.py": ("refiners", "from recam.refine.blur import blurred", "PROPAGATORS"),
    "models/plain.py": ("segmenters", "from recam.models.plain import Plain", "SEGMENTERS"),
}
TRIED = """
import torch
import yaml
from pathlib import Path
from recam.catalogue import datasets, methods, names, readouts, refiners, segmenters
from recam.io.checkpoints import ModelConfig
from recam.steps.readout import readout_numbers
from recam.steps.sections.make_cams import MakeCams

from dataclasses import replace
config = ModelConfig(method="smoothed-recam", backbone="three", output_stride=16,
                     classes=("a", "b"), frozen_batch_norm=False, frozen_stem=True)
images, labels = torch.rand(2, 3, 32, 32), torch.tensor([[True, False], [False, True]])
model = methods.make_classifier(config)
assert model.maps(images).shape == (2, 2, 2, 2)
assert set(model.loss(images, labels)) == {"bce", "sce"}
numbers = readout_numbers(MakeCams(**yaml.safe_load(Path("params.yaml").read_text())["make_cams"]))
with torch.no_grad():
    plain = readouts.make_readout("smoothed-recam", model, numbers)(images, labels)
    squares = readouts.make_readout("smoothed-recam-squared", model, numbers)(images, labels)
assert plain.shape == squares.shape == (2, 2, 2, 2)
plain = segmenters.make_segmenter(replace(config, method="plain"))
assert plain.logits(images).shape == (2, 3, 2, 2)
blur = refiners.make_propagator("blur+crf", None)
assert torch.equal(blur(torch.ones(1, 2, 8, 8), images[:1, :, :8, :8]), torch.ones(1, 2, 8, 8))
made = datasets.Made(random_seed=0, train_images=3, val_images=1, image_size=16, cooccurrence=0.5)
sources = datasets.Sources(source="auto", originals=Path("originals"))
datasets.fill(Path("drawn"), "discs", sources, made)
print(len(list(Path("drawn/JPEGImages").iterdir())), "images")
"""


def recipe(name):
    """The code of a file and its line in the catalogue, as docs/contributing.md has them."""
    text = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
    after = text.split(f"`src/recam/{name}`:", 1)[1]
    code = re.search(r"```python\n(.*?)```", after, re.DOTALL)
    line = re.search(r'`("\w+": .*?)`', after[code.end() :])
    return textwrap.dedent(code[1]), line[1]


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project with all additions."""
    folder = tmp_path_factory.mktemp("extended")
    for name in PARTS:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    shutil.copy(ROOT / "params.yaml", folder)
    for name, (catalogue, imported, dictionary) in ADDED.items():
        code, line = recipe(name)
        (folder / "src/recam" / name).write_text(code)
        file = folder / f"src/recam/catalogue/{catalogue}.py"
        text = file.read_text()
        (head,) = re.findall(rf"^{dictionary}: .*= {{$", text, re.MULTILINE)
        text = text.replace(head, f"{head}\n    {line}")
        file.write_text(text.replace("\nfrom recam.", f"\n{imported}\nfrom recam.", 1))
    return folder


def test_snakemake_plans_with_every_addition(extended):
    params = small_params() | {
        "methods": ["cam", "smoothed", "smoothed-recam", "smoothed-recam-squared"]
    }
    params["download"]["dataset"] = "discs"
    params["train_cam"] |= {"backbone": "three", "weights": "none"}
    params["train_seg"] |= {"backbone": "three", "segmenter": "plain"}
    params["make_pseudo"]["refiner"] = "blur+crf"
    (extended / "params.yaml").write_text(yaml.safe_dump(params))
    run = snakemake(extended, "--dry-run")
    assert run.returncode == 0, run.stdout
    assert re.search(r"^train_cam +2$", run.stdout, re.MULTILINE)
    assert re.search(r"^train_recam +1$", run.stdout, re.MULTILINE)
    assert re.search(r"^make_cams +4$", run.stdout, re.MULTILINE)


def test_python_makes_every_addition(extended):
    environment = os.environ | {"PYTHONPATH": str(extended / "src")}
    run = subprocess.run(
        [sys.executable, "-c", TRIED],
        cwd=extended,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "4 images\n"
