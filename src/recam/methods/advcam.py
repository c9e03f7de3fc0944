"""AdvCAM: change the images so that their classes score higher, and add up the maps on the way.

Lee, Kim & Yoon, "Anti-Adversarially Manipulated Attributions for Weakly and Semi-Supervised
Semantic Segmentation", CVPR 2021, section 3. A classifier needs only the most discriminative parts
of an object. Gradient ascent of the class score on the pixels makes other parts respond too; a
penalty keeps the response of the positions that already respond.

Axes: P problems, each one present class of one image, K foreground classes, C channels, H W pixels,
h w feature grid. The two views of a problem, an image and its mirror image, climb together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from recam.methods.cam import Cam, project
from recam.methods.recam import ReCam
from recam.methods.variant import Images, Variant, Weights
from recam.runtime.precision import without_autocast

Penalty = Literal["mean", "published"]  # the unit of lambda
# Smallest divisor of a gradient: one of zeros leaves its images as they are (authors' code).
TINY = 1e-12

Views = Float[Tensor, "P 2 h w"]
JointMaps = Float[Tensor, "P h w"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb:
    """Numbers of the ascent."""

    steps: int  # T: maps that are added up; the pixels change T - 1 times
    step_size: float  # xi: largest change of a normalised pixel in a step
    weight: float  # lambda, of the penalty
    threshold: float  # tau: the penalty sees positions above this share of the map's maximum
    penalty: Penalty
    batch_size: int  # problems that climb together


class AdvCam:
    """The read-out ``advcam``: maps of a linear classifier U, added up while the images change.

    B_t, the joint map of step t, is the mean of the CAMs ReLU(U_c · f) of both views, weighted by
    their numbers of positive positions. The pixels x ascend

        sum_views (y_c - sum_{k != c} y_k) - lambda * mean_positions R |B_t - B_0|,

    with y_k the spatial mean of ReLU(U_k · f), and R = 1 where B_t > tau * max B_t, otherwise 0:
    x <- clamp(x + xi * g / max |g|) to the range of x, with g the gradient. The maps are the mean
    of 2 B_t over t. With one step they are those of CAM, where both views have as many positive
    positions.

    The paper's maps are Grad-CAM of the last layer. In closed form that is CAM times a scalar,
    A_t = B_t / P_c, with P_c the number of positive entries of U_c. The paper's penalty is the
    *sum* of R |A_t - A_0|, so that its lambda depends on the grid and the number of channels:

        lambda (published) = lambda (mean) * P_c / (h * w).

    The published 7 (ResNet-50, stride 16, about half of 2,048 weights positive) is 7 in units of
    the mean on 512 x 512 pixels, 1.75 on half and 28 on twice that side. ``penalty`` selects the
    unit. With either, a multiple of U climbs the same way.

    Cost of each present class of an image at each scale: T forward and T - 1 backward passes of two
    views, without gradients of parameters. If a variant's maps are not ReLU(U · f), its own maps
    are added up in place of B_t, which takes T more forward passes.

    >>> climb = Climb(
    ...     steps=8, step_size=0.08, weight=7.0, threshold=0.5, penalty="mean", batch_size=8
    ... )
    >>> model = Cam(nn.Conv2d(3, 4, kernel_size=1), channels=4, num_classes=2).eval()
    >>> present = torch.tensor([[True, False]])
    >>> AdvCam(model, model.weights, climb)(torch.ones(1, 3, 6, 5), present).shape
    torch.Size([1, 2, 6, 5])
    """

    def __init__(self, model: Variant, weights: Weights, climb: Climb):
        self.model = model
        self.weights = weights.detach()
        self.climb = climb

    def __call__(self, images: Tensor, present: Tensor) -> Tensor:
        """The maps (B, K, h, w) of the present classes (B, K); of absent ones zeros.

        ``images`` are normalised; ``model`` is in eval mode. Nothing of it gets a gradient.
        """
        problems = present.nonzero()  # (P, 2): image and class
        if not len(problems):
            return images.new_zeros(*present.shape, 1, 1)
        with torch.enable_grad(), without_autocast(images), _without_gradients(self.model):
            found = torch.cat(
                [
                    self._climbed(images[chunk[:, 0]], chunk[:, 1])
                    for chunk in problems.split(self.climb.batch_size)
                ]
            )
        maps = found.new_zeros(*present.shape, *found.shape[1:])
        maps[present] = found
        return maps

    def _climbed(self, images: Float[Tensor, "P 3 H W"], classes: Int[Tensor, " P"]) -> JointMaps:
        """The maps of one class of each image, added up."""
        views = _both(images)
        before: Tensor | None = None
        total = torch.zeros((), device=images.device)
        for left in reversed(range(self.climb.steps)):
            views.requires_grad_()
            evidence = torch.relu(project(self.weights, self.model.features(views)))
            shares = _shares(_own(evidence, classes))
            joint = _joint(_own(evidence, classes), shares)
            before = joint.detach() if before is None else before
            total = total + self._shown(views, joint, shares, classes)
            if left:
                height = self._height(evidence, classes, joint, before)
                (gradient,) = torch.autograd.grad(height.sum(), views)
                views = self._stepped(views.detach(), gradient)
        return 2 * total / self.climb.steps

    def _shown(
        self, views: Images, joint: JointMaps, shares: Tensor, classes: Int[Tensor, " P"]
    ) -> JointMaps:
        """The maps that are added up: CAMs, or the variant's own."""
        if _has_plain_maps(self.model):
            return joint.detach()
        with torch.no_grad():
            (maps,) = self.model.maps_by(views, self.weights)
            return _joint(_own(maps, classes), shares)

    def _height(
        self,
        evidence: Float[Tensor, "N K h w"],
        classes: Int[Tensor, " P"],
        joint: JointMaps,
        before: JointMaps,
    ) -> Float[Tensor, " P"]:
        """The objective of each problem."""
        scores = evidence.mean(dim=(2, 3)).unflatten(0, (-1, 2)).sum(dim=1)  # (P, K)
        score = 2 * scores.gather(1, classes[:, None])[:, 0] - scores.sum(dim=1)
        responds = joint > self.climb.threshold * joint.amax(dim=(1, 2), keepdim=True)
        moved = ((joint - before).abs() * responds).sum(dim=(1, 2))
        return score - self.climb.weight * moved / self._unit(joint, classes)

    def _unit(self, joint: JointMaps, classes: Int[Tensor, " P"]) -> Tensor | int:
        """The divisor of the summed penalty: positions, or P_c."""
        if self.climb.penalty == "mean":
            return joint[0].numel()
        return (self.weights > 0).sum(dim=1).clamp(min=1)[classes]

    def _stepped(self, views: Images, gradient: Images) -> Images:
        """The views after one step; size and range of a step are those of both views together."""
        pairs, slopes = (each.unflatten(0, (-1, 2)) for each in (views, gradient))
        axes = (1, 2, 3, 4)
        largest = slopes.abs().amax(dim=axes, keepdim=True).clamp(min=TINY)
        low, high = pairs.amin(dim=axes, keepdim=True), pairs.amax(dim=axes, keepdim=True)
        return (pairs + self.climb.step_size * slopes / largest).clamp(low, high).flatten(0, 1)


