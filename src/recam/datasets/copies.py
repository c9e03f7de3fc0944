"""Upright, downscaled copies of images, and of their masks, that cannot be used in place."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from recam.core.errors import UserError
from recam.data.boxes import BoxesOfImage
from recam.data.layout import IMAGES, MASKS
from recam.io.atomic import replacing
from recam.io.images import DEEP_MODES, UNREADABLE, read_mask, write_mask
from recam.runtime.progress import progress

UPRIGHT, SIDEWAYS = 1, 5  # EXIF orientations: none; from 5 on, width and height are swapped
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


def upright_size(image: Image.Image) -> Size:
    """Width and height of an opened image after its EXIF rotation."""
    turned = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    width, height = image.size
    return (height, width) if turned >= SIDEWAYS else (width, height)


def rescaled_boxes(boxes: BoxesOfImage, *, image: Path, copy: Path) -> BoxesOfImage:
    """The boxes of an upright image, in pixels of its copy from ``fitting``."""
    with Image.open(image) as original, Image.open(copy) as small:
        (width, height), (new_width, new_height) = upright_size(original), small.size
    factors = np.tile([new_width / width, new_height / height], 2)
    return {class_index: of_class * factors for class_index, of_class in boxes.items()}


def _copied(file: Path, copy: Path, *, longest_side: int) -> tuple[Size, Size] | None:
    """Write an upright, downscaled copy as PNG; return its upright sizes before and after.

    Returns None for an image that can be used in place, and for an invalid one, which is left to
    ``recam.checks``.
    """
    try:
        with Image.open(file) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
            whole = upright_size(image)
            is_deep = image.mode.startswith(DEEP_MODES)
            if is_deep or (turned == UPRIGHT and max(whole) <= longest_side):
                return None
            image.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except UNREADABLE:
        return None
    with replacing(copy) as temporary:
        upright.save(temporary, format="PNG", exif=b"")
    return whole, upright.size


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
