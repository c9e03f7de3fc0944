"""Shared by all tests: a check of every shape and dtype at run time, and a tiny data set."""

from importlib import import_module

from jaxtyping import install_import_hook

# Before anything imports recam: every annotated function of it is checked while tests run.
hook = install_import_hook("recam", "beartype.beartype")

import experiment  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402
from hypothesis import settings  # noqa: E402
from PIL import Image  # noqa: E402

# The same examples in every run, on any machine.
settings.register_profile("recam", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("recam")

# Image id -> its size (width, height) and the classes of its labels.
VOC_IMAGES = {
    "2007_000032": ((12, 8), ("cat",)),
    "2007_000033": ((8, 12), ("dog",)),
    "2007_000034": ((10, 10), ("cat", "dog")),
    "2007_000035": ((12, 8), ()),
    "0042": ((9, 7), ("hen",)),
}
VOC_CLASSES = ("cat", "dog", "hen")


def pytest_configure(config):
    """Load PyTorch in the processes that run tests, and not in the one that starts them."""
    if hasattr(config, "workerinput") or config.getoption("dist", "no") == "no":
        import_module("torch").set_num_threads(1)


@pytest.fixture
def generator():
    """A torch generator of the test's own: no test depends on another's draws."""
    return import_module("torch").Generator().manual_seed(0)


@pytest.fixture
def voc(tmp_path):
    """A data set folder written by hand: five images, three classes, the split ``train``.

    Image number i is one grey of 40 + 40 i; its mask is background with one row for each class.
    """
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    rows = ["id,cat,dog,hen"]
    for number, (image_id, ((width, height), names)) in enumerate(VOC_IMAGES.items()):
        grey = np.full((height, width, 3), 40 + 40 * number, dtype=np.uint8)
        Image.fromarray(grey).save(root / f"JPEGImages/{image_id}.png")
        mask = np.zeros((height, width), dtype=np.uint8)
        for row, name in enumerate(names):
            mask[row] = VOC_CLASSES.index(name) + 1
        Image.fromarray(mask).save(root / f"SegmentationClass/{image_id}.png")
        present = [str(int(name in names)) for name in VOC_CLASSES]
        rows.append(",".join([image_id, *present]))
    (root / "classes.txt").write_text("cat\ndog\nhen\n")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    split = root / "ImageSets/Segmentation/train.txt"
    split.write_text("\n".join(VOC_IMAGES) + "\n")
    return root


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id):
    """A folder by its name and maker, shared by the processes that test side by side."""

    def made(name, make):
        alone = worker_id == "master"
        base = tmp_path_factory.getbasetemp()
        folder = (base if alone else base.parent) / name
        with FileLock(folder.with_name(f"{name}.lock")):
            if not folder.is_dir():
                make(folder.with_name(f"{name}.unfinished"))
                folder.with_name(f"{name}.unfinished").rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def finished(made_once):
    """The small experiment, run from scratch by Snakemake and committed; read-only."""
    return made_once("finished", experiment.first_run)


@pytest.fixture
def tree(finished, tmp_path):
    """A copy of the finished experiment, for a test to change."""
    return experiment.copied(finished, tmp_path / "experiment")


def pytest_collection_modifyitems(items):
    """Order the tests for two processes, of which each begins with its half of the list.

    The first makes the finished experiment and begins with the tests of it, the second with all
    other long ones. Both end with short tests, so that neither waits for the other.
    """
    runs, long, short = [], [], []
    for item in items:
        is_long = "own" in item.fixturenames or item.get_closest_marker("slow")
        (runs if "finished" in item.fixturenames else long if is_long else short).append(item)
    long.sort(key=lambda item: "own" not in item.fixturenames)
    first = max(0, len(items) // 2 - len(runs))
    items[:] = [*runs, *short[:first], *long, *short[first:]]