def _both(images: Float[Tensor, "P 3 H W"]) -> Images:
    """Each image and its mirror image, side by side: (2 P, 3, H, W)."""
    views = torch.stack([images, images.flip(3)], dim=1).flatten(0, 1)
    return views.contiguous(memory_format=torch.channels_last)


def _own(maps: Float[Tensor, "N K h w"], classes: Int[Tensor, " P"]) -> Views:
    """The two maps of each problem's class."""
    numbers = torch.arange(len(classes), device=maps.device)
    return maps.unflatten(0, (-1, 2))[numbers, :, classes]


def _shares(own: Views) -> Float[Tensor, "P 2 1 1"]:
    """Each view's share of the positive positions of both: its weight in Grad-CAM."""
    positive = (own > 0).sum(dim=(2, 3), keepdim=True)
    return positive / positive.sum(dim=1, keepdim=True).clamp(min=1)


def _joint(own: Views, shares: Float[Tensor, "P 2 1 1"]) -> JointMaps:
    """B: the weighted mean of both views, the second one mirrored back."""
    plain, mirrored = (own * shares).unbind(dim=1)
    return plain + mirrored.flip(2)


def _has_plain_maps(model: Variant) -> bool:
    """Whether the maps of a linear classifier U are ReLU(U · f)."""
    variant = model.variant if isinstance(model, ReCam) else model
    return type(variant).maps_by is Cam.maps_by


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """Compute no gradients of parameters, and store nothing for them."""
    learning = [each for each in model.parameters() if each.requires_grad]
    for parameter in learning:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad = True
