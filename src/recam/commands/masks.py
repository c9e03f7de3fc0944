"""The work of ``recam predict``: masks, overlays and the table of classes of a folder."""

import argparse
import csv
import io
import logging
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from recam.catalogue.segmenters import load_segmenter
from recam.core.errors import UserError
from recam.core.labels import class_colours, class_names_with_background
from recam.exchange.cvat import write_default, write_labelmap
from recam.exchange.masks import OVERLAYS
from recam.io.atomic import write_text
from recam.io.checkpoints import ModelConfig
from recam.io.images import read_image, write_image, write_mask
from recam.io.listing import Listing, notes_on
from recam.pipeline.overlays import overlay
from recam.pipeline.prediction_numbers import FILE, PredictionNumbers, numbers_beside
from recam.pipeline.segmentation import masks_of_images
from recam.refine.crf_masks import Crf
from recam.runtime.devices import make_device
from recam.runtime.precision import make_precision
from recam.runtime.progress import progress
from recam.runtime.threads import writing_behind
from recam.steps.crf import crf_of
from recam.steps.params import check
from recam.steps.yaml_files import read_params

CLASSES = "classes.csv"

logger = logging.getLogger(__name__)


def write_masks(args: argparse.Namespace, listing: Listing) -> int:
    """Write the masks of ``listing`` into ``args.out``; return 1 if an image could not be read."""
    crf = _crf_of(args.crf) if args.crf else None
    model, model_config = load_segmenter(args.checkpoint)
    numbers = numbers_beside(args.checkpoint)
    device = make_device(args.device, threads=args.threads)
    _claim(args.out, model_config.classes, listing.images)
    errors: list[UserError] = []
    names, paths = list(listing.images), list(listing.images.values())
    masks = masks_of_images(
        model.to(device),
        paths,
        scales=_scales(args, numbers),
        batch_size=args.batch_size,
        precision=make_precision(args.precision, device),
        crf=crf or (numbers.crf if numbers else None),
        longest_side=args.longest_side or _longest_side(model_config, numbers),
        errors=errors,
    )
    with writing_behind() as write:
        for position, mask in progress(masks, total=len(paths), what="masks", unit="image"):
            file = f"{names[position]}.png"
            write(partial(_save, args.out, file, paths[position], mask, model_config.classes))
    write_labelmap(args.out, model_config.classes)
    write_default(args.out, _masks_in(args.out))
    return _report(args.out, listing, errors)


def _masks_in(out: Path) -> list[str]:
    """The names of all masks in a folder, also those of earlier runs, without their endings."""
    files = sorted(path.relative_to(out) for path in out.rglob("*.png"))
    return [str(file.with_suffix("")) for file in files if file.parts[0] != OVERLAYS]


def _report(out: Path, listing: Listing, errors: list[UserError]) -> int:
    """Log unreadable images, what was left out and converted, and the count; the exit code."""
    for error in errors:
        logger.error("%s", error)
    for note in notes_on(listing):
        logger.info("note: %s", note)
    count = len(listing.images)
    failed = f"; {len(errors)} images could not be read" if errors else ""
    logger.info("%d of %d masks written to %s%s", count - len(errors), count, out, failed)
    return 1 if errors else 0


def _scales(args: argparse.Namespace, numbers: PredictionNumbers | None) -> tuple[float, ...]:
    if args.scales:
        return tuple(args.scales)
    if numbers:
        return numbers.scales
    logger.info(
        "note: one scale, 1.0, is used, as no %s lies beside %s; copy it from the folder of the "
        "experiment, where evaluate writes it, or set --scales",
        FILE,
        args.checkpoint,
    )
    return (1.0,)


def _longest_side(model_config: ModelConfig, numbers: PredictionNumbers | None) -> int | None:
    """That of the images that trained or were scored; None if it is not known."""
    return max(model_config.longest_side, numbers.longest_side if numbers else 0) or None


def _crf_of(params: Path) -> Crf:
    """The CRF of section ``evaluate`` in a params.yaml."""
    file = read_params(params)
    return crf_of(check(file.values, [file]).evaluate)


def _save(
    out: Path, file: str, image: Path, mask: UInt8[np.ndarray, "H W"], classes: tuple[str, ...]
) -> None:
    write_image(out / OVERLAYS / file, overlay(read_image(image), mask, classes))
    write_mask(out / file, mask, num_classes=len(classes))


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
    _check_names(images)
    table = out / CLASSES
    is_same = table.is_file() and table.read_text(encoding="utf-8") == buffer.getvalue()
    if out.is_dir() and not is_same and any(not p.name.startswith(".") for p in out.iterdir()):
        raise UserError(
            f"{out}: expected a new or empty folder, or one with masks of the same classes; "
            "choose another --out"
        )
    made = [folder / f"{name}.png" for name in images for folder in (out, out / OVERLAYS)]
    taken = {target.resolve() for target in made if target.exists()}
    for path in images.values():
        if path.resolve() in taken:
            raise UserError(f"{path}: a mask would overwrite this image; choose another --out")
    write_text(table, buffer.getvalue())


def _check_names(images: dict[str, Path]) -> None:
    """Raise UserError for a mask in the folder of overlays."""
    inside = [path for name, path in images.items() if Path(name).parts[:-1][:1] == (OVERLAYS,)]
    if inside:
        raise UserError(
            f"{inside[0]}: masks would stand in {OVERLAYS}/, which holds the overlays; rename the "
            "sub-folder, or predict it separately"
        )
