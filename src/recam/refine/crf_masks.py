"""Uses of the dense CRF: refining score maps, and selecting confident pixels for IRN."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from recam.core.labels import BACKGROUND, IGNORE
from recam.refine.crf import CrfKernels, DenseCrf, unary_of_labels, unary_of_probabilities
from recam.refine.interface import TINY

EVEN = 0.5  # the refined score of a class as likely as the background


@dataclass(frozen=True, slots=True, kw_only=True)
class Crf:
    """The kernels of a dense CRF and its number of mean-field iterations."""

    kernels: CrfKernels
    iterations: int


def crf_refined(
    scores: Float[Tensor, "B n H W"],
    pixels: Float[Tensor, "B 3 H W"],
    *,
    background: float,
    crf: Crf,
) -> Float[Tensor, "B n H W"]:
    """Score maps in [0, 1] after a CRF in which the background has a constant score.

    Unary probabilities are proportional to scores. With posteriors Q the result is
    Q_c / (Q_background + max Q): the best class of a pixel is above 0.5 if and only if it is more
    likely than the background, and the order of classes is kept.
    """
    rivals = _with_background(scores, background)
    unary = unary_of_probabilities(rivals / rivals.sum(dim=1, keepdim=True).clamp(min=TINY))
    field = DenseCrf(pixels, kernels=crf.kernels)
    posteriors = field.posteriors(unary, iterations=crf.iterations)
    ground, objects = posteriors[:, :1], posteriors[:, 1:]
    best = objects.amax(dim=1, keepdim=True) if objects.shape[1] else ground
    return objects / (ground + best).clamp(min=TINY)


def confident_labels(
    scores: Float[Tensor, "B n H W"],
    pixels: Float[Tensor, "B 3 H W"],
    *,
    foreground: float,
    background: float,
    certainty: float,
    crf: Crf,
) -> UInt8[Tensor, "B H W"]:
    """Confident pixels, on which IRN trains: 0 background, i the i-th map, 255 ignored.

    Ahn, Cho & Kwak, CVPR 2019, section 4.2: masks are cut at two background scores, and a CRF
    refines each with ``certainty`` as the probability of a pixel's label. Foreground at the high
    score ``foreground`` is confident, and so is background at the low score ``background``.
    """
    count = scores.shape[1] + 1
    unaries = [
        unary_of_labels(
            _with_background(scores, score).argmax(dim=1), num_labels=count, certainty=certainty
        )
        for score in (foreground, background)
    ]
    field = DenseCrf(pixels, kernels=crf.kernels)
    found = field.posteriors(torch.stack(unaries, dim=1), iterations=crf.iterations)
    strict, generous = found.argmax(dim=2).unbind(dim=1)
    rest = torch.where(strict + generous == BACKGROUND, BACKGROUND, IGNORE)
    return torch.where(strict != BACKGROUND, strict, rest).to(torch.uint8)


def _with_background(scores: Tensor, background: float) -> Float[Tensor, "B n_and_1 H W"]:
    """Put a constant map of the background before the score maps."""
    rival = scores.new_full((len(scores), 1, *scores.shape[2:]), background)
    return torch.cat([rival, scores], dim=1)
