"""Insertion and deletion: the probability of a class while pixels appear or disappear.

Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018.
Pixels go by descending score of the class's map. Deletion replaces them by the mean colour, where
normalised images are 0; insertion begins with a blurred image. Both scores are the area under the
probability as a function of the fraction of pixels. The probability is the sigmoid of the class's
logit, since labels are not exclusive here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recam.io.images import read_image
from recam.io.scores import load_scores
from recam.runtime.precision import autocast
from recam.runtime.progress import progress

STEPS = 50  # each of 2 % of the pixels; the paper's have one row of 224 pixels
BLUR_SIZE, BLUR_SIGMA = 11, 5.0  # pixels (authors' code)
PERCENT = 100.0

Image = Float[Tensor, "3 H W"]
Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A trained classifier in eval mode, and how it computes."""

    normalise: Network  # pixels (B, 3, H, W) in [0, 1] -> input of the network
    logits: Network  # input (B, 3, H, W) -> (B, K)
    device: torch.device
    precision: torch.dtype
    batch_size: int  # changed images that are computed at once


def causal_metrics(
    classifier: Classifier, folder: Path, images: dict[str, Path]
) -> dict[str, float]:
    """``insertion`` and ``deletion``, in percent, of the maps of ``images`` (id -> file).

    Means over pairs of an image and a present class; empty without any. Raises UserError for
    missing or unreadable files.
    """
    from torchvision.transforms.functional import (  # noqa: PLC0415 a second, used only here
        gaussian_blur,
    )

    found: list[tuple[float, float]] = []
    items = progress(list(images.items()), total=len(images), what="insertion", unit="image")
    for image_id, path in items:
        scored = load_scores(folder / f"{image_id}.npz")
        pixels = torch.from_numpy(read_image(path)).permute(2, 0, 1)[None].float() / 255
        image = classifier.normalise(pixels.to(classifier.device))[0]
        blurred = gaussian_blur(image, [BLUR_SIZE, BLUR_SIZE], [BLUR_SIGMA, BLUR_SIGMA])
        grey = torch.zeros_like(image)
        for scores, class_index in zip(scored.scores, scored.classes.tolist(), strict=True):
            rank = pixel_ranks(scores)
            insertion = curve(classifier, blurred, image, rank, class_index=class_index)
            deletion = curve(classifier, image, grey, rank, class_index=class_index)
            found.append((area(insertion), area(deletion)))
    if not found:
        return {}
    means = (PERCENT * np.mean(found, axis=0)).tolist()
    return dict(zip(("insertion", "deletion"), means, strict=True))


def pixel_ranks(scores: Float[np.ndarray, "H W"]) -> Int64[Tensor, "H W"]:
    """The place, 0 first, of each pixel by descending score; of equal ones the upper left first."""
    order = np.argsort(-scores, axis=None, kind="stable")
    ranks = np.empty(scores.size, np.int64)
    ranks[order] = np.arange(scores.size)
    return torch.from_numpy(ranks.reshape(scores.shape))


@torch.inference_mode()
def curve(
    classifier: Classifier,
    start: Image,
    end: Image,
    rank: Int64[Tensor, "H W"],
    *,
    class_index: int,
) -> Float[Tensor, "steps"]:
    """The probability of a class, from ``start`` to ``end`` in STEPS steps (STEPS + 1 values)."""
    rank = rank.to(start.device)
    replaced = torch.arange(STEPS + 1, device=start.device) * rank.numel() / STEPS
    probabilities: list[Tensor] = []
    for counts in replaced.split(classifier.batch_size):
        is_replaced = rank < counts[:, None, None]  # (b, H, W)
        changed = torch.where(is_replaced[:, None], end, start)
        changed = changed.contiguous(memory_format=torch.channels_last)
        with autocast(classifier.precision, start.device):
            logits = classifier.logits(changed)
        probabilities.append(logits[:, class_index].float().sigmoid())
    return torch.cat(probabilities)


def area(values: Float[Tensor, "steps"]) -> float:
    """The area under a curve over [0, 1], by trapezoids."""
    return float(torch.trapezoid(values, dx=1 / (len(values) - 1)))
