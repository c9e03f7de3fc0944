"""``recam predict``: masks of images by a trained segmenter."""

import argparse
from pathlib import Path

from recam.commands.arguments import count, device, existing_file, scale
from recam.io.listing import list_images
from recam.runtime.loading import loading

DESCRIPTION = """\
Write a mask for every image: OUT/NAME.png, a palette PNG whose pixel values are classes.

OUT/classes.csv lists value, name and colour of every class, OUT/overlays/NAME.png shows
the mask over the image. Masks have the size of the upright image."""
EXAMPLE = "recam predict --checkpoint results/seed0/recam/segmenter.pt 'trip/**/*.jpg'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the images, the checkpoint, the folder to write and the numbers."""
    add = parser.add_argument
    add(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="files, folders without their sub-folders, quoted patterns",
    )
    add(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="trained segmenter, segmenter.pt",
    )
    add("--out", type=Path, default=Path("masks"), metavar="DIR", help="default: masks")
    _add_numbers(parser)


def run(args: argparse.Namespace) -> int:
    """Write the masks; the paths are checked before PyTorch is imported."""
    listing = list_images(args.images)
    existing_file(args.checkpoint)
    with loading():
        from recam.commands.masks import write_masks  # noqa: PLC0415 imports PyTorch
    return write_masks(args, listing)


def _add_numbers(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--scales",
        type=scale,
        nargs="+",
        metavar="S",
        help="of the image, whose maps are averaged",
    )
    add("--crf", type=Path, metavar="PARAMS", help="refine by the CRF of this params.yaml")
    add(
        "--longest_side",
        type=count,
        metavar="PX",
        help="of the network's input (default: as in training)",
    )
    add("--batch_size", type=count, default=4, metavar="N", help="default: 4")
    add("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:1")
    add(
        "--precision",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="auto: bf16 on GPUs that support it",
    )
    add("--threads", type=count, metavar="N", help="of the CPU (default: all cores)")
