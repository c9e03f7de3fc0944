"""Cut-out photographs as parts of a scene: scaled, mirrored, turned, placed and painted.

A cut-out is a Pillow image of mode RGBa, whose colours are premultiplied with their alpha, so that
its edges stay clean however it is resampled.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32
from PIL import Image, UnidentifiedImageError

from recam.core.errors import UserError

TURN = 25  # degrees; photographs have an upright, so objects lean but do not lie
LARGEST_ENLARGEMENT = 2.0  # some photographs are 50 pixels wide, and blur must not tell the class
LONGEST_SIDE = 0.9  # of the scene, before turning, so that long things can be seen whole

Region = Bool[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One object on an empty canvas; colours are premultiplied with alpha, both in [0, 1]."""

    colours: Float32[np.ndarray, "H W 3"]
    alpha: Float32[np.ndarray, "H W"]
    area: int  # of the whole object in pixels, with what the border cuts off

    @property
    def region(self) -> Region:
        """Where the object covers at least half of a pixel."""
        return self.alpha >= 0.5


def read_cutout(file: Path, *, longest_side: int) -> Image.Image:
    """Read a photograph with alpha, cropped to what it shows, at most ``longest_side`` pixels long.

    Raises UserError, naming the file, where it cannot be read or shows nothing.
    """
    try:
        with Image.open(file) as image:
            cutout = image.convert("RGBA").convert("RGBa")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{file}: not a readable photograph ({error}); get it anew") from error
    cutout.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    box = cutout.getchannel("a").point([0] * 128 + [255] * 128).getbbox()
    if box is None:
        raise UserError(f"{file}: expected a photograph with alpha, but it shows nothing")
    return cutout.crop(box)


def place(generator: np.random.Generator, cutout: Image.Image, *, size: int, width: float) -> Layer:
    """Put a cut-out at a random place and angle on a canvas of ``size`` x ``size`` pixels.

    ``width`` is that of a square of the object's area, in pixels; long or tiny cut-outs get less.
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
    """Lay an object over an image, in place."""
    image *= 1 - layer.alpha[..., None]
    image += layer.colours


def _scaled(cutout: Image.Image, *, size: int, width: float) -> Image.Image:
    longest = LONGEST_SIDE * size / max(cutout.size)
    scale = min(width / np.sqrt(_area(cutout)), longest, LARGEST_ENLARGEMENT)
    columns, rows = (max(1, round(side * scale)) for side in cutout.size)
    scaled = cutout.resize((columns, rows), Image.Resampling.LANCZOS)
    return scaled.crop((-2, -2, columns + 2, rows + 2))  # a clear rim, so that turned edges blend


def _area(cutout: Image.Image) -> int:
    return sum(cutout.getchannel("a").histogram()[128:])
