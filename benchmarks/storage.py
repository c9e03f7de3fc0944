"""Score maps of a split in files and in archives: time, number of files, bytes on disk.

`python benchmarks/storage.py --images 10000 --rounds 3` makes maps of 32 x 32 pixels in both forms,
in turns, and prints a table. Times are CPU seconds of the process, the median of the rounds; disk
space is that of allocated blocks, folders included, as in `du`.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from recam.io import archives
from recam.io.archives import files_in
from recam.io.atomic import require_listed, write_manifest
from recam.io.resumable import ResumableFolder
from recam.io.scores import ScoredClasses, load_scores, save_scores

SIDE, PRESENT = 32, 2  # pixels of a map's side, maps of an image
BLOCK = 512  # bytes of a unit of st_blocks, see stat(2)
MIB = 1 << 20
FORMS = {"files": False, "archives": True}
ROWS = {
    "write": "write and finish, s",
    "manifest": "list of checksums, s",
    "listing": "list the images in a new process, s",
    "read": "read all, in a new process, s",
    "most": "files of the unfinished folder",
    "files": "files of the finished folder",
    "content": "bytes, MiB",
    "disk": "on disk, MiB",
}

Found = dict[str, float]


def main() -> None:
    """Measure both forms in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: that of /tmp")
    args = parser.parse_args()
    scored = made_maps(64)
    found: dict[str, list[Found]] = {form: [] for form in FORMS}
    for _ in range(args.rounds):
        for form, in_archives in FORMS.items():
            with TemporaryDirectory(dir=args.folder) as folder:
                found[form].append(measured(Path(folder), scored, args.images, in_archives))
    print(f"| {args.images:,} images | {' | '.join(FORMS)} |")
    print(f"| --- | {' | '.join('---:' for _ in FORMS)} |")
    for name, title in ROWS.items():
        values = [statistics.median(round_[name] for round_ in found[form]) for form in FORMS]
        digits = 0 if name in ("most", "files") else 2
        print(f"| {title} | {' | '.join(f'{value:,.{digits}f}' for value in values)} |")


def made_maps(count: int) -> list[ScoredClasses]:
    """Smooth maps of two classes, which compress as maps of networks do."""
    generator = np.random.default_rng(0)
    rows, columns = np.indices((SIDE, SIDE))
    centres = generator.uniform(0, SIDE, size=(count, PRESENT, 2))
    return [
        ScoredClasses(
            scores=np.stack([np.exp(-np.hypot(rows - y, columns - x) / 8) for y, x in of_image]),
            classes=np.arange(PRESENT),
        )
        for of_image in centres
    ]


def measured(place: Path, scored: list[ScoredClasses], count: int, in_archives: bool) -> Found:
    """Seconds, numbers of files and MiB of one form."""
    found: Found = {}
    with _timed(found, "write"):
        folder = ResumableFolder(place / "cams", key="", in_archives=in_archives)
        fill(folder, scored, count)
        found["most"] = len(list(folder.partial.iterdir()))
        folder.finish()
    with _timed(found, "manifest"):
        write_manifest(place / "cams.sha256", [folder.path])
    for name, work in {"listing": lambda _: None, "read": load_scores}.items():
        _forget()
        with _timed(found, name):
            read(folder.path, work)
    states = [folder.path.stat(), *(path.stat() for path in folder.path.iterdir())]
    found["files"] = len(states) - 1
    found["content"] = sum(state.st_size for state in states[1:]) / MIB
    found["disk"] = sum(state.st_blocks for state in states) * BLOCK / MIB
    return found


def fill(folder: ResumableFolder, scored: list[ScoredClasses], count: int) -> None:
    """Write the maps of ``count`` images."""
    for number in range(count):
        save_scores(folder.partial / f"{number:08d}.npz", scored[number % len(scored)])


def read(folder: Path, work: Callable[[Path], object]) -> None:
    """List the images as a step does, then do ``work`` on each."""
    require_listed(folder)
    for file in files_in(folder, ".npz"):
        work(file)


@contextmanager
def _timed(found: Found, name: str) -> Iterator[None]:
    start = time.process_time()
    yield
    found[name] = time.process_time() - start


def _forget() -> None:
    """Drop the lists of archives that this process keeps."""
    archives.archived_files.cache_clear()


if __name__ == "__main__":
    main()
