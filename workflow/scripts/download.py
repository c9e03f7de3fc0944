"""Bring the data set into a folder in PASCAL VOC's layout, check it, and list checksums."""

import argparse
import logging
import shutil

from _library import run

from recam.catalogue.datasets import Made, Sources, fill
from recam.checks.report import write_report
from recam.checks.rules import check_data
from recam.core.errors import UserError
from recam.data.layout import MASKS, WEAK_PARTS
from recam.io.atomic import replace_with, write_manifest

MADE = ("random_seed", "train_images", "val_images", "image_size", "cooccurrence")

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    """Fill a folder beside the data's place, look at all of it, then put each part there."""
    numbers = {name: getattr(args, name) for name in MADE}
    made = None if None in numbers.values() else Made(**numbers)
    # Beside `data`, so that relative links hold here and there.
    new, rejected = args.data.with_name(f".{args.data.name}.new"), args.data / "rejected"
    for folder in (new, rejected):
        shutil.rmtree(folder, ignore_errors=True)
    sources = Sources(
        source=args.source,
        originals=args.data / "originals" / args.dataset,
        longest_side=args.longest_side,
    )
    fill(new, args.dataset, sources, made)
    report = check_data(new)
    write_report(report, rejected if report.errors else args.check[0].parent)
    logger.info("%s", report.verdict())
    if report.errors:
        raise UserError(
            f"{report.errors[0]}; fix or remove it; {rejected}/report.md lists all faults"
        )
    for part in (*WEAK_PARTS, MASKS):
        replace_with(args.data / part, new / part)
    shutil.rmtree(new)
    write_manifest(args.data / f"{MASKS}.sha256", [args.data / MASKS])
    write_manifest(args.data / "images.sha256", [args.data / part for part in WEAK_PARTS])


if __name__ == "__main__":
    run(
        main,
        description=__doc__,
        paths={
            "data": "out: folder that receives the data set",
            "check": "out: four: report in words, CSVs of classes, co-occurrence and faults",
        },
        section="download",
    )
