"""Masks of your own images by a trained segmenter: ``python -m recam.predict --help``."""

import argparse
import csv
import io
import logging
import math
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from recam.catalogue.segmenters import load_segmenter
from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, class_colours, class_names_with_background
from recam.io.atomic import write_text
from recam.io.images import IMAGE_SUFFIXES, read_image, write_image, write_mask
from recam.models.folding import folded
from recam.pipeline.inference import shrunk_size
from recam.pipeline.segmentation import masks_of_images
from recam.refine.crf import CrfKernels
from recam.refine.crf_masks import Crf
from recam.report.grids import shown_mask
from recam.runtime.commands import run_command
from recam.runtime.devices import make_device
from recam.runtime.precision import BITS, make_precision
from recam.runtime.progress import progress
from recam.runtime.threads import writing_behind

OVERLAY_SIDE = 1024  # pixels; of the pictures to look at
LINE, MARGIN = 20, 6  # pixels; of the legend
CLASSES = "classes.csv"
# Chen et al. (PAMI 2018) for DeepLab on PASCAL VOC.
PUBLISHED_CRF = Crf(
    kernels=CrfKernels(
        gaussian_sxy=1.0,
        gaussian_weight=3.0,
        bilateral_sxy=67.0,
        bilateral_srgb=3.0,
        bilateral_weight=4.0,
    ),
    iterations=10,
)
DESCRIPTION = """\
Write a mask for every image: OUT/NAME.png, where a pixel's value is its class.

OUT/classes.csv tells which value is which class, in which colour; OUT/overlays/NAME.png shows the
mask over the image. A mask has the pixels of its image file as they are stored: a photograph that
viewers turn because of its EXIF note is not turned. Broken images are named at the end, and the
exit code is then 1."""

logger = logging.getLogger("recam.predict")  # also where Python calls this file __main__


def main(argv: Sequence[str] | None = None) -> int:
    """Predict as the command line says; the exit code: 0, 1 for a fault, 130 for Ctrl-C."""
    args = _parser().parse_args(argv)
    return run_command(lambda: _predict(args), stopped=f"the masks in {args.out} are whole")


def _predict(args: argparse.Namespace) -> int:
    images = _images(args.images)
    model, model_config = load_segmenter(args.checkpoint)
    device = make_device(args.device, threads=args.threads)
    _claim(args.out, model_config.classes, images)
    faults: list[UserError] = []
    paths = list(images.values())
    model = folded(model.to(device), lambda network, images: network.logits(images))
    masks = masks_of_images(
        model,
        paths,
        scales=tuple(args.scales),
        batch_size=args.batch_size,
        precision=make_precision(args.precision, device),
        crf=PUBLISHED_CRF if args.crf else None,
        longest_side=args.longest_side or model_config.longest_side or None,
        faults=faults,
    )
    with writing_behind() as write:
        for position, mask in progress(masks, total=len(paths), what="masks", unit="image"):
            write(partial(_save, args.out, paths[position], mask, model_config.classes))
    for fault in faults:
        logger.error("%s", fault)
    made = len(paths) - len(faults)
    logger.info("%d of %d masks written to %s", made, len(paths), args.out)
    return 1 if faults else 0


def _save(
    folder: Path, image: Path, mask: UInt8[np.ndarray, "H W"], classes: tuple[str, ...]
) -> None:
    name = f"{image.stem}.png"
    write_image(folder / "overlays" / name, overlay(read_image(image), mask, classes))
    write_mask(folder / name, mask, num_classes=len(classes))


def overlay(
    image: UInt8[np.ndarray, "H W 3"], mask: UInt8[np.ndarray, "H W"], classes: tuple[str, ...]
) -> UInt8[np.ndarray, "h w 3"]:
    """The mask in its own colours over the grey image, and the names of its classes below.

    Images above 1024 pixels are shrunk to that; the legend is as wide as the image.
    """
    height, width = shrunk_size(mask.shape, OVERLAY_SIDE)
    if mask.shape != (height, width):
        size = (width, height)
        image = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        mask = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    shown = shown_mask(image, mask, class_colours(len(classes)))
    present = [int(value) for value in np.unique(mask) if value != BACKGROUND]
    return np.concatenate([shown, _legend(present, classes, width=width)])


