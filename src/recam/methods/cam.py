"""Class activation maps: the classifier of the pooled features, applied at every position.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016: the baseline of
Chen et al., "Class Re-Activation Maps for Weakly-Supervised Semantic Segmentation", CVPR 2022.

Axes: B images, K foreground classes, C channels, H W pixels, h w feature grid.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from recam.runtime.precision import to_float32, without_autocast

# Added to a map's maximum before dividing: a map of zeros stays zero (authors' code).
EPSILON = 1e-5


class Cam(nn.Module):
    """A multi-label classifier: backbone features, average pooling, linear classifier W."""

    def __init__(self, backbone: nn.Module, *, channels: int, num_classes: int):
        super().__init__()
        self.backbone = backbone
        self.classifier = bias_free_weights(num_classes, channels)  # W

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        """One logit per class: W times the spatial mean of the features."""
        features = to_float32(self.backbone(images))
        with without_autocast(features):
            return pooled_logits(self.classifier, features)

    def loss(
        self, images: Float[Tensor, "B 3 H W"], labels: Bool[Tensor, "B K"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Binary cross-entropy, the mean over images and classes (ReCAM paper, stage one)."""
        return {"bce": multilabel_loss(self.logits(images), labels)}

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K h w"]:
        """ReLU(W · f): non-negative, not normalised."""
        features = to_float32(self.backbone(images))
        with without_autocast(features):
            return torch.relu(project(self.classifier, features))


def peak_normalised(maps: Float[Tensor, "*B h w"]) -> Float[Tensor, "*B h w"]:
    """Divide every map by its spatial maximum + 1e-5: the peak of a positive map becomes 1."""
    return maps / (maps.amax(dim=(-2, -1), keepdim=True) + EPSILON)


def project(
    weights: Float[Tensor, "K C"], features: Float[Tensor, "B C h w"]
) -> Float[Tensor, "B K h w"]:
    """A linear classifier at every position; the spatial mean of the result is its logits."""
    return functional.conv2d(features, weights[:, :, None, None])


def pooled_logits(
    weights: Float[Tensor, "K C"], features: Float[Tensor, "B C h w"]
) -> Float[Tensor, "B K"]:
    """The classifier applied to the spatial mean of the features."""
    return features.mean(dim=(2, 3)) @ weights.T


def multilabel_loss(logits: Float[Tensor, "B K"], labels: Bool[Tensor, "B K"]) -> Float[Tensor, ""]:
    """Multi-label soft margin loss: binary cross-entropy averaged over images and classes."""
    return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))


def bias_free_weights(num_classes: int, channels: int) -> nn.Parameter:
    """Initial weights (K, C) of a linear layer: uniform in ±1/sqrt(C), torch's default."""
    return nn.Parameter(torch.empty(num_classes, channels).uniform_(-1, 1) / math.sqrt(channels))
