"""Grey maps of saliency from a trained CCAM, one PNG for each image of a split."""

import logging
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from recam.data.layout import WeakSplit
from recam.io.images import write_saliency
from recam.io.resumable import ResumableFolder
from recam.methods.ccam import Ccam, shows_background
from recam.methods.variant import both_views
from recam.models.backbones import backbone_of
from recam.pipeline.inference import maps_of_images
from recam.pipeline.signs import evenly_spaced
from recam.runtime.distributed import shard
from recam.runtime.progress import progress
from recam.runtime.threads import writing_behind

JUDGED = 200  # images that decide which region is the background
GREY = 255  # of the highest saliency

logger = logging.getLogger(__name__)


def write_salient_maps(
    model: Ccam,
    split: WeakSplit,
    folder: ResumableFolder,
    *,
    batch_size: int,
    precision: torch.dtype,
) -> None:
    """Write the maps of this rank's shard of ``split``; images that ``folder`` has are left out.

    A map has the size of its image; 0 to 255 are the probabilities 0 to 1 of an object, the mean
    over the image and its mirror image.
    """
    maps_of = partial(_maps, model.eval(), split, batch_size=batch_size, precision=precision)
    judged = [split.ids.index(image_id) for image_id in evenly_spaced(split.ids, JUDGED)]
    inverted = _is_background([found for _, found in maps_of(judged)])
    logger.info("objects are the region %s", "1 - P" if inverted else "P")
    left = [i for i in shard(range(len(split.ids))) if not folder.has(f"{split.ids[i]}.png")]
    with writing_behind() as write:
        found = maps_of(left)
        for index, regions in progress(found, total=len(left), what="saliency maps", unit="image"):
            objects = 1 - regions if inverted else regions
            grey = np.rint(GREY * objects.clamp(0, 1).cpu().numpy()).astype(np.uint8)
            write(partial(write_saliency, folder.partial / f"{split.ids[index]}.png", grey))


def _maps(
    model: Ccam, split: WeakSplit, indices: list[int], *, batch_size: int, precision: torch.dtype
) -> Iterator[tuple[int, Tensor]]:
    """The index of each image in the split, and its P (H, W)."""
    found = maps_of_images(
        both_views(model.maps),
        [split.images[i] for i in indices],
        np.ones((len(indices), 1), bool),
        scales=(1.0,),
        batch_size=batch_size,
        normalise=backbone_of(model).normalise,
        device=next(model.parameters()).device,
        precision=precision,
    )
    for position, maps in found:
        yield indices[position], maps[0]


def _is_background(maps: list[Tensor]) -> bool:
    """The decision of most images: they may differ in size."""
    votes = [bool(shows_background(of_image)) for of_image in maps]
    return 2 * sum(votes) > len(votes)
