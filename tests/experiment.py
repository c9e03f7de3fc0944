"""A small copy of the experiment, a git repository of its own, and its two engines."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from fork_server import commands

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
LIMIT = 3600  # seconds of one command: a hanging one fails its test
METHODS = ["cam", "recam", "supervised"]
SMALL = {
    "download": {"train_images": 16, "val_images": 4, "image_size": 48},
    "train_cam": {
        "threads": 1,
        "epochs": 1,
        "min_steps": 0,
        "batch_size": 8,
        "resize_min": 40,
        "resize_max": 56,
        "crop": 48,
    },
    "train_recam": {
        "epochs": 1,
        "min_steps": 0,
        "warmup_steps": 1,
        "batch_size": 8,
        "resize_min": 40,
        "resize_max": 56,
        "crop": 48,
    },
    "train_seg": {
        "epochs": 1,
        "min_steps": 0,
        "batch_size": 8,
        "resize_min": 40,
        "resize_max": 56,
        "crop": 48,
    },
    "make_cams": {"scales": [1.0]},
    "train_irn": {
        "epochs": 1,
        "min_steps": 0,
        "batch_size": 8,
        "radius": 3,
        "resize_min": 40,
        "resize_max": 56,
        "crop": 48,
    },
    "make_pseudo": {
        "pamr_dilations": [1, 2],
        "pamr_iterations": 2,
        "crf_iterations": 2,
        "examples": 2,
    },
    "evaluate": {"scales": [1.0], "examples": 2, "agreement_images": 4},
    "summarize": {"examples": 2},
    "draw": {"examples": 2},
}
PARTS = ["Snakefile", "workflow", "src", "profiles", "dvc.yaml", ".dvc", ".dvcignore", ".gitignore"]
NOT_COPIED = shutil.ignore_patterns("tmp", "cache", "config.local", "__pycache__", "*.egg-info")


def small_params():
    """The default experiment with small numbers: the same graph, a minute's work."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, numbers in SMALL.items():
        params[section] |= numbers
    params["machine"] |= {"device": "cpu"}
    return params | {"methods": METHODS, "random_seeds": [0]}


def write_params(folder, params):
    """Replace params.yaml."""
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def set_up(folder, params):
    """A separate checkout, so that the developer's files stay untouched."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=NOT_COPIED)
        else:
            shutil.copy(source, folder / name)
    write_params(folder, params)
    for words in ("init --quiet", "config user.email us@example.org", "config user.name us"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    commit(folder, "start")


def commit(folder, message):
    """Commit all files that git does not ignore."""
    for words in (["add", "--all"], ["commit", "--quiet", "--message", message]):
        subprocess.run(["git", *words], cwd=folder, check=True)


def copied(folder, target):
    """A copy of the experiment that keeps the times of files, which engines compare."""
    shutil.copytree(folder, target, symlinks=True)
    return target


def environment():
    """The commands of this environment first in the path: each starts a new interpreter."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}


def quick_environment():
    """The commands of the fork server first in the path: imports of packages are paid once."""
    usual = environment()
    return usual | {"PATH": f"{commands()}{os.pathsep}{usual['PATH']}"}


def command(folder, *words):
    """Run a command there, `python` and the engines in forks; stdout has output and errors."""
    return finished_process(folder, words, quick_environment())


def finished_process(folder, words, environment):
    """Run a command there to its end; stdout has its output and its errors."""
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=LIMIT,
    )


def snakemake(folder, *options):
    """Run Snakemake there on two cores."""
    return command(folder, "snakemake", "--cores", 2, *options)


def dvc(folder, *options):
    """Run DVC there."""
    return command(folder, "dvc", *options)


def engines(folder, verb):
    """Run a verb of workflow/engines.py there."""
    return command(folder, "python", "workflow/engines.py", verb)


def first_run(folder):
    """The small experiment, run from scratch by Snakemake and committed."""
    folder.mkdir(parents=True)
    set_up(folder, small_params())
    run = snakemake(folder)
    if run.returncode:
        raise RuntimeError(run.stdout)
    commit(folder, "first run")
    return folder
