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

from recam.methods.variant import Activations, Images, Labels, Maps, Variant, Weights
from recam.runtime.precision import to_float32, without_autocast

# Added to a map's maximum before dividing: a map of zeros stays zero (authors' code).
EPSILON = 1e-5


class Cam(Variant):
    """A multi-label classifier: backbone features, average pooling, linear classifier W.

    Map of class k: ReLU(W_k · f). Cost: one forward pass a view.
    """

    def __init__(self, backbone: nn.Module, *, channels: int, num_classes: int):
        super().__init__()
        self.backbone = backbone
        self.classifier = bias_free_weights(num_classes, channels)  # W

    @property
    def weights(self) -> Weights:
        """W, a parameter."""
        return self.classifier

    def features(self, images: Images) -> Float[Tensor, "B C h w"]:
        """The features of the backbone."""
        return to_float32(self.backbone(images))

    def logits(self, images: Images) -> Float[Tensor, "B K"]:
        """One logit per class: W times the spatial mean of the features."""
        features = self.features(images)
        with without_autocast(features):
            return pooled_logits(self.weights, features)

    def losses(self, images: Images, labels: Labels) -> tuple[dict[str, Tensor], Activations]:
        """Binary cross-entropy, the mean over images and classes (ReCAM paper, stage one)."""
        features = self.features(images)
        with without_autocast(features):
            found = Activations(
                features=features,
                evidence=torch.relu(project(self.weights, features)),
                logits=pooled_logits(self.weights, features),
            )
            return {"bce": multilabel_loss(found.logits, labels)}, found

    def maps_by(self, images: Images, *weights: Weights) -> list[Maps]:
        """ReLU(U · f) for each U: non-negative, not normalised."""
        features = self.features(images)
        with without_autocast(features):
            return [torch.relu(project(each, features)) for each in weights]


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
