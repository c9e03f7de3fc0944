"""Maps from the gradients of a class's score at chosen levels: Grad-CAM, Grad-CAM++ and LayerCAM.

The score of class c is that of its linear classifier U_c on the spatial mean of the final features.
A level has features A and the gradients g of the score by A. Read-outs take one forward pass of
both views of a batch at each scale, and as many backward passes as an image of the batch has
classes: the n-th pass is of every image's n-th present class, since no image depends on another.

Axes: B images, K foreground classes, C channels, h w feature grid.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from recam.core.errors import UserError
from recam.methods.variant import Images, Maps, Readout, Weights
from recam.runtime.precision import without_autocast

Grid = Float[Tensor, "B C h w"]
ClassMap = Float[Tensor, "B h w"]  # of one class in each image: >= 0, not normalised
GradientRule = Callable[[Grid, Grid], ClassMap]  # of features and gradients


@runtime_checkable  # the tests check types at run time
class LevelledBackbone(Protocol):
    """A backbone that gives its levels, the finest first, and its final features in one pass."""

    def with_levels(self, images: Images, /) -> tuple[list[Tensor], Tensor]:
        """Features (B, c, h, w) of every level, and the final features (B, C, h, w)."""
        ...


def grad_cam(features: Grid, gradients: Grid) -> ClassMap:
    """Grad-CAM: ReLU(sum_k w_k A_k), w_k the spatial mean of g_k.

    Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2. At the final features, where
    w = U_c / (h w), the map is CAM's up to a factor.
    """
    return torch.relu((gradients.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1))


def grad_cam_plus_plus(features: Grid, gradients: Grid) -> ClassMap:
    """Grad-CAM++: ReLU(sum_k w_k A_k), w_k = sum of ReLU(g) a, a = g² / (2 g² + g³ sum of A).

    Sums are over positions. Chattopadhay et al., "Grad-CAM++", WACV 2018, for
    the exponential of the score, whose own factor cancels in normalised maps.

    DEVIATION: the sum of A is that of ReLU(A), the same for the rectified features of the paper.
    With signed features the denominator could vanish; so it does not, and no epsilon is needed.
    """
    rises = torch.relu(gradients)
    total = torch.relu(features).sum(dim=(2, 3), keepdim=True)
    weights = (rises / (2 + rises * total)).sum(dim=(2, 3), keepdim=True)
    return torch.relu((weights * features).sum(dim=1))


def layer_cam(features: Grid, gradients: Grid) -> ClassMap:
    """LayerCAM: ReLU(sum_k ReLU(g_k) A_k), with a weight for each position.

    Jiang et al., "LayerCAM", TIP 2021.
    """
    return torch.relu((torch.relu(gradients) * features).sum(dim=1))


def gradient_readout(
    backbone: LevelledBackbone, weights: Weights, rule: GradientRule, *, levels: Sequence[int]
) -> Readout:
    """The read-out of ``rule`` for the classifier ``weights``, at ``levels`` counted from the last.

    Level -1 is the final features and -2 the level before. The maps of both views are added at each
    level, resized to the finest chosen grid, divided by their maxima and fused by the maximum over
    levels: each has a peak of 1, or is 0 everywhere. Absent classes are 0. Computes in float32.

    Raises UserError, at its first images, if the backbone lacks a level.

    >>> class Pixels(torch.nn.Conv2d):
    ...     def with_levels(self, images):
    ...         return [images], self(images)
    >>> backbone = Pixels(3, 8, kernel_size=1)
    >>> readout = gradient_readout(backbone, torch.rand(2, 8), layer_cam, levels=(-1, -2))
    >>> readout(torch.rand(1, 3, 4, 6), torch.tensor([[True, False]])).shape
    torch.Size([1, 2, 4, 6])
    """
    judged = weights.detach()

    def readout(images: Tensor, present: Tensor) -> Tensor:
        with without_autocast(images), torch.enable_grad():
            views = torch.cat([images, images.flip(3)])
            # Gradients then exist even where no parameter of the backbone is trained.
            early, final = backbone.with_levels(views.requires_grad_())
            chosen = _chosen(early, final, levels)
            maps = [_zeros(level, present) for level in chosen]
            for rows, classes in turns(present):
                pooled = final.mean(dim=(2, 3)).unflatten(0, (2, -1))[:, rows]  # (2, n, C)
                gradients = torch.autograd.grad(
                    (pooled * judged[classes]).sum(), chosen, retain_graph=True
                )
                for total, level, slopes in zip(maps, chosen, gradients, strict=True):
                    plain, mirrored = rule(level.detach(), slopes).chunk(2)
                    total[rows, classes] = (plain + mirrored.flip(2))[rows]
        return fused(maps)

    return readout


def fused(maps: list[Float[Tensor, "B K _ _"]]) -> Maps:
    """The maximum over levels of their maps, each with a peak of 1, on the finest grid of all."""
    grid = max((level.shape[2:] for level in maps), key=math.prod)
    resized = [functional.interpolate(level, size=grid, mode="bilinear") for level in maps]
    return torch.stack([_divided_by_peak(level) for level in resized]).amax(dim=0)


def _divided_by_peak(maps: Maps) -> Maps:
    """A map of zeros stays zero. No epsilon: gradients of fine levels may be as small as one."""
    peaks = maps.amax(dim=(2, 3), keepdim=True)
    return maps / peaks.clamp(min=torch.finfo(maps.dtype).tiny)


def _chosen(early: list[Tensor], final: Tensor, levels: Sequence[int]) -> list[Tensor]:
    """The levels by their numbers; the last early one may be the final features themselves."""
    every = early if early[-1] is final else [*early, final]
    if missing := [number for number in levels if number < -len(every)]:
        grids = ", ".join(
            f"{number} ({level.shape[1]} channels)"
            for number, level in zip(range(-len(every), 0), every, strict=True)
        )
        raise UserError(
            f"make_cams.levels: got {missing[0]}, a level that the backbone lacks; choose among "
            f"its levels {grids}"
        )
    return [every[number] for number in levels]


def _zeros(level: Tensor, present: Tensor) -> Maps:
    return level.new_zeros(*present.shape, *level.shape[2:])


def turns(present: Bool[Tensor, "B K"]) -> Iterator[tuple[Tensor, Tensor]]:
    """For n = 0, 1, ...: the images with more than n present classes, and the n-th of each."""
    turn_of = present.cumsum(dim=1)  # 1 at the first present class, 2 at the second
    for turn in range(1, int(present.sum(dim=1).max()) + 1):
        rows, classes = (present & (turn_of == turn)).nonzero(as_tuple=True)
        yield rows, classes
