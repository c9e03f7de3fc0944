"""The steps of a small run on made data by their plain command lines, fp32 and bf16 side by side.

`python benchmarks/small_run.py --device cuda` prints a line for each step as soon as both are done:
seconds with the start of the process, and what the step reports: its last loss, threshold or mIoU.
"""

import argparse
import csv
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from commands import Params, command, machine_of, numbers_of, seconds_of

PRECISIONS = ("fp32", "bf16")
SEED = 0
SHORT = {"epochs": 1, "min_steps": 0, "resize_min": 56, "resize_max": 80, "crop": 64}  # pixels
SMALL: dict[str, dict[str, Any]] = {
    "download": {"train_images": 32, "val_images": 8, "image_size": 64},
    "train_cam": {**SHORT, "epochs": 2, "threads": 1},
    "train_recam": SHORT,
    "make_cams": {"scales": [1.0]},
    "train_irn": SHORT,
    "make_pseudo": {"refiner": "irn+crf"},
    "train_seg": SHORT,
    "evaluate": {"scales": [1.0]},
}

Paths = dict[str, Any]


def main() -> None:
    """Run every step in each precision; exit with 1 after the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    params = numbers_of()
    for name, numbers in SMALL.items():
        params[name] |= numbers
    with TemporaryDirectory() as folder:
        is_whole = run(params, args.device, Path(folder))
    print(f"\n`{shlex.join(['python', 'benchmarks/small_run.py', *sys.argv[1:]])}`")
    sys.exit(0 if is_whole else 1)


def run(params: Params, device: str, folder: Path) -> bool:
    """Print the table; return True if all steps succeeded."""
    heads = [f"{precision}, {what}" for what in ("s", "result") for precision in PRECISIONS]
    print(f"| step | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}", flush=True)
    for step in SMALL:
        found = [done(step, params, device, folder, precision) for precision in PRECISIONS]
        cells = [times for times, _ in found] + [result for _, result in found]
        print(f"| {step} | {' | '.join(cells)} |", flush=True)
        if any(times == "failed" for times, _ in found):
            return False
    return True


def done(step: str, params: Params, device: str, folder: Path, precision: str) -> tuple[str, str]:
    """A step's seconds and its result, as words."""
    machine = machine_of(params) | {"device": device, "devices": 1, "precision": precision}
    paths, result = STEPS[step](folder / "data", folder / precision)
    try:
        if step == "download":
            if precision != PRECISIONS[0]:  # the data are the same for both
                return "", ""
            words = command(step, params[step], paths)
        else:
            words = command(step, machine, params[step], paths)
        return f"{seconds_of(words):.1f}", result()
    except RuntimeError as error:
        return "failed", str(error).replace("|", "/")


def download(data: Path, _: Path) -> tuple[Paths, Callable[[], str]]:
    """Made images: the number of them."""
    check = [data / "check" / n for n in ("report.md", "classes.csv", "pairs.csv", "faults.csv")]
    images = data / "JPEGImages"
    return {"data": data, "check": check}, lambda: f"{len(list(images.iterdir()))} images"


def train_cam(data: Path, out: Path) -> tuple[Paths, Callable[[], str]]:
    """Stage one: its last loss."""
    return _training(data, out, "cam", method="cam")


def train_recam(data: Path, out: Path) -> tuple[Paths, Callable[[], str]]:
    """Stage two: its last losses."""
    return _training(data, out, "recam", cam=out / "cam.pt", method="recam")


def make_cams(data: Path, out: Path) -> tuple[Paths, Callable[[], str]]:
    """Cams of ReCAM: the number of files."""
    paths: Paths = {"data": data, "checkpoint": out / "recam.pt", "cams": out / "cams"}
    paths["method"] = "recam"
    cams = out / "cams"
    return paths | _manifest(out, "cams"), lambda: f"{len(list(cams.iterdir()))} files"


def train_irn(data: Path, out: Path) -> tuple[Paths, Callable[[], str]]:
    """Confident pixels by the CRF, then the network: its last losses."""
    return _training(data, out, "irn", cams=out / "cams", refiner="irn+crf")


def make_pseudo(data: Path, out: Path) -> tuple[Paths, Callable[[], str]]:
    """The random walk and the CRF: the background score at which masks are cut."""
    paths = {"data": data, "cams": out / "cams", "irn": out / "irn.pt", "masks": out / "pseudo"}
    paths |= {"scores": out / "scores", "cut": out / "cut.json", "picture": out / "pseudo.png"}
    paths |= _manifest(out, "pseudo", "scores")
    return paths, lambda: f"cut at {_json(out / 'cut.json')['background']:g}"


def train_seg(data: Path, out: Path) -> tuple[Paths, Callable[[], str]]:
    """The segmenter: its last loss."""
    return _training(data, out, "seg", masks=out / "pseudo", classifier=out / "cam.pt")


def evaluate(data: Path, out: Path) -> tuple[Paths, Callable[[], str]]:
    """The mIoU of cams, pseudo masks and predictions, in %."""
    paths = {"data": data, "truth": data / "SegmentationClass", "checkpoint": out / "seg.pt"}
    paths |= {name: out / name for name in ("cams", "scores", "predictions")}
    paths |= {"cut": out / "cut.json", "metrics": out / "metrics.json"}
    tables = [out / f"{name}.csv" for name in ("per_class", "thresholds", "confusion")]
    paths |= {"plots": tables, "counts": out / "counts.csv"} | _manifest(out, "predictions")

    def mious() -> str:
        found = _json(out / "metrics.json")
        return ", ".join(
            f"{name} {part['miou']:.1f}" for name, part in found.items() if "miou" in part
        )

    return paths, mious


def _training(data: Path, out: Path, name: str, **more: Any) -> tuple[Paths, Callable[[], str]]:
    curve = out / f"{name}.csv"
    paths = {"data": data, "checkpoint": out / f"{name}.pt", "curve": curve, "random_seed": SEED}

    def losses() -> str:
        rows = list(csv.DictReader(curve.read_text(encoding="utf-8").splitlines()))
        last = [row for row in rows if row["epoch"] == rows[-1]["epoch"]]
        return ", ".join(f"{row['loss']} {float(row['value']):.4f}" for row in last)

    return paths | more, losses


def _manifest(out: Path, *names: str) -> Paths:
    return {"manifest": [out / f"{name}.sha256" for name in names]}


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


STEPS: dict[str, Callable[[Path, Path], tuple[Paths, Callable[[], str]]]] = {
    "download": download,
    "train_cam": train_cam,
    "train_recam": train_recam,
    "make_cams": make_cams,
    "train_irn": train_irn,
    "make_pseudo": make_pseudo,
    "train_seg": train_seg,
    "evaluate": evaluate,
}


if __name__ == "__main__":
    main()
