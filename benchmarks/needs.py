"""Hours and memory of a preset on this machine: `python benchmarks/needs.py presets/voc12.yaml`.

More overlays may follow the preset. The steps and the images are those of `make estimate`, at the
usual size of the data set's images; each step is timed in a process of its own, for its peak
memory.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from commands import ROOT, numbers_of
from harness import machine, peak_bytes

from recam.runtime.devices import make_device
from recam.steps.bench import make_bench
from recam.steps.data_size import data_size
from recam.steps.estimate import DataSize, StepWork, works_of
from recam.steps.params import Experiment
from recam.steps.timing import WORKS, seconds_per_image

# Of each data set: an image's usual width and height, and the mean number of classes in an image.
SIZES = {"voc12": (500, 375), "coco14": (640, 480)}
PRESENT = {"voc12": 1.5, "coco14": 2.9}
HOUR, GIB = 3600, 1 << 30


def main() -> None:
    """Print the needs of all runs, one line a step, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overlays", nargs="+", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--step", choices=WORKS, help="measure one step only, as JSON")
    args = parser.parse_args()
    numbers = Experiment.model_validate(numbers_of(*args.overlays))
    data, device = size_of(numbers), make_device(args.device)
    works = {work.step: work for work in works_of(numbers, data)}
    if args.step:
        print(json.dumps(measured(works[args.step], numbers, data, device)))
        return
    print(f"| step | ms an image | images | runs | hours | peak, GiB |\n|{' --- |' * 6}")
    hours = 0.0
    for work in works.values():
        command = [sys.executable, __file__, *map(str, args.overlays), "--device", args.device]
        done = subprocess.run([*command, "--step", work.step], stdout=subprocess.PIPE, check=True)  # noqa: S603
        seconds, peak = json.loads(done.stdout)
        spent = work.runs * work.images * seconds / HOUR
        hours += spent
        cells = [f"{seconds * 1e3:,.0f}", f"{work.images:,}", str(work.runs), f"{spent:,.1f}"]
        print(f"| {' | '.join([work.step, *cells, f'{peak / GIB:.1f}'])} |", flush=True)
    print(f"| all | | | | {hours:,.1f} | |\n")
    print(disk(numbers, data))
    print(f"Machine: {machine(device, threads=torch.get_num_threads())}.")


def size_of(numbers: Experiment) -> DataSize:
    """The data set, with images of their usual size before its download, too."""
    data = data_size(numbers, ROOT / "data")
    return replace(data, size=SIZES.get(numbers.download.dataset, data.size))


def measured(
    work: StepWork, numbers: Experiment, data: DataSize, device: torch.device
) -> tuple[float, int]:
    """Seconds an image, the least of some rounds, and peak bytes."""
    with TemporaryDirectory() as folder:
        bench = make_bench(numbers, data, Path(folder), device=device)
        seconds = seconds_per_image(work.step, bench, threads=work.threads)
    return seconds, peak_bytes(device)


def disk(numbers: Experiment, data: DataSize) -> str:
    """The most that score maps take: a byte a pixel for each present class, before compression."""
    width, height = data.size
    present = PRESENT.get(numbers.download.dataset, data.num_classes)
    maps = present * width * height * data.images[numbers.make_cams.split] / GIB
    words = "Disk for cams and refined maps, calculated, before compression"
    return f"{words}: {2 * maps:,.1f} GiB for each method.\n"


if __name__ == "__main__":
    main()
