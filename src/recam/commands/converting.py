"""``recam convert``: a folder of masks in the format of another tool."""

import argparse
import logging
from pathlib import Path

from recam.core.errors import UserError
from recam.runtime.loading import loading

DESCRIPTION = """\
Write a folder of masks in the format of another tool, exact to the pixel.
coco: a JSON file, one polygon for each object, ignored pixels as a crowd.
labelme: a folder with a JSON file for each image. cvat: a folder, or a .zip to
upload as "Segmentation mask 1.1"."""
EXAMPLE = "recam convert results/seed0/recam/pseudo --to coco --out pseudo.json"
FORMATS = ("coco", "labelme", "cvat")

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("masks", type=Path, metavar="MASKS", help="folder of masks")
    add("--to", choices=FORMATS, required=True, help="the format")
    add("--out", type=Path, metavar="PATH", required=True, help="new file or folder")
    add("--images", type=Path, metavar="DIR", help="folder of the images, if not data/JPEGImages")
    add("--classes", type=Path, metavar="FILE", help="list of classes, if not found with the masks")
    add("--rle", action="store_true", help="coco: run lengths (RLE) instead of polygons")


def run(args: argparse.Namespace) -> int:
    """Convert ``args.masks``; return 0. Raises UserError, and then nothing is written."""
    if args.rle and args.to != "coco":
        raise UserError(f"--rle: expected with --to coco, got --to {args.to}; leave it out")
    with loading():
        from recam.exchange import writing  # noqa: PLC0415 imports take time
        from recam.exchange.layout import require_free  # noqa: PLC0415
        from recam.exchange.masks import folders_with_masks, open_masks  # noqa: PLC0415

    require_free(args.out)
    source = open_masks(args.masks, classes=args.classes, images=args.images)
    if left := folders_with_masks(args.masks):
        logger.info(
            "note: %s: masks in sub-folders are not converted; give each by itself", left[0]
        )
    if args.to == "coco":
        objects = writing.write_coco(source, args.out, rle=args.rle)
        content = f"{len(source.masks):,} masks with {objects:,} objects"
    elif args.to == "labelme":
        objects = writing.write_labelme(source, args.out)
        content = f"{len(source.masks):,} masks with {objects:,} objects"
    else:
        content = f"{writing.write_cvat(source, args.out, with_images=bool(args.images)):,} masks"
    logger.info("%s of %s classes written to %s", content, f"{len(source.classes):,}", args.out)
    return 0
