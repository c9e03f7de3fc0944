"""Minutes of an experiment on this machine, before its run.

python workflow/estimate.py [OVERLAY ...]   params.yaml with overlays, such as presets/voc12.yaml

Every step is timed on a few made images and multiplied by the numbers of the data set.
"""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
os.environ["OMP_WAIT_POLICY"] = "passive"  # a thread that waits for another must not count as work

import pandas as pd

from recam.core.errors import UserError
from recam.runtime.devices import make_device
from recam.runtime.gpus import gpus_here
from recam.runtime.progress import progress
from recam.runtime.threads import usable_cores
from recam.steps.bench import make_bench
from recam.steps.data_size import data_size
from recam.steps.estimate import DataSize, StepWork, wall_seconds, works_of
from recam.steps.params import Experiment, check, merged
from recam.steps.preflight import chosen_splits
from recam.steps.timing import seconds_per_image
from recam.steps.yaml_files import read_params

PARAMS, DATA = Path("params.yaml"), Path("data")
HEADS = ("step", "runs", "images in a run", "ms an image", "minutes a run")
MINUTE = HOUR = 60  # in seconds, in minutes
FEW_HOURS = 2  # from which hours are shown


def main(overlays: list[Path]) -> None:
    """Print the table of steps and the time of the whole run."""
    start = time.process_time()  # of the imports, which every step repeats
    files = [read_params(path) for path in (PARAMS, *overlays)]
    values = files[0].values
    for file in files[1:]:
        values = merged(values, file.values)
    numbers = check(values, files)
    data = data_size(numbers, DATA)
    device = make_device(numbers.machine.device)
    slots = gpus_here() if device.type == "cuda" else usable_cores()
    works = works_of(numbers, data)
    with TemporaryDirectory() as folder:
        bench = make_bench(numbers, data, Path(folder), device=device)
        paces = {
            work.step: seconds_per_image(work.step, bench, threads=work.threads)
            for work in progress(works, total=len(works), what="time steps", unit="step")
        }
    seconds = {work.step: work.seconds(paces[work.step], start=start) for work in works}
    print(f"{words_of(numbers, data)}\n\n{table_of(works, paces, seconds)}\n")
    minutes = wall_seconds(works, seconds, slots=slots) / MINUTE
    units = f"{slots} {'GPU' if device.type == 'cuda' else 'core'}{'s' * (slots > 1)}"
    print(
        f"About {duration(minutes)} with `--cores all` ({units}), without download, scores, "
        "tables and figures."
    )


def duration(minutes: float) -> str:
    """Minutes, or hours from two on."""
    if minutes < FEW_HOURS * HOUR:
        return f"{minutes:.1f} minutes"
    return f"{minutes / HOUR:,.1f} hours"


def words_of(numbers: Experiment, data: DataSize) -> str:
    """The data set and its sizes."""
    used = {split: data.images[split] for split in chosen_splits(numbers).values()}
    counts = ", ".join(f"{count:,} {split}" for split, count in used.items())
    return f"{numbers.download.dataset}: {counts}; {data.size[0]} x {data.size[1]} px"


def table_of(works: list[StepWork], paces: dict[str, float], seconds: dict[str, float]) -> str:
    """A row for each step."""
    rows = [
        (
            work.step,
            f"{work.runs:,}",
            f"{work.images:,}",
            f"{1000 * paces[work.step]:,.1f}",
            f"{seconds[work.step] / MINUTE:,.1f}",
        )
        for work in works
    ]
    align = ["left"] + ["right"] * (len(HEADS) - 1)
    table = pd.DataFrame(rows, columns=list(HEADS))
    return table.to_markdown(index=False, disable_numparse=True, colalign=align)


if __name__ == "__main__":
    try:
        main([Path(name) for name in sys.argv[1:]])
    except UserError as error:
        sys.exit(str(error))
