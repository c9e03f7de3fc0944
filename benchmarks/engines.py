"""Times of both engines if no step has to run, and of `record` and `adopt`: seconds and ratios.

`python benchmarks/engines.py` after `make run`: it copies the finished experiment of this project,
measures, adds 10,000 files to each of three folders, commits them to DVC, and measures again, side
by side.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
PARTS = [
    *("Snakefile", "workflow", "src", "profiles", "params.yaml", "dvc.yaml", "dvc.lock", ".git"),
    *(".dvc", ".dvcignore", ".gitignore", "data", "results", "logs", ".snakemake"),
]
FOLDERS = ("data/JPEGImages", "results/seed0/cam/cams", "results/seed0/recam/cams")
FILES, SIZE, ROUNDS = 10_000, 15_000, 5  # files a folder, bytes a file
# Command -> arguments, and limits in seconds: on the default, and with many files.
COMMANDS = {
    "`snakemake --dry-run`": (["-m", "snakemake", "--dry-run"], 3, None),
    "`snakemake --cores all`": (["-m", "snakemake", "--cores", "all"], None, 5),
    "`dvc status`": (["-m", "dvc", "status"], 3, None),
    "`dvc repro`": (["-m", "dvc", "repro"], None, 5),
    "`make record`": (["workflow/engines.py", "record"], 10, None),
    "`make adopt`": (["workflow/engines.py", "adopt"], 10, None),
}


def main() -> None:
    """Measure and print the table."""
    if not (ROOT / "results/metrics.json").is_file() or not (ROOT / ".snakemake").is_dir():
        sys.exit("there is no finished experiment in this folder; run `make run` first")
    with tempfile.TemporaryDirectory() as temporary:
        small, large = Path(temporary, "small"), Path(temporary, "large")
        for folder in (small, large):
            copy(folder)
        fill(large)
        rows = []
        for name, (words, at_most, at_most_large) in COMMANDS.items():
            times = [(seconds(small, words), seconds(large, words)) for _ in range(ROUNDS)]
            ratio = median(many / few for few, many in times)
            few, many = (median(column) for column in zip(*times, strict=True))
            cells = [name, cell(few, at_most), cell(many, at_most_large), f"{ratio:.2f}"]
            rows.append(f"| {' | '.join(cells)} |")
    head = [f"| nothing to do | default, s | 3 x {FILES:,} files more, s | ratio |"]
    head += ["| --- | --- | --- | --- |"]
    print("\n".join([*head, *rows]))


def copy(folder: Path) -> None:
    """Copy the project and its results, with the times of all files."""
    folder.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            skipped = shutil.ignore_patterns("tmp", "__pycache__")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=skipped)
        else:
            shutil.copy2(ROOT / name, folder / name)
    seconds(folder, ["workflow/engines.py", "adopt"])
    for words in (["-m", "dvc", "status"], ["-m", "snakemake", "--dry-run"]):
        seconds(folder, words)


def fill(folder: Path) -> None:
    """Add many files to three folders and commit them to DVC."""
    for name in FOLDERS:
        for number in range(FILES):
            (folder / name / f"more_{number:05d}.bin").write_bytes(os.urandom(SIZE))
    seconds(folder, ["-m", "dvc", "commit", "--force", "--quiet"])
    seconds(folder, ["-m", "dvc", "status"])


def seconds(folder: Path, words: list[str]) -> float:
    """Seconds of a command there that must find no step to run."""
    start = time.perf_counter()
    command = [sys.executable, *words]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    duration = time.perf_counter() - start
    if run.returncode or "Finished jobid" in run.stdout + run.stderr:
        sys.exit(f"`{' '.join(words)}` should have had nothing to run: {run.stdout}{run.stderr}")
    return duration


def cell(value: float, at_most: int | None) -> str:
    """Seconds, and the limit with its verdict."""
    if at_most is None:
        return f"{value:.1f}"
    return f"{value:.1f} (at most {at_most}: {'met' if value <= at_most else '**missed**'})"


if __name__ == "__main__":
    main()
