"""Minutes of an experiment on this machine, before its run.

python workflow/estimate.py [--flops] [OVERLAY ...]   params.yaml with overlays: presets/voc12.yaml

Every step is timed on a few made images and multiplied by the numbers of the data set. With
`--flops` its arithmetic is counted in place of its time, for networks that this machine is too
small to time.
"""

import argparse
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
from recam.steps.bench import Bench, make_bench
from recam.steps.data_size import data_size
from recam.steps.estimate import DataSize, StepWork, wall_seconds, works_of
from recam.steps.flops import arithmetic_of
from recam.steps.params import Experiment, check, merged
from recam.steps.preflight import chosen_splits
from recam.steps.timing import seconds_per_image
from recam.steps.yaml_files import read_params

PARAMS, DATA = Path("params.yaml"), Path("data")
HEADS = ("step", "runs", "images in a run")
TIMES = ("ms an image", "minutes a run")
FLOPS = ("GFLOP an image", "TFLOP a run", "activations, MiB an image")
GIGA, TERA, MIB = 1e9, 1e12, 1 << 20
MINUTE = HOUR = 60  # in seconds, in minutes
FEW_HOURS = 2  # from which hours are shown


def main(overlays: list[Path], *, is_counted: bool) -> None:
    """Print the table of steps, and the time or the arithmetic of the whole run."""
    start = time.process_time()  # of the imports, which every step repeats
    files = [read_params(path) for path in (PARAMS, *overlays)]
    values = files[0].values
    for file in files[1:]:
        values = merged(values, file.values)
    numbers = check(values, files)
    data = data_size(numbers, DATA)
    works = works_of(numbers, data)
    device = make_device("cpu" if is_counted else numbers.machine.device)
    with TemporaryDirectory() as folder:
        bench = make_bench(numbers, data, Path(folder), device=device)
        table = counted(works, bench) if is_counted else timed(works, bench, start=start)
    print(f"{words_of(numbers, data)}\n\n{table}")


def timed(works: list[StepWork], bench: Bench, *, start: float) -> str:
    """The table of seconds, and the time of the whole run."""
    slots = gpus_here() if bench.device.type == "cuda" else usable_cores()
    paces = {
        work.step: seconds_per_image(work.step, bench, threads=work.threads)
        for work in progress(works, total=len(works), what="time steps", unit="step")
    }
    seconds = {work.step: work.seconds(paces[work.step], start=start) for work in works}
    minutes = wall_seconds(works, seconds, slots=slots) / MINUTE
    units = f"{slots} {'GPU' if bench.device.type == 'cuda' else 'core'}{'s' * (slots > 1)}"
    rows = [
        (f"{1000 * paces[work.step]:,.1f}", f"{seconds[work.step] / MINUTE:,.1f}") for work in works
    ]
    return (
        f"{table_of(works, TIMES, rows)}\n\nAbout {duration(minutes)} with `--cores all` "
        f"({units}), without download, scores, tables and figures."
    )


def counted(works: list[StepWork], bench: Bench) -> str:
    """The table of operations, and their sum."""
    found = {
        work.step: arithmetic_of(work.step, bench)
        for work in progress(works, total=len(works), what="count steps", unit="step")
    }
    operations = {work.step: work.images * found[work.step].operations for work in works}
    rows = [
        (
            f"{found[work.step].operations / GIGA:,.1f}",
            f"{operations[work.step] / TERA:,.1f}",
            f"{found[work.step].kept_bytes / MIB:,.0f}",
        )
        for work in works
    ]
    total = sum(work.runs * operations[work.step] for work in works)
    return (
        f"{table_of(works, FLOPS, rows)}\n\nIn all {total / TERA:,.1f} TFLOP: counted, not timed. "
        "CRF, random walks, loading, scores, tables and figures are left out."
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


def table_of(works: list[StepWork], heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A row for each step."""
    whole = [
        (work.step, f"{work.runs:,}", f"{work.images:,}", *row)
        for work, row in zip(works, rows, strict=True)
    ]
    columns = [*HEADS, *heads]
    align = ["left"] + ["right"] * (len(columns) - 1)
    table = pd.DataFrame(whole, columns=columns)
    return table.to_markdown(index=False, disable_numparse=True, colalign=align)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flops", action="store_true", help="count arithmetic in place of time")
    parser.add_argument("overlays", nargs="*", type=Path, metavar="OVERLAY")
    given = parser.parse_args()
    try:
        main(given.overlays, is_counted=given.flops)
    except UserError as error:
        sys.exit(str(error))
