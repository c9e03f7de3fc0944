"""Bring the data set into a folder in PASCAL VOC's layout, with lists of checksums."""

import argparse
import shutil

import _step

from recam.build.datasets import DATASETS, MadeSet
from recam.data.layout import MASKS, WEAK_PARTS, write_scenes
from recam.files import replace_with, write_manifest
from recam.progress import progress


def main(args: argparse.Namespace) -> None:
    """Make the data set beside its place, then put each part there."""
    numbers = MadeSet(
        source=args.source,
        cache=args.data / "cache",
        random_seed=args.random_seed,
        image_size=args.image_size,
        cooccurrence=args.cooccurrence,
    )
    maker = DATASETS[args.dataset](numbers)
    counts = {"train": args.train_images, "val": args.val_images}
    scenes = {split: maker.scenes(split, count) for split, count in counts.items()}
    new = args.data / ".new"
    shutil.rmtree(new, ignore_errors=True)
    written = write_scenes(new, scenes, maker.classes)
    for _ in progress(written, total=sum(counts.values()), what=args.dataset, unit="image"):
        pass
    for part in (*WEAK_PARTS, MASKS):
        replace_with(args.data / part, new / part)
    new.rmdir()
    write_manifest(args.data / f"{MASKS}.sha256", [args.data / MASKS])
    write_manifest(args.data / "images.sha256", [args.data / part for part in WEAK_PARTS])


if __name__ == "__main__":
    _step.run(
        main,
        description=__doc__,
        paths={"data": "out: folder that receives the data set"},
        section="download",
    )
