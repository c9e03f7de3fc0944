"""Masks that a segmenter predicts for a split, one palette PNG an image."""

from functools import partial
from pathlib import Path

import torch

from recam.io.images import write_mask
from recam.io.resumable import ResumableFolder
from recam.models.segmenters import Segmenter
from recam.pipeline.inference import positions_of_equal_size
from recam.pipeline.segmentation import masks_of_images
from recam.refine.crf_masks import Crf
from recam.runtime.distributed import batches_left
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
    ids = list(images)
    batches = batches_left(
        range(len(ids)),
        lambda _: positions_of_equal_size(list(images.values()), batch_size=batch_size),
        is_done=lambda position: folder.has(f"{ids[position]}.png"),
        part=folder.part,
    )
    left = [ids[position] for batch in batches for position in batch]
    masks = masks_of_images(
        model,
        [images[image_id] for image_id in left],
        scales=scales,
        batch_size=batch_size,
        crf=crf,
        precision=precision,
    )
    with writing_behind() as write:
        for position, mask in progress(masks, total=len(left), what="masks", unit="image"):
            path = folder.partial / f"{left[position]}.png"
            write(partial(write_mask, path, mask, num_classes=num_classes))
