"""Masks that a segmenter predicts of its own training images, on which the next one trains.

Unlike an evaluation, they may use image-level labels: absent classes are no candidates.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recam.core.labels import BACKGROUND, IGNORE, Mask, mask_id, mask_of_choices
from recam.data.layout import WeakSplit
from recam.data.loading import pixels_of
from recam.io.images import read_image, write_mask
from recam.io.resumable import ResumableFolder
from recam.models.segmenters import Segmenter
from recam.pipeline.segmentation import posteriors, probabilities_of_images
from recam.refine.crf_masks import Crf
from recam.refine.interface import TINY
from recam.runtime.distributed import shard
from recam.runtime.progress import progress
from recam.runtime.threads import writing_behind


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMasks:
    """Parameters of masks from a segmenter's probabilities."""

    scales: tuple[
        float, ...
    ]  # of the images; their probabilities and the mirrored ones' are averaged
    batch_size: int
    confidence: float  # probability below which a pixel is ignored
    crf: Crf


def write_own_masks(
    model: Segmenter,
    split: WeakSplit,
    folder: ResumableFolder,
    *,
    numbers: OwnMasks,
    precision: torch.dtype,
) -> None:
    """Write the masks of this rank's shard of a split that ``folder`` lacks; see ``own_mask``."""
    left = [i for i in shard(range(len(split.ids))) if not folder.has(f"{split.ids[i]}.png")]
    predicted = probabilities_of_images(
        model.eval(),
        [split.images[i] for i in left],
        scales=numbers.scales,
        batch_size=numbers.batch_size,
        precision=precision,
    )
    with writing_behind() as write:
        for image in progress(predicted, total=len(left), what="own masks", unit="image"):
            index = left[image.position]
            grid = image.probabilities
            pixels = pixels_of([read_image(split.images[index])], grid.device)
            mask = own_mask(grid, pixels, split.labels[index], numbers=numbers)
            path = folder.partial / f"{split.ids[index]}.png"
            write(partial(write_mask, path, mask, num_classes=len(split.classes)))


def own_mask(
    probabilities: Float[Tensor, "N H W"],
    pixels: Float[Tensor, "1 3 H W"],
    present: Bool[np.ndarray, "K"],
    *,
    numbers: OwnMasks,
) -> Mask:
    """The most probable of background and present classes after a CRF; 255 without confidence.

    Probabilities of absent classes are dropped, and the others are divided by their sum, before and
    for the CRF. A pixel is ignored where that of its class is below ``numbers.confidence``. A tie
    goes to the background, then to the class with the lower index.
    """
    classes = np.flatnonzero(present)
    rivals = probabilities[[BACKGROUND, *(mask_id(int(c)) for c in classes)]]
    rivals = rivals / rivals.sum(dim=0).clamp(min=TINY)  # 0 where all are too small for float32
    choices = posteriors(rivals[None], pixels, numbers.crf)[0].argmax(dim=0)
    confidence = rivals.gather(0, choices[None])[0]
    choices = choices.masked_fill(confidence < numbers.confidence, IGNORE)
    return mask_of_choices(choices.to(torch.uint8).cpu().numpy(), classes)
