"""Saliency maps of the user, checked and linked beside the images of a data set."""

from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from PIL import Image

from recam.core.errors import UserError
from recam.data.layout import IMAGES, SALIENCY
from recam.datasets.collection import link_file
from recam.io.images import image_size, read_saliency, write_saliency
from recam.runtime.progress import progress
from recam.runtime.threads import usable_cores


def link_saliency(root: Path, folder: Path, *, copies: Path, longest_side: int | None) -> None:
    """Link the map ``folder``/<id>.png of each image of the data set ``root`` that has one.

    A map has the size of its image. If images longer than ``longest_side`` pixels were downscaled,
    their maps are downscaled alike into the folder ``copies``. Raises UserError for an unreadable
    map, one that is not 8-bit grey, and one of another size.
    """
    (root / SALIENCY).mkdir(parents=True, exist_ok=True)
    images = sorted(path for path in (root / IMAGES).iterdir() if not path.name.startswith("."))
    maps = {folder / f"{image.stem}.png": image for image in images}
    pairs = [(file, image) for file, image in maps.items() if file.is_file()]
    fit = partial(_fitted, copies=copies, longest_side=longest_side)
    with ThreadPool(usable_cores()) as pool:  # Pillow releases the GIL while it decodes
        fitted = pool.imap(lambda pair: fit(*pair), pairs, chunksize=16)
        for file in progress(fitted, total=len(pairs), what="saliency maps", unit="map"):
            link_file(root / SALIENCY / file.name, file, home=root.parent)


def _fitted(file: Path, image: Path, *, copies: Path, longest_side: int | None) -> Path:
    """The map itself, or its copy of the size of a downscaled image."""
    saliency, size = read_saliency(file), image_size(image)
    if saliency.shape == size:
        return file
    small = Image.fromarray(saliency)
    if longest_side:  # as the image was downscaled
        small.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
    if (small.height, small.width) != size:
        height, width = saliency.shape
        raise UserError(
            f"{file}: is {width}x{height} pixels, its image {size[1]}x{size[0]}; make them the "
            "same size"
        )
    write_saliency(copies / file.name, np.array(small))
    return copies / file.name
