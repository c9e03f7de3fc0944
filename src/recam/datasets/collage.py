"""Cut-out photographs in a scene: scaling, mirroring, rotation, placement and painting.

A cut-out is a Pillow image of mode RGBa: colours premultiplied with alpha, so that resampling
keeps its edges clean.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32
from PIL import Image, UnidentifiedImageError

from recam.core.errors import UserError

TURN = 25  # maximum rotation in degrees, since photographs have an upright direction
LARGEST_ENLARGEMENT = 2.0  # some photographs are 50 pixels wide; blur must not reveal the class
LONGEST_SIDE = 0.9  # of the scene, before rotation, so that long objects fit

BinaryMask = Bool[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """An object on an empty canvas, with premultiplied colours and alpha in [0, 1]."""

    colours: Float32[np.ndarray, "H W 3"]
    alpha: Float32[np.ndarray, "H W"]
    area: int  # of the whole object in pixels, including parts beyond the border

    @property
    def region(self) -> BinaryMask:
        """Pixels with an alpha of at least 0.5."""
        return self.alpha >= 0.5


def read_cutout(file: Path, *, longest_side: int) -> Image.Image:
    """Read a photograph with alpha, cropped to its object, at most ``longest_side`` pixels long.

    Raises UserError for an unreadable or fully transparent file.
    """
    try:
        with Image.open(file) as image:
            cutout = image.convert("RGBA").convert("RGBa")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{file}: expected a readable photograph, got {error}; replace it"
        ) from error
    cutout.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    box = cutout.getchannel("a").point([0] * 128 + [255] * 128).getbbox()
    if box is None:
        raise UserError(f"{file}: expected a visible object, got full transparency; replace it")
    return cutout.crop(box)


def place(generator: np.random.Generator, cutout: Image.Image, *, size: int, width: float) -> Layer:
    """Place a cut-out at a random position and angle on a canvas of ``size`` x ``size`` pixels.

    ``width`` in pixels is the side of a square of the object's area; it is reduced for long and
    for small cut-outs.
    """
    if generator.random() < 0.5:
        cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    cutout = _scaled(cutout, size=size, width=width)
    angle = generator.uniform(-TURN, TURN)
    cutout = cutout.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    centre = generator.uniform(0.1, 0.9, 2) * size
    corner = np.round(centre - np.array(cutout.size) / 2).astype(int)
    canvas = Image.new("RGBa", (size, size))
    canvas.paste(cutout, (int(corner[0]), int(corner[1])))
    pixels = np.asarray(canvas, dtype=np.float32) / 255
    light = generator.uniform(0.85, 1.15) * generator.uniform(0.95, 1.05, 3)
    return Layer(
        colours=np.minimum(pixels[..., :3] * light.astype(np.float32), pixels[..., 3:]),
        alpha=pixels[..., 3],
        area=_area(cutout),
    )


def paint(image: Float[np.ndarray, "H W 3"], layer: Layer) -> None:
    """Blend a layer over an image in [0, 1], in place."""
    image *= 1 - layer.alpha[..., None]
    image += layer.colours


def _scaled(cutout: Image.Image, *, size: int, width: float) -> Image.Image:
    longest = LONGEST_SIDE * size / max(cutout.size)
    scale = min(width / np.sqrt(_area(cutout)), longest, LARGEST_ENLARGEMENT)
    columns, rows = (max(1, round(side * scale)) for side in cutout.size)
    scaled = cutout.resize((columns, rows), Image.Resampling.LANCZOS)
    return scaled.crop(
        (-2, -2, columns + 2, rows + 2)
    )  # a transparent rim, so that rotated edges blend


def _area(cutout: Image.Image) -> int:
    return sum(cutout.getchannel("a").histogram()[128:])
