"""The contract of all CAM variants: features, evidence and logits, and read-outs of maps.

A variant is a classifier that localises: from features f it gives evidence of each class at every
position. Re-activation and every read-out work on anything that keeps this contract.

Axes: B images, K foreground classes, C channels, H W pixels, h w feature grid.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

# With 3 channels; or the features of a frozen backbone in place of images (recam.models.frozen).
Images = Float[Tensor, "B _ H W"]
Labels = Bool[Tensor, "B K"]
Weights = Float[Tensor, "K C"]
Maps = Float[Tensor, "B K h w"]
Saliency = Float[Tensor, "B H W"]  # 0 to 1, below 0 where it is unknown

# From normalised images and their present classes (B, K) to the sum of the maps of each image and
# of its mirror image, mirrored back: (B, K, h, w), non-negative, not normalised. Maps of absent
# classes may hold any finite values; nothing reads them.
Readout = Callable[[Tensor, Tensor], Tensor]


class _Levelled(Protocol):
    def with_levels(self, images: Tensor, /) -> tuple[list[Tensor], Tensor]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Activations:
    """The outputs of a variant for a batch of images."""

    features: Float[Tensor, "B C h w"]
    evidence: Maps  # >= 0, not normalised
    logits: Float[Tensor, "B K"]


class Variant(nn.Module, ABC):
    """A multi-label classifier whose evidence is linear in its features, up to what follows.

    Subclasses have a ``backbone``.
    """

    @property
    @abstractmethod
    def weights(self) -> Weights:
        """W: the linear classifier of the foreground classes."""

    @abstractmethod
    def features(self, images: Images) -> Float[Tensor, "B C h w"]:
        """The features f that W classifies, in float32."""

    @abstractmethod
    def losses(self, images: Images, labels: Labels) -> tuple[dict[str, Tensor], Activations]:
        """The losses of the variant by name, each with its weight, and the activations."""

    @abstractmethod
    def maps_by(self, images: Images, *weights: Weights) -> list[Maps]:
        """The maps of each linear classifier, W or another one: >= 0, not normalised."""

    def with_levels(self, images: Images) -> tuple[list[Tensor], Float[Tensor, "B C h w"]]:
        """The levels of the backbone, the finest first, and its final features, in one pass."""
        return cast(_Levelled, self.backbone).with_levels(images)

    def saliency_losses(
        self, found: Activations, labels: Labels, saliency: Saliency
    ) -> dict[str, Tensor]:
        """The losses that compare the activations with saliency maps: none, unless overridden."""
        del found, labels, saliency
        return {}

    def loss(
        self, images: Images, labels: Labels, saliency: Saliency | None = None
    ) -> dict[str, Tensor]:
        """The losses by name; their sum is minimised. Those of saliency only if it is given."""
        losses, found = self.losses(images, labels)
        if saliency is None:
            return losses
        return losses | self.saliency_losses(found, labels, saliency)

    def logits(self, images: Images) -> Float[Tensor, "B K"]:
        """One logit per class: W times the spatial mean of the features."""
        return self.features(images).mean(dim=(2, 3)) @ self.weights.T

    def maps(self, images: Images) -> Maps:
        """The maps of W."""
        return self.maps_by(images, self.weights)[0]

    def maps_among(self, images: Images, present: Labels, *weights: Weights) -> list[Maps]:
        """The maps of each linear classifier, of images with the classes ``present``.

        Here those of ``maps_by``. A variant whose present classes compete overrides this and
        ``readout``.
        """
        del present
        return self.maps_by(images, *weights)

    def readout(self, *, combine: str) -> Readout:
        """The read-out of the variant's own maps; ``combine`` is of ReCAM only."""
        del combine
        return both_views(self.maps)


def both_views(maps: Callable[[Tensor], Tensor]) -> Readout:
    """The read-out that sums the maps of the images and of their mirror images."""
    return labelled_views(lambda images, present: maps(images))  # noqa: ARG005 the contract


def labelled_views(maps: Callable[[Tensor, Tensor], Tensor]) -> Readout:
    """The same for maps of images and their present classes."""

    def readout(images: Tensor, present: Tensor) -> Tensor:
        views = torch.cat([images, images.flip(3)])
        plain, mirrored = maps(views, present.repeat(2, 1)).chunk(2)
        return plain + mirrored.flip(3)

    return readout
