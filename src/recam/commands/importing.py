"""``recam import``: annotated images of another tool as a folder that ``download.source`` takes."""

import argparse
import logging
from pathlib import Path

from recam.runtime.loading import loading

DESCRIPTION = """\
Write annotated images of another tool as a folder for download.source.

SOURCE holds COCO JSON, labelme JSON, PASCAL VOC XML, CVAT's masks with
labelmap.txt, or a folder of images for each class; its content tells which.
Labels train. Masks and boxes are ground truth, which only evaluate reads.
Images become hard links, or copies; originals stay as they are. The new folder
appears when it is complete. Content that is not used is listed."""
EXAMPLE = "recam import my_export --out my_photos"
FORMATS = ("coco", "labelme", "cvat", "voc", "folders")

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="folder of the export, or a COCO JSON file")
    add("--out", type=Path, metavar="DIR", required=True, help="new folder to write")
    add("--images", type=Path, metavar="DIR", help="folder of the images, if the export has none")
    add("--format", choices=FORMATS, help="one format of a source that has several")


def run(args: argparse.Namespace) -> int:
    """Import ``args.source``; return 0. Raises UserError, and then nothing is written."""
    with loading():
        from recam.exchange.layout import require_new, write_folder  # noqa: PLC0415 pandas
        from recam.exchange.reading import read  # noqa: PLC0415
        from recam.exchange.source import open_source  # noqa: PLC0415

    require_new(args.out, source=args.source)
    found = read(open_source(args.source, images=args.images, wanted=args.format))
    written = write_folder(args.out, found)
    for note in (*found.notes, *written.notes):
        logger.info("note: %s", note)
    logger.info(
        "%s: %s images, %s classes, %s masks, %s boxes written to %s",
        found.format,
        *(f"{n:,}" for n in (written.images, len(found.classes), written.masks, written.boxes)),
        args.out,
    )
    return 0
