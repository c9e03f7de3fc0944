"""``recam predict``: masks of images by a trained segmenter."""

import argparse
from pathlib import Path

from recam.commands.arguments import count, device, scale
from recam.interface.files import checkpoint_file
from recam.io.listing import list_images
from recam.runtime.loading import loading

DESCRIPTION = """\
Write a mask for every image: DIR/NAME.png, as large as the upright image. Its
values are classes, listed in DIR/classes.csv. DIR/overlays has pictures.
Scales and CRF are those of the experiment's own predictions, or given here."""
EXAMPLE = "recam predict 'trip/**/*.jpg' --checkpoint results/seed0/recam/segmenter.pt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the images, the checkpoint, the folder to write and the numbers."""
    parser.usage = "recam predict IMAGES... --checkpoint FILE [options]"
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGES", help="files, folders or quoted patterns")
    add("--checkpoint", type=Path, required=True, metavar="FILE", help="segmenter.pt of train_seg")
    add("--out", type=Path, default=Path("masks"), metavar="DIR", help="default: masks")
    help_on_scales = "scales of the image, averaged: 1 is fast, more are slower"
    add("--scales", type=scale, nargs="+", metavar="S", help=help_on_scales)
    add("--longest_side", type=count, metavar="PX", help="shrink longer images for the network")
    add("--crf", type=Path, metavar="FILE", help="params.yaml of a CRF that refines the masks")
    add("--batch_size", type=count, default=4, metavar="N", help="images of one size (default: 4)")
    add("--device", type=device, default="auto", metavar="D", help="auto, cpu, cuda or cuda:1")
    bits = ("auto", "bf16", "fp32")
    add("--precision", choices=bits, default="auto", metavar="P", help="auto, bf16 or fp32")
    add("--threads", type=count, metavar="N", help="threads of the CPU (default: all cores)")


def run(args: argparse.Namespace) -> int:
    """Write the masks; the paths are checked before PyTorch is imported."""
    listing = list_images(args.images)
    checkpoint_file(args.checkpoint)
    with loading():
        from recam.commands.masks import write_masks  # noqa: PLC0415 imports PyTorch
    return write_masks(args, listing)
