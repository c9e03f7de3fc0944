"""Masks of whole images by a trained segmenter: scales, mirror images and an optional CRF."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from recam.core.errors import UserError
from recam.models.backbones import backbone_of
from recam.models.segmenters import Segmenter, resized
from recam.pipeline.inference import Source, averaged_maps, equal_size_batches
from recam.refine.crf import DenseCrf, unary_of_probabilities
from recam.refine.crf_masks import Crf
from recam.runtime.precision import autocast


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedImage:
    """The probabilities of one image, on the grid of the network's input."""

    position: int  # in the list of images
    probabilities: Float[Tensor, "N h w"]
    size: tuple[int, int]  # height and width of the image itself

    def mask(self) -> UInt8[np.ndarray, "H W"]:
        """The most probable ids, at the size of the image."""
        with torch.inference_mode():
            return mask_of_probabilities(self.probabilities, size=self.size).cpu().numpy()


def masks_of_images(
    model: Segmenter,
    paths: list[Path],
    *,
    scales: tuple[float, ...],
    batch_size: int,
    crf: Crf | None = None,
    longest_side: int | None = None,
    errors: list[UserError] | None = None,
    precision: torch.dtype = torch.float32,
) -> Iterator[tuple[int, UInt8[np.ndarray, "H W"]]]:
    """Yield the position in ``paths`` and the mask of every image, at the size of its file.

    Everything else is as in ``probabilities_of_images``.
    """
    for predicted in probabilities_of_images(
        model,
        paths,
        scales=scales,
        batch_size=batch_size,
        crf=crf,
        longest_side=longest_side,
        errors=errors,
        precision=precision,
    ):
        yield predicted.position, predicted.mask()


def probabilities_of_images(
    model: Segmenter,
    sources: Sequence[Source],
    *,
    scales: tuple[float, ...],
    batch_size: int,
    crf: Crf | None = None,
    longest_side: int | None = None,
    errors: list[UserError] | None = None,
    precision: torch.dtype = torch.float32,
) -> Iterator[PredictedImage]:
    """Yield the probabilities of background and classes of every image.

    Everything runs on the device of the network's weights. The network and the CRF work on images
    shrunk to ``longest_side`` pixels. Unreadable images: see ``equal_size_batches``.
    """
    backbone = backbone_of(model)
    device = next(model.parameters()).device
    batches = equal_size_batches(
        sources, batch_size=batch_size, longest_side=longest_side, errors=errors
    )
    for batch in batches:
        with torch.inference_mode():
            pixels = batch.pixels.to(device)
            images = backbone.normalise(pixels)
            with autocast(precision, device):
                averaged = averaged_maps(model.maps, images, scales=scales)
        for row, position in enumerate(batch.positions):
            with torch.inference_mode():
                probabilities = averaged[row]
                if crf:
                    probabilities = posteriors(probabilities[None], pixels[row, None], crf)[0]
            yield PredictedImage(
                position=position, probabilities=probabilities, size=batch.stored[row]
            )


def mask_of_probabilities(
    probabilities: Float[Tensor, "N h w"], *, size: tuple[int, int]
) -> UInt8[Tensor, "H W"]:
    """The most probable id of every pixel, after bilinear enlargement to ``size``.

    Classes are enlarged one by one, so memory does not depend on their number.
    """
    if tuple(probabilities.shape[1:]) == size:
        return probabilities.argmax(dim=0).to(torch.uint8)
    mask = torch.zeros(size, dtype=torch.uint8, device=probabilities.device)
    best = torch.full(size, -torch.inf, device=probabilities.device)
    for number, grid in enumerate(probabilities):
        score = resized(grid[None, None], size)[0, 0]
        mask.masked_fill_(score > best, number)
        torch.maximum(best, score, out=best)
    return mask


def posteriors(
    probabilities: Float[Tensor, "B N H W"], pixels: Float[Tensor, "B 3 H W"], crf: Crf
) -> Float[Tensor, "B N H W"]:
    """The probabilities after a dense CRF on ``pixels`` in [0, 1]."""
    field = DenseCrf(pixels, kernels=crf.kernels)
    return field.posteriors(unary_of_probabilities(probabilities), iterations=crf.iterations)
