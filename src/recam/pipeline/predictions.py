"""Masks that a segmenter predicts for a split, one palette PNG an image."""

from functools import partial
from pathlib import Path

import torch

from recam.io.images import write_mask
from recam.io.resumable import ResumableFolder
from recam.models.segmenters import Segmenter
from recam.pipeline.inference import positions_left
from recam.pipeline.segmentation import masks_of_images
from recam.refine.crf_masks import Crf
from recam.runtime.progress import progress
from recam.runtime.threads import writing_behind


def write_predictions(
    model: Segmenter,
    images: dict[str, Path],
    folder: ResumableFolder,
    *,
    num_classes: int,
    scales: tuple[float, ...],
    batch_size: int,
    crf: Crf | None,
    precision: torch.dtype,
) -> None:
    """Write the masks of this rank's batches of ``images`` (id -> file), of the part of ``folder``.

    Batches that it has are left out.
    """
    paths, names = list(images.values()), [f"{image_id}.png" for image_id in images]
    left = positions_left(paths, names, folder, batch_size=batch_size)
    masks = masks_of_images(
        model,
        [paths[position] for position in left],
        scales=scales,
        batch_size=batch_size,
        crf=crf,
        precision=precision,
    )
    with writing_behind() as write:
        for position, mask in progress(masks, total=len(left), what="masks", unit="image"):
            path = folder.partial / names[left[position]]
            write(partial(write_mask, path, mask, num_classes=num_classes))
