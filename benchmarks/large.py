"""The data set and both engines over many small images: CPU seconds, memory and growth.

`python benchmarks/large.py --folder FOLDER 1000 10000 100000` draws a user's folder of each number
of images, with a table of labels and masks, beside a copy of the project. Every work runs in a
process of its own. No network runs: results are small files, one an image, which DVC commits and
Snakemake adopts. `--work NAME ...` measures some of the works; FOLDER keeps all files.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from math import log
from pathlib import Path

import yaml
from large_photos import draw_photos

ROOT = Path(__file__).parents[1]
PARTS = ["Snakefile", "workflow", "src", "profiles", "prompts", ".dvc", ".dvcignore", ".gitignore"]
SKIPPED = shutil.ignore_patterns("tmp", "cache", "config.local", "__pycache__", "*.egg-info")
SNAKEMAKE, DVC, ENGINES = ["-m", "snakemake"], ["-m", "dvc"], ["workflow/engines.py"]
CHECK = ["workflow/scripts/check_data.py"]
OWN = [str(Path(__file__).with_name("large_works.py").resolve())]
MIB = 1 << 10  # in kB, the unit of getrusage
# Work -> arguments of Python. A `no-op` must find nothing to run.
WORKS = {
    "make check-data": [
        *CHECK,
        *["--data", "../photos", "--report", "../report", "--params", "params.yaml"],
    ],
    "download": [*OWN, "download"],
    "small files as results": [*OWN, "fill"],
    "dvc commit": [*DVC, "commit", "--force", "--quiet"],
    "make adopt, all steps": [*ENGINES, "adopt"],
    "no-op: snakemake --dry-run": [*SNAKEMAKE, "--dry-run"],
    "no-op: snakemake --cores all": [*SNAKEMAKE, "--cores", "all"],
    "no-op: dvc status": [*DVC, "status"],
    "no-op: dvc repro": [*DVC, "repro"],
    "no-op: make record": [*ENGINES, "record"],
    "no-op: make adopt": [*ENGINES, "adopt"],
    "make record, checksums of all steps": [*OWN, "record"],
}


def main() -> None:
    """Measure and print a table, a work after the other, each for all numbers of images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="+", type=int)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS))
    args = parser.parse_args()
    copies = {number: args.folder / str(number) / "project" for number in args.numbers}
    for number, copy in copies.items():
        if not copy.is_dir():
            prepare(copy, number)
    heads = [f"{n:,}: {what}" for n in args.numbers for what in ("CPU s", "wall s", "MiB")]
    print(f"| work | {' | '.join(heads)} | exponent |\n| --- |{' ---: |' * (len(heads) + 1)}")
    for work in args.work:
        found = [measured(copy, work) for copy in copies.values()]
        cells = [
            f"{value:,.{digits}f}"
            for row in found
            for value, digits in zip(row, (1, 1, 0), strict=True)
        ]
        exponent = growth(args.numbers, [cpu for cpu, _, _ in found])
        print(f"| {work} | {' | '.join(cells)} | {exponent} |", flush=True)


def prepare(copy: Path, number: int) -> None:
    """Draw the photographs, and make a copy of the project with numbers for them."""
    photos = copy.parent / "photos"
    if not (photos / "ImageSets/Segmentation/val.txt").is_file():
        draw_photos(photos, number)
    copy.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=SKIPPED)
        else:
            shutil.copy2(ROOT / name, copy / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["methods"] = ["cam"]
    params["download"] = {"dataset": "folder", "source": "../photos"}
    params["make_pseudo"]["refiner"] = "none"
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)  # noqa: S607 where git is
    measured(copy, "", ["workflow/engines.py", "write"])


def measured(copy: Path, work: str, words: list[str] | None = None) -> tuple[float, float, float]:
    """CPU and wall seconds of a work and all of its processes, and MiB of the largest of them."""
    words = words or WORKS[work]
    folders = [str((copy / name).resolve()) for name in ("src", "workflow")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "PATH": path}
    log_file = copy.parent / "log.txt"
    start = time.perf_counter()
    with log_file.open("w") as said:
        process = subprocess.Popen(  # noqa: S603 ours
            [sys.executable, *words], cwd=copy, env=environment, stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    text = log_file.read_text(encoding="utf-8", errors="replace")
    ran = work.startswith("no-op") and re.search("Job stats|Running stage|changed", text)
    if status or ran:
        sys.exit(f"{copy}: {' '.join(words)}: failed, or had something to run:\n{text[-3000:]}")
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / MIB


def growth(numbers: list[int], seconds: list[float]) -> str:
    """The exponent p of a + b N^p through the last three numbers, which grow by equal factors."""
    if len(numbers) < 3:
        return ""
    (few, some), (_, many) = list(pairwise(seconds))[-2:]
    if some <= few or many <= some:
        return "0"
    return f"{log((many - some) / (some - few)) / log(numbers[-1] / numbers[-2]):.2f}"


if __name__ == "__main__":
    main()
