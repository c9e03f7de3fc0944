"""Re-activation: train the maps themselves with softmax cross-entropy.

Chen et al., "Class Re-Activation Maps for Weakly-Supervised Semantic Segmentation", CVPR 2022,
arXiv 2203.00962, section 3.2. Under binary cross-entropy a pixel may activate several classes at
once, since each sigmoid is judged alone. Softmax cross-entropy makes the classes compete: each
class's map pools a feature of its own from the image, and a second classifier V must classify it.

Axes: B images, K foreground classes, C channels, H W pixels, h w feature grid.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from recam.methods.cam import (
    Cam,
    bias_free_weights,
    multilabel_loss,
    peak_normalised,
    pooled_logits,
    project,
)
from recam.runtime.precision import to_float32, without_autocast

Weights = Float[Tensor, "K C"]

# The weights of the final maps, from the classifier W and the re-classifier V. The paper says "in
# the same way as CAM"; the authors' code multiplies the two on VOC and takes W alone on COCO.
COMBINATIONS: dict[str, Callable[[Weights, Weights], Weights]] = {
    "product": lambda w, v: w * v,
    "reclassifier": lambda w, v: v,  # noqa: ARG005 one signature for all four
    "classifier": lambda w, v: w,  # noqa: ARG005
    "sum": lambda w, v: w + v,
}


MEAN = "mean"  # of the maps of `classifier` and `product`


class ReCam(nn.Module):
    """Re-activation of a trained CAM or ReCAM: its backbone and classifier, and a re-classifier."""

    def __init__(self, cam: "Cam | ReCam", *, weight: float):
        super().__init__()
        self.backbone = cam.backbone
        self.classifier = cam.classifier  # W
        self.reclassifier = bias_free_weights(*cam.classifier.shape)  # V
        self.weight = weight  # lambda in the paper's L = L_bce + lambda * L_sce

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        """One logit per class: W, the first classifier, times the spatial mean of the features."""
        features = to_float32(self.backbone(images))
        with without_autocast(features):
            return pooled_logits(self.classifier, features)

    def loss(
        self, images: Float[Tensor, "B 3 H W"], labels: Bool[Tensor, "B K"]
    ) -> dict[str, Float[Tensor, ""]]:
        """L_bce and lambda · L_sce. Nothing is detached: V, W, the maps and the backbone learn."""
        features = to_float32(self.backbone(images))
        with without_autocast(features):
            evidence = peak_normalised(torch.relu(project(self.classifier, features)))
            class_features = pool_by_class(evidence, features)
            return {
                "bce": multilabel_loss(pooled_logits(self.classifier, features), labels),
                "sce": self.weight * softmax_loss(class_features @ self.reclassifier.T, labels),
            }

    def maps(self, images: Float[Tensor, "B 3 H W"], *, combine: str) -> Float[Tensor, "B K h w"]:
        """ReLU(U · f) with U the chosen combination of W and V: non-negative, not normalised.

        ``mean`` gives the mean of two such maps, of W and of V ⊙ W, each with a peak of 1.
        """
        features = to_float32(self.backbone(images))
        with without_autocast(features):
            if combine == MEAN:
                both = [self._map(features, name) for name in ("classifier", "product")]
                return torch.stack([peak_normalised(one) for one in both]).mean(dim=0)
            return self._map(features, combine)

    def _map(self, features: Float[Tensor, "B C h w"], combine: str) -> Float[Tensor, "B K h w"]:
        weights = COMBINATIONS[combine](self.classifier, self.reclassifier)
        return torch.relu(project(weights, features))


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
