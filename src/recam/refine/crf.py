"""A dense conditional random field: labels agree between pixels that are close and look alike.

Krähenbühl & Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials",
NIPS 2011: every pair of pixels is an edge, of weight k(i, j) = exp(-|f_i - f_j|^2 / 2) by their
places (equation 3, second term) and by places and colours (first term). Mean field (their
algorithm 1) with the Potts model: Q = softmax(-U + sum over kernels of w K Q), where K's rows and
columns are divided by the square roots of their sums, and a pixel counts as its own neighbour (as
the authors' code does it).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from recam.refine.lattice import AllPairs, Grid, Lattice

EXACT_UP_TO = 64 * 64  # pixels; all pairs of them take 67 MB
COLOURS = 255  # kernels measure colours in steps of 8-bit images; pixels range from 0 to 1
AT_ONCE = 8  # labels filtered together: more take longer, as they leave the cache, and more memory
LEAST_PROBABILITY = 1e-5  # keeps energies finite; the value in public uses of the authors' code

GaussianFilter = AllPairs | Grid | Lattice


@dataclass(frozen=True, slots=True, kw_only=True)
class CrfKernels:
    """Widths (standard deviations) and weights of the two kernels.

    ``sxy`` is in pixels, ``srgb`` in steps of 0 to 255.
    """

    gaussian_sxy: float
    gaussian_weight: float
    bilateral_sxy: float
    bilateral_srgb: float
    bilateral_weight: float

    def __post_init__(self):
        widths = (self.gaussian_sxy, self.bilateral_sxy, self.bilateral_srgb)
        if not all(0 < width < math.inf for width in widths):
            raise ValueError(f"widths of CRF kernels: expected positive numbers, got {widths}")
        weights = (self.gaussian_weight, self.bilateral_weight)
        if not all(0 <= weight < math.inf for weight in weights):
            raise ValueError(f"weights of CRF kernels: expected numbers from 0 on, got {weights}")


class DenseCrf:
    """A dense CRF on images of one size; its filters serve any number of unaries.

    ``pixels`` range from 0 to 1; images are independent. Images of at most ``exact_up_to`` pixels
    are filtered over all pairs, larger ones by the permutohedral lattice, as in the authors'
    program; ``benchmarks/refinement.py`` measures the agreement of the two. Raises ValueError for
    pixels that are not finite.
    """

    def __init__(
        self,
        pixels: Float[Tensor, "B 3 H W"],
        *,
        kernels: CrfKernels,
        exact_up_to: int = EXACT_UP_TO,
    ):
        if not pixels.isfinite().all():
            raise ValueError("pixels: expected finite numbers; some are NaN or infinite")
        height, width = self.shape = pixels.shape[2:]
        sigma = kernels.gaussian_sxy
        features = _features(pixels.float(), kernels)
        near = Grid(height, width, sigma=sigma, device=pixels.device)
        if height * width <= exact_up_to:
            alike: GaussianFilter = AllPairs(features)
        else:
            alike = Lattice(features)
        self.near = _Normalised(near, features, weight=kernels.gaussian_weight)
        self.alike = _Normalised(alike, features, weight=kernels.bilateral_weight)

    @torch.no_grad()
    def posteriors(
        self, unary: Float[Tensor, "B *sets N H W"], *, iterations: int
    ) -> Float[Tensor, "B *sets N H W"]:
        """Every pixel's distribution over the N labels after ``iterations`` rounds of mean field.

        ``unary`` holds energies, -log of probabilities. Each set is an independent field; all sets
        are filtered together. Raises ValueError for maps of another size or energies that are not
        finite.
        """
        if unary.shape[-2:] != self.shape:
            raise ValueError(f"unary: expected maps of {self.shape}, got {unary.shape[-2:]}")
        if not unary.isfinite().all():
            raise ValueError("unary: expected finite energies; some are NaN or infinite")
        images, labels, pixels = len(unary), unary.shape[-3], math.prod(self.shape)
        energies = unary.float().reshape(images, -1, labels, pixels)
        own, places, counts = _distinct_labels(energies)
        if len(own) < labels:  # a label that stands for n equal ones is n times as probable
            energies = energies[:, :, own] - counts.log()
        logits = -energies
        beliefs = logits.softmax(dim=2).div_(counts)
        for _ in range(iterations):
            self._receive_messages(beliefs, out=logits)
            torch.softmax(logits.sub_(energies), dim=2, out=beliefs)
            beliefs.div_(counts)
        if len(own) < labels:
            beliefs = beliefs[:, :, places]
        return beliefs.view(unary.shape).to(unary.dtype)

    def _receive_messages(self, beliefs: Tensor, *, out: Float[Tensor, "B sets N n"]) -> None:
        """Write every label's message less that of the first label, which no softmax sees.

        Filters are linear, so this takes the filtering of one map less.
        """
        out[:, :, :1] = 0
        for first in range(1, beliefs.shape[2], AT_ONCE):
            own = beliefs[:, :, first : first + AT_ONCE]
            differences = (own - beliefs[:, :, :1]).flatten(1, 2)
            messages = self.near(differences).add_(self.alike(differences))
            out[:, :, first : first + AT_ONCE] = messages.view(own.shape)


def unary_of_labels(
    masks: Integer[Tensor, "*sets H W"], *, num_labels: int, certainty: float
) -> Float[Tensor, "*sets num_labels H W"]:
    """Energies by which a pixel's label has probability ``certainty``; the others share the rest.

    Labels are 0 to ``num_labels`` - 1. A single label has energy -log(certainty). Raises ValueError
    for other labels and for a certainty that is not between 0 and 1.
    """
    if not 0 < certainty < 1:
        raise ValueError(f"certainty: expected a number between 0 and 1, got {certainty}")
    least, most = int(masks.min()), int(masks.max())
    if least < 0 or most >= num_labels:
        expected = f"0 to {num_labels - 1}"
        raise ValueError(f"masks: expected labels from {expected}, got {least} to {most}")
    others = -math.log((1 - certainty) / max(num_labels - 1, 1))
    *sets, height, width = masks.shape
    unary = torch.full((*sets, num_labels, height, width), others, device=masks.device)
    return unary.scatter_(-3, masks.unsqueeze(-3).long(), -math.log(certainty))


def unary_of_probabilities(
    probabilities: Float[Tensor, "*sets N H W"],
) -> Float[Tensor, "*sets N H W"]:
    """Energies -log p, where p is at least 1e-5."""
    return probabilities.clamp(min=LEAST_PROBABILITY).log_().neg_()


def _features(pixels: Float[Tensor, "B 3 H W"], kernels: CrfKernels) -> Float[Tensor, "B 5 n"]:
    """Column, row, red, green and blue in units of the bilateral kernel's widths."""
    rows, columns = (torch.arange(length, device=pixels.device) for length in pixels.shape[2:])
    places = torch.stack(torch.meshgrid(columns, rows, indexing="xy")) / kernels.bilateral_sxy
    colours = pixels * (COLOURS / kernels.bilateral_srgb)
    return torch.cat([places.expand(len(pixels), -1, -1, -1), colours], dim=1).flatten(2)


