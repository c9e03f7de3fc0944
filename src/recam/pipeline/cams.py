"""Cams of a split: maps of the present classes, normalised to a peak of 1, one file an image."""

from functools import partial

import numpy as np
import torch

from recam.data.layout import WeakSplit
from recam.io.resumable import ResumableFolder
from recam.io.scores import ScoredClasses, save_scores
from recam.methods.cam import peak_normalised
from recam.methods.variant import Readout
from recam.models.backbones import Backbone
from recam.pipeline.inference import maps_of_images, positions_left
from recam.pipeline.published_geometry import published_maps_of_images
from recam.runtime.progress import progress
from recam.runtime.threads import writing_behind

# Grids stretched to the image, or placed as in the authors' code.
GEOMETRIES = {"image": maps_of_images, "published": published_maps_of_images}


def write_cams(
    readout: Readout,
    backbone: Backbone,
    split: WeakSplit,
    folder: ResumableFolder,
    *,
    scales: tuple[float, ...],
    batch_size: int,
    precision: torch.dtype,
    geometry: str = "image",
) -> None:
    """Write the cams of this rank's batches of the part of ``folder``; those it has are left out.

    ``readout`` takes images normalised by ``backbone`` and computes on the device of its weights.
    ``geometry`` is a key of ``GEOMETRIES``.
    """
    device = next(backbone.parameters()).device
    names = [f"{image_id}.npz" for image_id in split.ids]
    left = positions_left(split.images, names, folder, batch_size=batch_size)
    all_maps = GEOMETRIES[geometry](
        readout,
        [split.images[i] for i in left],
        split.labels[left],
        scales=scales,
        batch_size=batch_size,
        normalise=backbone.normalise,
        device=device,
        precision=precision,
    )
    with writing_behind() as write:
        for position, of_image in progress(all_maps, total=len(left), what="cams", unit="image"):
            index = left[position]
            present = np.flatnonzero(split.labels[index])
            cams = peak_normalised(of_image[torch.from_numpy(present).to(device)]).cpu().numpy()
            scored = ScoredClasses(scores=cams, classes=present)
            write(partial(save_scores, folder.partial / names[index], scored))
