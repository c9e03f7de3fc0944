"""Re-activation: train the maps themselves with softmax cross-entropy.

Chen et al., "Class Re-Activation Maps for Weakly-Supervised Semantic Segmentation", CVPR 2022,
arXiv 2203.00962, section 3.2. Under binary cross-entropy a pixel may activate several classes at
once, since each sigmoid is judged alone. Softmax cross-entropy makes the classes compete: each
class's map pools a feature of its own from the image, and a second classifier V must classify it.

Axes: B images, K foreground classes, C channels, H W pixels, h w feature grid.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from recam.methods.cam import bias_free_weights, peak_normalised
from recam.methods.variant import (
    Activations,
    Images,
    Labels,
    Maps,
    Readout,
    Saliency,
    Variant,
    Weights,
    labelled_views,
)
from recam.runtime.precision import without_autocast

# The weights of the final maps, from the classifier W and the re-classifier V. The paper says "in
# the same way as CAM"; the authors' code multiplies the two on VOC and takes W alone on COCO.
COMBINATIONS: dict[str, Callable[[Weights, Weights], Weights]] = {
    "product": lambda w, v: w * v,
    "reclassifier": lambda w, v: v,  # noqa: ARG005 one signature for all four
    "classifier": lambda w, v: w,  # noqa: ARG005
    "sum": lambda w, v: w + v,
}


MEAN = "mean"  # of the maps of `classifier` and `product`


class ReCam(Variant):
    """Re-activation of a trained variant: a re-classifier V judges what its evidence pools."""

    def __init__(self, variant: Variant, *, weight: float):
        super().__init__()
        self.variant = variant.variant if isinstance(variant, ReCam) else variant
        self.reclassifier = bias_free_weights(*self.variant.weights.shape)  # V
        self.weight = weight  # lambda in the paper's L = L_bce + lambda * L_sce

    @property
    def backbone(self) -> nn.Module | Tensor:
        """The backbone of the variant."""
        return self.variant.backbone

    @property
    def weights(self) -> Weights:
        """W, the classifier of the variant."""
        return self.variant.weights

    def features(self, images: Images) -> Float[Tensor, "B C h w"]:
        """The features of the variant."""
        return self.variant.features(images)

    def with_levels(self, images: Images) -> tuple[list[Tensor], Float[Tensor, "B C h w"]]:
        """The levels and the final features of the variant."""
        return self.variant.with_levels(images)

    def logits(self, images: Images) -> Float[Tensor, "B K"]:
        """The logits of the variant."""
        return self.variant.logits(images)

    def losses(self, images: Images, labels: Labels) -> tuple[dict[str, Tensor], Activations]:
        """The variant's losses (L_bce of CAM) and lambda · L_sce.

        Nothing is detached: V, W, the maps and the backbone learn.
        """
        losses, found = self.variant.losses(images, labels)
        with without_autocast(found.features):
            class_features = pool_by_class(peak_normalised(found.evidence), found.features)
            sce = softmax_loss(class_features @ self.reclassifier.T, labels)
            return losses | {"sce": self.weight * sce}, found

    def saliency_losses(
        self, found: Activations, labels: Labels, saliency: Saliency
    ) -> dict[str, Tensor]:
        """Those of the variant."""
        return self.variant.saliency_losses(found, labels, saliency)

    def combined(self, combine: str) -> Weights:
        """U: the chosen combination of W and V."""
        return COMBINATIONS[combine](self.weights, self.reclassifier)

    def maps_by(self, images: Images, *weights: Weights) -> list[Maps]:
        """The maps of the variant."""
        return self.variant.maps_by(images, *weights)

    def maps(self, images: Images, *, combine: str = "classifier") -> Maps:
        """The maps of U, the chosen combination of W and V: non-negative, not normalised.

        ``mean`` gives the mean of two such maps, of W and of V ⊙ W, each with a peak of 1.
        """
        return self._fused(partial(self.maps_by, images), combine)

    def readout(self, *, combine: str) -> Readout:
        """The read-out of U, for the present classes of each image."""
        return labelled_views(
            lambda images, present: self._fused(
                partial(self.variant.maps_among, images, present), combine
            )
        )

    def _fused(self, maps_by: Callable[..., list[Maps]], combine: str) -> Maps:
        if combine != MEAN:
            return maps_by(self.combined(combine))[0]
        both = maps_by(self.weights, self.combined("product"))
        return torch.stack([peak_normalised(one) for one in both]).mean(dim=0)


def pool_by_class(
    evidence: Float[Tensor, "B K h w"], features: Float[Tensor, "B C h w"]
) -> Float[Tensor, "B K C"]:
    """For each class the spatial mean of its map times the features.

    One contraction of the same value as the authors' (B, K, C, h, w) product, which is not built.
    """
    positions = evidence.shape[2] * evidence.shape[3]
    return torch.einsum("bkhw,bchw->bkc", evidence, features) / positions


def softmax_loss(logits: Float[Tensor, "B K K"], labels: Bool[Tensor, "B K"]) -> Float[Tensor, ""]:
    """The loss L_sce of the paper: row k holds the logits of class k's feature, its target is k.

    The mean over images of the mean over each image's present classes; an image without a label
    adds 0. Absent classes do not change the loss.
    """
    row_loss = -functional.log_softmax(logits, dim=2).diagonal(dim1=1, dim2=2)  # (B, K)
    present = labels.to(logits.dtype)
    return ((row_loss * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)).mean()
