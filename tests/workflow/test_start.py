"""The start of steps: no step loads a large package that it does not need.

One process loads PyTorch once; each script is imported in a copy of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recam.steps.code import imported_files

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
LARGE = (
    "dvc",
    "huggingface_hub",
    "matplotlib",
    "pandas",
    "scipy",
    "segmentation_models_pytorch",
    "skimage",
    "sklearn",
    "snakemake",
    "timm",
    "torch._dynamo",
    "torchvision",
)
# The packages of each step, for any parameters; those of its network come with the network.
NEEDED = {
    "check_data": {"pandas", "scipy", "skimage"},  # all data sets
    "download": {"pandas", "scipy", "skimage"},
    "draw": {"matplotlib", "pandas"},
    "embed_texts": {"pandas"},
    "evaluate": {"pandas"},
    "make_cams": {"pandas"},
    "make_clusters": {"pandas", "scipy", "sklearn"},
    "make_pseudo": {"matplotlib", "pandas"},
    "summarize": {"matplotlib", "pandas"},
    "train_cam": {"pandas"},
    "train_irn": set(),
    "train_recam": {"pandas"},
    "train_saliency": {"pandas"},
    "train_seg": {"pandas"},
}
COPIES = """
import gc; gc.disable()  # it would take a quarter of the time
import importlib, json, os, sys, torch

def training():
    from torch.nn import functional
    from recam.models.backbones import TimmBackbone
    from recam.models.weights import load_weights
    from recam.pipeline.optimizer import Recipe, make_optimizer

    name = "tf_efficientnet_lite0"
    model = torch.nn.Module()
    model.backbone = TimmBackbone(name, output_stride=32)
    load_weights(model.backbone, name=name, weights="imagenet")
    for optimizer in ("sgd", "adamw"):
        numbers = {"learning_rates": {"backbone": 0.1}, "momentum": 0.9, "weight_decay": 0.1}
        recipe = Recipe(epochs=1, optimizer=optimizer, **numbers)
        optimizer, schedule = make_optimizer(model, recipe, steps=2)
        optimizer.zero_grad()
        model.backbone(torch.zeros(2, 3, 32, 32)).square().mean().backward()
        optimizer.step()
        schedule.step()
        optimizer.load_state_dict(optimizer.state_dict())

for name in sys.argv[1:]:
    sys.stdout.flush()
    if not os.fork():
        training() if name == "training" else importlib.import_module(name)
        print(json.dumps([name, list(sys.modules)]), flush=True)
        os._exit(0)
    if os.wait()[1]:
        sys.exit(f"{name} cannot be imported")
"""


@pytest.fixture(scope="module")
def modules():
    """The modules that are loaded after the import of each script, and after a step of training."""
    names = [*NEEDED, "training"]
    run = subprocess.run(
        [sys.executable, "-c", COPIES, *names],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
    )
    return dict(map(json.loads, run.stdout.splitlines()))


def test_every_script_is_listed():
    scripts = {file.stem for file in SCRIPTS.glob("*.py")}
    assert {name for name in scripts if not name.startswith("_")} == set(NEEDED)


@pytest.mark.parametrize("name", NEEDED)
def test_a_step_loads_no_large_package_that_it_does_not_need(modules, name):
    assert set(LARGE) & set(modules[name]) <= NEEDED[name]


def test_training_the_network_of_the_default_needs_none(modules):
    assert not set(LARGE) & set(modules["training"])


@pytest.mark.parametrize("name", NEEDED)
def test_every_module_that_a_script_loads_is_in_the_code_of_its_step(modules, name):
    listed = {file.resolve() for file in imported_files(SCRIPTS / f"{name}.py")}
    ours = [module for module in modules[name] if module.partition(".")[0] == "recam"]
    places = [ROOT.joinpath("src", *module.split(".")) for module in ours]
    files = {p / "__init__.py" if p.is_dir() else p.with_suffix(".py") for p in places}
    assert files - listed == set()