def _distinct_labels(
    energies: Float[Tensor, "B sets N n"],
) -> tuple[list[int], list[int], Float[Tensor, "distinct 1"]]:
    """The labels to compute, each label's place among them, and the number of labels at a place.

    Labels with one and the same energy at all pixels keep equal beliefs, as classes do that have
    the least probability everywhere.
    """
    extremes = (energies.amin(dim=(0, 1, 3)).tolist(), energies.amax(dim=(0, 1, 3)).tolist())
    firsts: dict[float, int] = {}
    alike = [
        firsts.setdefault(low, label) if low == high else label
        for label, (low, high) in enumerate(zip(*extremes, strict=True))
    ]
    own = sorted(set(alike))
    places = [own.index(label) for label in alike]
    counts = energies.new_tensor([alike.count(label) for label in own])
    return own, places, counts[:, None]


class _Normalised:
    """A filter whose kernel k(i, j) is divided by sqrt(n_i n_j), n its sums, times a weight."""

    def __init__(self, unnormalised: GaussianFilter, features: Tensor, *, weight: float):
        self.unnormalised = unnormalised
        ones = features.new_ones(len(features), 1, features.shape[2])
        self.scales = unnormalised(ones).rsqrt()
        self.weight = weight

    def __call__(self, values: Float[Tensor, "B c n"]) -> Float[Tensor, "B c n"]:
        return self.unnormalised(values * self.scales).mul_(self.scales * self.weight)
