"""Random resizing, flipping, cropping and recolouring of one training image and what belongs to it.

The random parameters are drawn once for an image; its mask and its saliency map follow it.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float16, UInt8
from PIL import Image, ImageEnhance
from torch import Tensor

from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.io.images import resized

WHITE = 255  # grey level of the highest saliency
UNKNOWN = -1.0  # saliency of padding, which shows neither an object nor its surroundings

ResizeUnit = Literal["pixels", "percent"]  # of the longer side, or of the image's own size


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Ranges of the augmentation: random size, flip, crop and colours; the aspect ratio is kept.

    The authors' code keeps the colours (``colour`` 0). A resized image smaller than the crop is
    padded; padding is ignored in masks. Raises UserError if ``resize_min`` exceeds ``resize_max``.
    """

    resize_min: int  # minimum, in ``resize_unit``
    resize_max: int  # maximum
    crop: int  # side of the square crop in pixels
    mean: tuple[float, float, float]  # per channel, of pixels in [0, 1]
    std: tuple[float, float, float]
    colour: float = 0.0  # largest relative change of brightness, contrast and saturation
    resize_unit: ResizeUnit = "pixels"

    def __post_init__(self) -> None:
        if self.resize_min > self.resize_max:
            raise UserError(
                f"resize_min: expected at most resize_max ({self.resize_max}), got "
                f"{self.resize_min}; lower resize_min or raise resize_max"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Random parameters of one augmented image. Sizes are (height, width) in pixels."""

    stored: tuple[int, int]  # size of the image file
    size: tuple[int, int]  # after resizing
    mirrored: bool
    seen: tuple[slice, slice]  # cropped rows and columns of the resized image
    place: tuple[slice, slice]  # their rows and columns in the crop
    colours: tuple[float, float, float] | None = None  # factors; see ``recoloured``


def draw_view(
    stored: tuple[int, int], augmentation: Augmentation, generator: np.random.Generator
) -> View:
    """Draw the scale, the flip and the crop for an image of (height, width) ``stored``.

    In pixels the longer side is drawn, a whole number; in percent the scale itself.
    """
    low, high = augmentation.resize_min, augmentation.resize_max
    if augmentation.resize_unit == "pixels":
        scale = generator.integers(low, high, endpoint=True) / max(stored)
    else:
        scale = generator.uniform(low, high) / 100
    height, width = (max(1, round(length * scale)) for length in stored)
    mirrored = bool(generator.random() < 0.5)
    rows, columns = (_overlap(n, augmentation.crop, generator) for n in (height, width))
    change = augmentation.colour  # drawn last, so that 0 leaves the other draws as they are
    factors = generator.uniform(1 - change, 1 + change, 3) if change else None
    return View(
        stored=stored,
        size=(height, width),
        mirrored=mirrored,
        seen=(rows[0], columns[0]),
        place=(rows[1], columns[1]),
        colours=None if factors is None else (factors[0], factors[1], factors[2]),
    )


def draw_grid_view(
    stored: tuple[int, int],
    augmentation: Augmentation,
    generator: np.random.Generator,
    *,
    stride: int,
) -> View:
    """Draw a view whose size, crop and place are multiples of ``stride`` pixels.

    The longer side has one of few lengths, before it is rounded to the stride: see
    ``longer_sides``. So an image has few different views before it is cropped. The crop of
    ``augmentation`` is a multiple of the stride (``on_grid``).
    """
    sides = longer_sides(augmentation.resize_min, augmentation.resize_max)
    scale = sides[generator.integers(len(sides))] / max(stored)
    grid = [max(1, round(length * scale / stride)) for length in stored]
    mirrored = bool(generator.random() < 0.5)
    rows, columns = (
        [_times(part, stride) for part in _overlap(n, augmentation.crop // stride, generator)]
        for n in grid
    )
    return View(
        stored=stored,
        size=(grid[0] * stride, grid[1] * stride),
        mirrored=mirrored,
        seen=(rows[0], columns[0]),
        place=(rows[1], columns[1]),
    )


def longer_sides(low: int, high: int) -> list[int]:
    """Three lengths in pixels, evenly spaced from ``low`` to ``high``; one if these are equal."""
    return sorted({low, round((low + high) / 2), high})


def on_grid(augmentation: Augmentation, *, stride: int) -> Augmentation:
    """The augmentation with its crop rounded up to a multiple of ``stride`` pixels."""
    return replace(augmentation, crop=math.ceil(augmentation.crop / stride) * stride)


def whole_image(image: UInt8[np.ndarray, "h w 3"], view: View) -> UInt8[np.ndarray, "H W 3"]:
    """The image of a view before it is cropped: resized and mirrored."""
    pixels = resized(image, view.size, stored=view.stored)
    return np.ascontiguousarray(pixels[:, :: -1 if view.mirrored else 1])


def grid_crop(
    features: Float16[np.ndarray, "C h w"], view: View, augmentation: Augmentation, *, stride: int
) -> Float16[Tensor, "C n n"]:
    """The cropped cells of a view's features; 0 in the padding."""
    cells = augmentation.crop // stride
    crop = np.zeros((len(features), cells, cells), np.float16)
    seen, place = (tuple(_over(part, stride) for part in cut) for cut in (view.seen, view.place))
    crop[:, *place] = features[:, *seen]
    return torch.from_numpy(crop)


def augment(
    image: UInt8[np.ndarray, "h w 3"],
    mask: UInt8[np.ndarray, "H W"] | None,
    view: View,
    augmentation: Augmentation,
) -> tuple[Float[Tensor, "3 crop crop"], UInt8[Tensor, "crop crop"]]:
    """Resize, flip and crop an image and its mask alike, and normalise the image.

    Padding is 0 in the normalised image and 255 (ignored) in the mask. ``image`` may be decoded
    smaller than ``view.stored``, the size of ``mask``. Without a mask the second value is all 255.
    """
    crop = augmentation.crop
    step = -1 if view.mirrored else 1  # -1 reads columns from right to left
    pixels = resized(image, view.size, stored=view.stored)
    if view.colours:
        pixels = recoloured(pixels, *view.colours)
    varied = np.zeros((3, crop, crop), np.float32)
    _normalise(pixels[:, ::step][view.seen], augmentation, out=varied[:, *view.place])
    ids = torch.full((crop, crop), IGNORE, dtype=torch.uint8)
    if mask is not None:
        ids = mask_view(mask, view, augmentation)
    return torch.from_numpy(varied), ids


def mask_view(
    mask: UInt8[np.ndarray, "H W"], view: View, augmentation: Augmentation
) -> UInt8[Tensor, "crop crop"]:
    """The ids of a view of a mask: resized to the nearest id, flipped and cropped; 255 outside."""
    height, width = view.size
    step = -1 if view.mirrored else 1
    ids = np.full((augmentation.crop, augmentation.crop), IGNORE, np.uint8)
    chosen = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    ids[view.place] = np.asarray(chosen)[:, ::step][view.seen]
    return torch.from_numpy(ids)


def salient_view(
    saliency: UInt8[np.ndarray, "H W"], view: View, augmentation: Augmentation
) -> Float[Tensor, "crop crop"]:
    """The saliency, 0 to 1, of a view of an image: resized, flipped and cropped as in ``augment``.

    Padding is ``UNKNOWN``. Resizing is bilinear.
    """
    height, width = view.size
    step = -1 if view.mirrored else 1
    varied = np.full((augmentation.crop, augmentation.crop), UNKNOWN, np.float32)
    grey = Image.fromarray(saliency).resize((width, height), Image.Resampling.BILINEAR)
    varied[view.place] = np.asarray(grey, np.float32)[:, ::step][view.seen] / WHITE
    return torch.from_numpy(varied)


def recoloured(
    pixels: UInt8[np.ndarray, "h w 3"], brightness: float, contrast: float, saturation: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Scale an image, then its deviation from the mean, then each pixel's deviation from grey."""
    image = Image.fromarray(pixels)
    for enhance, factor in (
        (ImageEnhance.Brightness, brightness),
        (ImageEnhance.Contrast, contrast),
        (ImageEnhance.Color, saturation),
    ):
        image = enhance(image).enhance(factor)
    return np.asarray(image)


def _normalise(
    pixels: UInt8[np.ndarray, "h w 3"],
    augmentation: Augmentation,
    *,
    out: Float[np.ndarray, "3 h w"],
) -> None:
    """Write (pixels / 255 - mean) / std into ``out``, without a temporary copy."""
    mean, std = (
        np.array(values, np.float32)[:, None, None]
        for values in (augmentation.mean, augmentation.std)
    )
    np.divide(pixels.transpose(2, 0, 1), np.float32(255), out=out)
    out -= mean
    out /= std


def _times(part: slice, stride: int) -> slice:
    return slice(part.start * stride, part.stop * stride)


def _over(part: slice, stride: int) -> slice:
    return slice(part.start // stride, part.stop // stride)


def _overlap(length: int, crop: int, generator: np.random.Generator) -> tuple[slice, slice]:
    """Along one axis, the visible part of the image and its place in the crop."""
    shift = int(generator.integers(min(0, length - crop), max(0, length - crop), endpoint=True))
    start, place = max(shift, 0), max(-shift, 0)
    seen = min(length, crop)
    return slice(start, start + seen), slice(place, place + seen)
