"""Results of trained networks on one image: masks with probabilities, and CAMs."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor

from recam.core.labels import display_colours, top_class
from recam.core.overlays import shown_maps
from recam.io.images import read_image, write_mask
from recam.models.segmenters import resized
from recam.pipeline.inference import Source
from recam.pipeline.overlays import overlay


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """The mask of one image. ``classes`` are the N names of its values, background first."""

    mask: UInt8[np.ndarray, "H W"]
    classes: tuple[str, ...]
    image: Source
    grid: Float32[Tensor, "N h w"]  # probabilities at the size that the network has seen

    def __repr__(self) -> str:
        height, width = self.mask.shape
        found = [
            self.classes[value] for value in np.unique(self.mask) if 0 < value < len(self.classes)
        ]
        return (
            f"Prediction({width} x {height} pixels, with {', '.join(found) or 'background only'})"
        )

    @property
    def probabilities(self) -> Float32[np.ndarray, "N H W"]:
        """The probabilities of background and classes at the size of the mask; they sum to 1.

        They are enlarged, bilinearly, when they are asked for: 4 bytes a pixel and class.
        """
        return resized(self.grid[None], self.mask.shape)[0].numpy()

    def save(self, path: str | PathLike[str]) -> None:
        """Write the mask as a palette PNG, atomically: the file of ``recam predict``."""
        write_mask(Path(path), self.mask, num_classes=len(self.classes) - 1)

    def overlay(self) -> Image.Image:
        """The mask in its colours over the grey image, at most 1024 pixels long, with a legend."""
        return Image.fromarray(overlay(pixels_of(self.image), self.mask, self.classes[1:]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageMaps:
    """CAMs of one image: n maps of the named ``labels``, each in [0, 1] with a peak of 1.

    ``probabilities`` are those of the labels, for the image as a whole, from sigmoids.
    """

    labels: tuple[str, ...]
    maps: Float32[np.ndarray, "n H W"]
    probabilities: Float32[np.ndarray, "n"]
    image: Source

    def __repr__(self) -> str:
        height, width = self.maps.shape[1:]
        return f"ImageMaps({width} x {height} pixels, of {', '.join(self.labels)})"

    def overlay(self) -> Image.Image:
        """Each pixel in the colour of its top label, as opaque as its map, over the grey image."""
        pixels = pixels_of(self.image)
        ids, best = top_class(self.maps, np.arange(len(self.labels)))
        return Image.fromarray(shown_maps(pixels, ids, best, display_colours(len(self.labels))))


def pixels_of(source: Source) -> UInt8[np.ndarray, "H W 3"]:
    """The upright pixels of an image. Raises UserError for a file that cannot be read."""
    return read_image(source) if isinstance(source, Path) else source
