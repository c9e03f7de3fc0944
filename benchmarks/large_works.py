"""Works of large.py in a copy of the project, the working directory: `large_works.py NAME`."""

import subprocess
import sys
from pathlib import Path

from dvc.parsing.interpolate import to_str
from jobs import load_jobs

from recam.data.layout import read_split
from recam.io.atomic import write_manifest
from recam.io.receipts import altered, write_receipt

DATA = Path("data")
FOLDERS = {"cams": "train", "pseudo": "train", "scores": "train", "predictions": "val"}


def download() -> None:
    """Run the command line of the step, with its parameters."""
    jobs, config = load_jobs()
    (job,) = [job for job in jobs if job.rule == "download"]
    numbers = to_str(config["download"])
    words = job.command.replace("${download}", numbers).split()
    subprocess.run([sys.executable, *words[1:]], check=True)  # noqa: S603 ours


def fill() -> None:
    """Write the outputs of all steps after the data set: small files, in folders one an image."""
    ids = {folder: read_split(DATA, name) for folder, name in FOLDERS.items()}
    for job in load_jobs()[0]:
        outputs = [Path(path) for _, path in job.outputs]
        for path in outputs if job.rule != "download" else ():
            write_output(path, ids.get(path.name, ()))
        log = Path(job.log)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        write_receipt(log.with_suffix(".sha256"), outputs, {})


def write_output(path: Path, ids: tuple[str, ...]) -> None:
    """Write one output; a folder's list of checksums is written with the folder."""
    if ids or not path.suffix:
        path.mkdir(parents=True, exist_ok=True)
        for image_id in ids or ("figure",):
            (path / f"{image_id}.bin").write_text(f"{path.name} {image_id}", encoding="utf-8")
    if ids:
        write_manifest(path.with_name(f"{path.name}.sha256"), [path])
    elif path.suffix not in ("", ".sha256"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}" if path.suffix == ".json" else f"{path}\n", encoding="utf-8")


def record() -> None:
    """Compare all outputs with their receipts, as `make record` does after a run of all steps."""
    for job in load_jobs()[0]:
        outputs = [Path(path) for _, path in job.outputs]
        if files := altered(Path(job.log).with_suffix(".sha256"), outputs):
            sys.exit(f"{files[0]}: altered")


if __name__ == "__main__":
    {"download": download, "fill": fill, "record": record}[sys.argv[1]]()
