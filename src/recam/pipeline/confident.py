"""Masks of confident pixels, on which IRN trains (Ahn, Cho & Kwak, CVPR 2019, section 4.2)."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, mask_of_choices
from recam.data.loading import pixels_of
from recam.io.images import read_image, read_mask, write_mask
from recam.io.resumable import ResumableFolder
from recam.pipeline.pseudo_masks import alike_batches, in_threads, load_cams
from recam.refine.crf_masks import Crf, confident_labels
from recam.runtime.distributed import batches_left

IMAGES_ON_A_GPU = 4  # of one size, in one call of the CRF

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidentLabels:
    """Two background scores, the probability of each label, and the CRF that refines them."""

    foreground: float
    background: float
    certainty: float
    crf: Crf


def write_confident_masks(
    images: dict[Path, Path],
    folder: ResumableFolder,
    *,
    labels: ConfidentLabels,
    num_classes: int,
    device: torch.device,
) -> None:
    """Write a mask for each file of cams in ``images`` (cams -> image): 255 where not confident.

    Only those of the part of ``folder``; batches that it has are left out.
    """

    def make(batch: list[tuple[Path, Path]]) -> None:
        pixels = [read_image(path) for _, path in batch]
        cams = [
            load_cams(file, image, num_classes=num_classes)
            for (file, _), image in zip(batch, pixels, strict=True)
        ]
        choices = confident_labels(
            torch.from_numpy(np.stack([scored.scores for scored in cams])).to(device),
            pixels_of(pixels, device),
            foreground=labels.foreground,
            background=labels.background,
            certainty=labels.certainty,
            crf=labels.crf,
        )
        for (file, _), scored, chosen in zip(batch, cams, choices.cpu().numpy(), strict=True):
            write_mask(folder.partial / f"{file.stem}.png", mask_of_choices(chosen, scored.classes))

    at_once = IMAGES_ON_A_GPU if device.type == "cuda" else 1  # on a CPU one for each thread
    batches = batches_left(
        list(images.items()),
        lambda pairs: alike_batches(dict(pairs), batch_size=at_once),
        is_done=lambda pair: folder.has(f"{pair[0].stem}.png"),
        part=folder.part,
    )
    for _ in in_threads(make, batches, what="confident pixels"):
        pass


def require_foreground(folder: Path, ids: Iterable[str]) -> None:
    """Log the shares of confident pixels. Raises UserError where none is foreground."""
    pixels = np.zeros(IGNORE + 1, np.int64)
    for image_id in ids:
        pixels += np.bincount(read_mask(folder / f"{image_id}.png").ravel(), minlength=len(pixels))
    background, ignored = (100 * pixels[i] / pixels.sum() for i in (BACKGROUND, IGNORE))
    words = "confident pixels: %.1f %% foreground, %.1f %% background; %.1f %% ignored"
    logger.info(words, 100 - background - ignored, background, ignored)
    if pixels.sum() == pixels[[BACKGROUND, IGNORE]].sum():
        raise UserError("no pixel of any image is confident foreground; lower foreground")