def _legend(
    values: list[int], classes: tuple[str, ...], *, width: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Black on white: a patch and the name of every value, in as many lines as they need."""
    names, colours = class_names_with_background(classes), class_colours(len(classes))
    font = ImageFont.load_default(12)
    places: list[tuple[int, int]] = []
    x = y = MARGIN
    for value in values:
        length = LINE + math.ceil(font.getlength(names[value])) + 2 * MARGIN
        if x > MARGIN and x + length > width:
            x, y = MARGIN, y + LINE
        places.append((x, y))
        x += length
    height = y + LINE + MARGIN if values else 0
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for value, (left, top) in zip(values, places, strict=True):
        colour = tuple(int(part) for part in colours[value])
        draw.rectangle((left, top + 3, left + 12, top + 15), fill=colour, outline="black")
        draw.text((left + LINE, top + 2), names[value], fill="black", font=font)
    return np.array(image)


def _images(given: list[Path]) -> dict[str, Path]:
    """All images by the names of their masks; those of a folder in the order of their names."""
    images: dict[str, Path] = {}
    for path in [image for place in given for image in _images_of(place)]:
        other = images.setdefault(path.stem, path)
        if not other.samefile(path):
            raise UserError(
                f"{other} and {path}: expected different names, as both masks would be "
                f"{path.stem}.png; rename one, or predict them apart"
            )
    return images


def _images_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: not found; give images, or folders of images")
    found = sorted(p for p in path.iterdir() if p.suffix in IMAGE_SUFFIXES and _is_shown(p))
    if not found:
        endings = ", ".join(IMAGE_SUFFIXES)
        raise UserError(f"{path}: no image in this folder; expected names ending in {endings}")
    return found


def _is_shown(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_file()


def _claim(out: Path, classes: tuple[str, ...], images: dict[str, Path]) -> None:
    """Write the table of classes, unless the folder holds anything but masks of these classes.

    So nothing is ever overwritten but what this program wrote.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["value", "class", "colour"])
    colours = class_colours(len(classes))
    for value, name in enumerate(class_names_with_background(classes)):
        writer.writerow([value, name, "#" + colours[value].tobytes().hex()])
    table = out / CLASSES
    is_ours = table.is_file() and table.read_text(encoding="utf-8") == buffer.getvalue()
    if out.is_dir() and not is_ours and any(not p.name.startswith(".") for p in out.iterdir()):
        raise UserError(
            f"{out}: expected a new or empty folder, or one with masks of the same classes; "
            "choose another --out"
        )
    made = [folder / f"{name}.png" for name in images for folder in (out, out / "overlays")]
    taken = {target.resolve() for target in made if target.exists()}
    for path in images.values():
        if path.resolve() in taken:
            raise UserError(f"{path}: would be overwritten by a mask; choose another --out")
    write_text(table, buffer.getvalue())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recam.predict",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE_OR_FOLDER",
        help="images, and folders whose images are all taken (not those of folders in them)",
    )
    add("--checkpoint", type=Path, required=True, help="trained segmenter: a segmenter.pt")
    add("--out", type=Path, default=Path("masks"), help="folder for the masks (default: masks)")
    add("--precision", choices=("auto", *BITS), default="auto", help="as in params.yaml")
    add("--device", type=_device, default="auto", help="auto (a GPU if any), cpu, cuda or cuda:1")
    add("--threads", type=_count, help="cores of a CPU to use (default: all)")
    add("--batch_size", type=_count, default=4, help="images of one size at a time (default: 4)")
    add(
        "--scales",
        type=_scale,
        nargs="+",
        default=[1.0],
        help="sizes at which the network sees an image, each also mirrored (default: 1, which is "
        "fast; those of evaluate.scales give the masks that the experiment scores)",
    )
    add(
        "--longest_side",
        type=_count,
        help="pixels; longer images are shrunk to it for the network, and their masks enlarged "
        "(default: as the segmenter was trained, train_seg.resize_max)",
    )
    add("--crf", action="store_true", help="fit masks to the colours by a dense CRF: slower")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text}")
    return int(text)


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"expected auto, cpu, cuda or cuda:1, got {text}")
    return text


def _scale(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
