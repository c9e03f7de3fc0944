"""Upright, downscaled copies of images, and of their masks, that cannot be used in place."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from recam.core.errors import UserError
from recam.data.boxes import BoxesOfImage
from recam.data.layout import IMAGES, MASKS
from recam.io.atomic import replacing
from recam.io.images import image_size, read_mask, upright_size, write_mask
from recam.io.opening import UPRIGHT, opened, orientation
from recam.io.rgb import is_deep, rgb_of, turned_upright
from recam.runtime.progress import progress

SMOOTH = {"RGB", "L"}  # modes that are shrunk before they become RGB
UNLIMITED = 1_000_000  # pixels, longer than any image

Files = dict[str, Path]
Size = tuple[int, int]  # width, height


def fitting(
    images: Mapping[str, Path], masks: Mapping[str, Path], *, target: Path, longest_side: int | None
) -> tuple[Files, Files]:
    """The files by id, with copies in ``target`` in place of rotated and of too large images.

    Copies are upright, at most ``longest_side`` pixels long (None: any length), and in PNG. A mask
    is copied with its image, by its nearest pixels.
    """
    images, masks = dict(images), dict(masks)
    todo = progress(list(images), total=len(images), what="prepare images", unit="image")
    for image_id in todo:
        name = f"{image_id}.png"
        copy, mask = target / IMAGES / name, masks.get(image_id)
        sizes = _copied(images[image_id], copy, longest_side=longest_side or UNLIMITED)
        if sizes is None:
            continue
        images[image_id] = copy
        if mask and _resized(mask, target / MASKS / name, *sizes):
            masks[image_id] = target / MASKS / name
    return images, masks


def needs_copy(image: Image.Image, *, longest_side: int) -> bool:
    """Whether an opened image is rotated by EXIF or longer than ``longest_side`` pixels."""
    return orientation(image) != UPRIGHT or max(image.size) > longest_side


def rescaled_boxes(boxes: BoxesOfImage, *, image: Path, copy: Path) -> BoxesOfImage:
    """The boxes of an upright image, in pixels of its copy from ``fitting``."""
    (height, width), (new_height, new_width) = image_size(image), image_size(copy)
    factors = np.tile([new_width / width, new_height / height], 2)
    return {class_index: of_class * factors for class_index, of_class in boxes.items()}


def _copied(file: Path, copy: Path, *, longest_side: int) -> tuple[Size, Size] | None:
    """Write an upright, downscaled copy as PNG; return its upright sizes before and after.

    Returns None for an image that can be used in place, and for an invalid one, which is left to
    ``recam.checks``.
    """
    try:
        with opened(file) as image:
            if not needs_copy(image, longest_side=longest_side):
                return None
            whole, turned = upright_size(image), orientation(image)
            upright = turned_upright(_shrunk(image, file, longest_side), turned=turned)
    except UserError:
        return None
    with replacing(copy) as temporary:
        upright.save(temporary, format="PNG", exif=b"")
    return whole, upright.size


def _shrunk(image: Image.Image, file: Path, longest_side: int) -> Image.Image:
    """The image as RGB, at most ``longest_side`` pixels long."""
    mode = image.mode
    if image.mode not in SMOOTH or is_deep(image) or image.has_transparency_data:
        image = rgb_of(image, file)  # shrunk as colours, not as indices of a palette
    image.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
    colours = image.convert("RGB")
    if mode != "RGB":  # a profile of other colours
        colours.info.pop("icc_profile", None)
    return colours


def _resized(mask: Path, copy: Path, whole: Size, small: Size) -> bool:
    """Write a copy of a mask for its image's copy; false for a mask of another size."""
    try:
        ids = Image.fromarray(read_mask(mask))
    except UserError:
        return False
    if ids.size != whole:
        return False
    write_mask(copy, np.array(ids.resize(small, Image.Resampling.NEAREST)))
    return True
