"""Segment your own images with a trained segmenter: ``python -m recam.predict --help``."""

from recam.runtime.loading import begin_loading

if __name__ == "__main__":
    begin_loading()  # the imports take seconds

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
from recam.io.images import read_image, write_image, write_mask
from recam.io.opening import IMAGE_SUFFIXES, has_image_suffix, is_hidden
from recam.pipeline.inference import shrunk_size
from recam.pipeline.segmentation import masks_of_images
from recam.refine.crf_masks import Crf
from recam.report.grids import shown_mask
from recam.runtime.commands import run_command
from recam.runtime.devices import make_device
from recam.runtime.precision import BITS, make_precision
from recam.runtime.progress import progress
from recam.runtime.threads import writing_behind
from recam.steps.crf import crf_of
from recam.steps.other_images import notes_on
from recam.steps.params import check
from recam.steps.yaml_files import read_params

OVERLAY_SIDE = 1024  # longest side of an overlay, in pixels
LINE, MARGIN = 20, 6  # of the legend, in pixels
CLASSES = "classes.csv"
DESCRIPTION = """\
Write a mask for every image: OUT/NAME.png, a palette PNG whose pixel values are classes.

OUT/classes.csv lists the value, name and colour of every class; OUT/overlays/NAME.png shows the
mask over the image. A mask has the size of the upright image: EXIF rotation is applied, as in
training. Images of 16 bits a channel, with transparency or with several frames are converted, with
a line for each kind. Unreadable images are listed at the end, and the exit code is then 1."""

logger = logging.getLogger("recam.predict")  # __name__ is __main__ under python -m


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 after an error, or 130 after Ctrl-C."""
    args = _parser().parse_args(argv)
    return run_command(lambda: _predict(args), stopped=f"the masks in {args.out} are complete")


def _predict(args: argparse.Namespace) -> int:
    images = _images(args.images)
    crf = _crf_of(args.crf) if args.crf else None
    model, model_config = load_segmenter(args.checkpoint)
    device = make_device(args.device, threads=args.threads)
    _claim(args.out, model_config.classes, images)
    errors: list[UserError] = []
    paths = list(images.values())
    model.to(device)
    masks = masks_of_images(
        model,
        paths,
        scales=tuple(args.scales),
        batch_size=args.batch_size,
        precision=make_precision(args.precision, device),
        crf=crf,
        longest_side=args.longest_side or model_config.longest_side or None,
        errors=errors,
    )
    with writing_behind() as write:
        for position, mask in progress(masks, total=len(paths), what="masks", unit="image"):
            write(partial(_save, args.out, paths[position], mask, model_config.classes))
    for error in errors:
        logger.error("%s", error)
    for note in notes_on(args.images, paths):
        logger.info("note: %s", note)
    made = len(paths) - len(errors)
    logger.info("%d of %d masks written to %s", made, len(paths), args.out)
    return 1 if errors else 0


def _crf_of(params: Path) -> Crf:
    """The CRF of section ``evaluate`` in a params.yaml."""
    file = read_params(params)
    return crf_of(check(file.values, [file]).evaluate)


def _save(
    folder: Path, image: Path, mask: UInt8[np.ndarray, "H W"], classes: tuple[str, ...]
) -> None:
    name = f"{image.stem}.png"
    write_image(folder / "overlays" / name, overlay(read_image(image), mask, classes))
    write_mask(folder / name, mask, num_classes=len(classes))


def overlay(
    image: UInt8[np.ndarray, "H W 3"], mask: UInt8[np.ndarray, "H W"], classes: tuple[str, ...]
) -> UInt8[np.ndarray, "h w 3"]:
    """The mask in its colours over the grey image, with a legend of its classes below.

    Images longer than 1024 pixels are shrunk to that; the legend is as wide as the image.
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
    """A colour patch and the name of every value, black on white, in lines of ``width`` pixels."""
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
    """The images by the stem of their mask; those of a folder in the order of their names."""
    images: dict[str, Path] = {}
    for path in [image for place in given for image in _images_of(place)]:
        other = images.setdefault(path.stem, path)
        if not other.samefile(path):
            raise UserError(
                f"{other} and {path}: expected different names, since both masks would be "
                f"{path.stem}.png; rename one, or predict them separately"
            )
    return images


def _images_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: not found; pass images or folders of images")
    found = sorted(p for p in path.iterdir() if has_image_suffix(p.name) and _is_shown(p))
    if not found:
        endings = ", ".join(IMAGE_SUFFIXES)
        raise UserError(
            f"{path}: expected images ending in {endings}, got none; pass another folder"
        )
    return found


def _is_shown(path: Path) -> bool:
    return not is_hidden(path.name) and path.is_file()


def _claim(out: Path, classes: tuple[str, ...], images: dict[str, Path]) -> None:
    """Write the table of classes, unless the folder holds other files than masks of these classes.

    Only files of this program are ever overwritten.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["value", "class", "colour"])
    colours = class_colours(len(classes))
    for value, name in enumerate(class_names_with_background(classes)):
        writer.writerow([value, name, "#" + colours[value].tobytes().hex()])
    table = out / CLASSES
    is_same = table.is_file() and table.read_text(encoding="utf-8") == buffer.getvalue()
    if out.is_dir() and not is_same and any(not p.name.startswith(".") for p in out.iterdir()):
        raise UserError(
            f"{out}: expected a new or empty folder, or one with masks of the same classes; "
            "choose another --out"
        )
    made = [folder / f"{name}.png" for name in images for folder in (out, out / "overlays")]
    taken = {target.resolve() for target in made if target.exists()}
    for path in images.values():
        if path.resolve() in taken:
            raise UserError(f"{path}: a mask would overwrite this image; choose another --out")
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
        help="images and folders of images (subfolders are not searched)",
    )
    add("--checkpoint", type=Path, required=True, help="trained segmenter, segmenter.pt")
    add("--out", type=Path, default=Path("masks"), help="folder for the masks (default: masks)")
    _add_numbers(parser)
    return parser


def _add_numbers(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--precision",
        choices=("auto", *BITS),
        default="auto",
        help="auto: bf16 on GPUs that support it, else fp32",
    )
    add(
        "--device",
        type=_device,
        default="auto",
        help="auto (a GPU if available), cpu, cuda or cuda:1",
    )
    add("--threads", type=_count, help="CPU threads (default: all cores)")
    size = "images in a batch, all of one size (default: 4)"
    add("--batch_size", type=_count, default=4, help=size)
    add(
        "--scales",
        type=_scale,
        nargs="+",
        default=[1.0],
        help="scales of the image, each averaged with its mirror image (default: 1, the fastest; "
        "evaluate.scales of params.yaml gives the masks of the experiment)",
    )
    add(
        "--longest_side",
        type=_count,
        help="in pixels; longer images are shrunk for the network and their masks enlarged "
        "(default: train_seg.resize_max, the longest side in training)",
    )
    add(
        "--crf",
        type=Path,
        metavar="PARAMS",
        help="refine masks by a dense CRF, which is slower, with the numbers evaluate.crf_... of "
        "this params.yaml",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
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
