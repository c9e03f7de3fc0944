# What the rules share: the checked parameters, how they print, what a script imports, and the word
# to DVC when a run ends.
import hashlib
import os
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

# This project's own modules, also in a copy of it.
sys.path[:0] = [os.path.join(workflow.basedir, folder) for folder in ("src", "workflow")]

from recam.steps import params as checked_params
from recam.core.errors import UserError
from imports import imported_files

STARTED = time.time()


class Section(dict):
    """A section of params.yaml; in a shell command it reads as `--key value ...`,
    to the letter as DVC writes ${section}."""

    def __str__(self):
        from dvc.parsing.interpolate import to_str

        return to_str(dict(self))

    def __format__(self, spec):
        return str(self)


def section(name):
    return Section(config[name])


def check_params():
    with open(os.path.join(workflow.basedir, "workflow/schemas/params.schema.yaml")) as file:
        schema = yaml.safe_load(file)
    try:
        checked_params.check(config, schema, source=" + ".join(map(str, workflow.configfiles)))
    except UserError as error:
        raise WorkflowError(str(error)) from None


def code(step):
    """A step's script is an input, and so is every file of ours that it imports."""
    return imported_files(f"workflow/scripts/{step}.py")


def check_source():
    """Say what is wrong with the user's own files before Snakemake deletes what it will make anew."""
    source = Path(config["download"]["source"]).expanduser().resolve()
    inside = Path("data").resolve()
    if inside in (source, *source.parents) and inside / "originals" not in source.parents:
        raise WorkflowError(
            f"download.source: {source} is in the folder data, which is written anew; move your"
            " files elsewhere"
        )
    if config["download"]["dataset"] == "folder":
        from recam.datasets.folder import list_folder

        try:
            list_folder(config["download"]["source"])
        except UserError as error:
            raise WorkflowError(f"download: {error}") from None


def own_folder():
    """The folder of the user's own images, who may change it at any time: an input."""
    source = config["download"]["source"]
    return [str(Path(source).expanduser())] if config["download"]["dataset"] == "folder" else []


def seen(folders):
    """A text that changes with what the folders hold, since Snakemake sees only their own times.

    Tables count by content, images and masks by size and time.
    """
    files = sorted(file for folder in folders for file in Path(folder).rglob("*") if file.is_file())
    looks = [
        (str(file), file.read_bytes() if file.suffix in (".csv", ".txt") else _size_and_time(file))
        for file in files
    ]
    return hashlib.sha256(repr(looks).encode()).hexdigest() if folders else ""


def _size_and_time(file):
    return file.stat().st_size, file.stat().st_mtime_ns


def gpus():
    """How many GPUs a step asks for: as many as it works on together."""
    if config["device"] == "cpu":
        return 0
    # One that is named is for one step at a time: it takes all there are, as `auto` does.
    is_all = ":" in config["device"] or config["devices"] == "auto"
    return max(1, gpus_here()) if is_all else config["devices"]


@cache
def gpus_here():
    """How many GPUs this machine lets Snakemake use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return sum(gpu.strip() not in ("", "-1") for gpu in visible.split(","))
    if not shutil.which("nvidia-smi"):
        return 0
    words = ["nvidia-smi", "--list-gpus"]
    listed = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout
    return sum(line.startswith("GPU ") for line in listed.splitlines())


def cores(threads):
    """What a step takes of a CPU: the threads of all the processes that it starts there."""
    has_gpu = config["device"] != "cpu" and gpus_here()
    return threads if has_gpu or config["devices"] == "auto" else threads * config["devices"]


def masks_to_train_on(wildcards):
    """Pseudo masks; for the fully supervised upper bound, and nothing else, the true ones."""
    if wildcards.method == "supervised":
        return "data/SegmentationClass"
    return f"results/seed{wildcards.seed}/{wildcards.method}/pseudo"


def maps(pattern):
    """A file or folder of a run's maps; the upper bound has none."""
    return lambda wildcards: (
        [] if wildcards.method == "supervised" else pattern.format(**wildcards)
    )


def figures(name, category, file):
    """A folder of figures, one entry each in the report."""
    return report(
        directory(f"results/figures/{name}"),
        patterns=[file],
        caption=f"workflow/report/{name}.rst",
        category=category,
        labels=lambda wildcards: {"figure": wildcards.figure.replace("-", " ")},
    )


def record_in_dvc():
    """Tell DVC what this run made; nothing that goes wrong there fails the run."""
    with open("params.yaml") as file:
        numbers_are_saved = config == yaml.safe_load(file)
    if workflow.touch:
        print("DVC: nothing recorded, for --touch makes nothing.")
    elif not numbers_are_saved:
        print("DVC: nothing recorded, for this run's numbers are not those of params.yaml.")
    else:
        renew_logs()
        subprocess.call([sys.executable, "workflow/engines.py", "record"])


def renew_logs():
    """Make this run's logs newer than the starts that Snakemake noted, by which `record` knows a run.

    For a job that ran on a cluster it notes, as the start, when it learned of the end.
    """
    now = time.time()
    for log in Path("logs").rglob("*.log"):
        if log.stat().st_mtime >= STARTED:
            os.utime(log, (now, now))
