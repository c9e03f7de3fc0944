"""EPS: the classes and the background of an image have to explain its saliency map.

Lee et al., "Railroad is not a Train: Saliency as Pseudo-pixel Supervision for Weakly Supervised
Semantic Segmentation", CVPR 2021; constants are those of the authors' code for VOC.

Axes: B images, K foreground classes, C channels, H W pixels, h w feature grid.
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from recam.methods.cam import Cam, project
from recam.methods.variant import Activations, Images, Labels, Maps, Saliency, Weights
from recam.runtime.precision import without_autocast

OVERLAP = 0.4  # tau: fraction of a class's positions that must be salient for it to be an object
BALANCE = 0.5  # lambda: weight of the map of the objects against that of the background
POSITION = 1e-4  # added to the area of a class at each position: a class without area is no object


class Eps(Cam):
    """CAM with a channel for the background, trained to explain saliency maps too.

    L = L_cls + L_sal: the binary cross-entropy of the classes and ``saliency_loss``. The classifier
    has K + 1 rows, the background last; labels say nothing about it.

    Map of class k: its share in a softmax over the K classes and the background, 0 to 1. For
    another classifier U it is the share of U_k · f among those of U and the same background.

    Source: Lee et al., CVPR 2021. Cost: that of CAM. Training needs a saliency map of each image;
    maps are made without.

    >>> backbone = TorchvisionResNet("resnet18", output_stride=16)
    >>> model = Eps(backbone, channels=512, num_classes=2)
    >>> images, labels = torch.rand(2, 3, 64, 64), torch.tensor([[True, False], [True, True]])
    >>> list(model.loss(images, labels, torch.rand(2, 64, 64)))
    ['bce', 'sal']
    """

    def __init__(self, backbone: nn.Module, *, channels: int, num_classes: int):
        super().__init__(backbone, channels=channels, num_classes=num_classes + 1)

    @property
    def weights(self) -> Weights:
        """W: the rows of the classes, without that of the background."""
        return self.classifier[:-1]

    def losses(self, images: Images, labels: Labels) -> tuple[dict[str, Tensor], Activations]:
        """L_cls (``bce``); the evidence of a class is its share."""
        losses, found = super().losses(images, labels)
        with without_autocast(found.features):
            evidence = self._shares(self.weights, found.features)
        return losses, replace(found, evidence=evidence)

    def saliency_losses(
        self, found: Activations, labels: Labels, saliency: Saliency
    ) -> dict[str, Tensor]:
        """L_sal (``sal``)."""
        return {"sal": saliency_loss(found.evidence, labels, saliency)}

    def maps_by(self, images: Images, *weights: Weights) -> list[Maps]:
        """The shares of the classes by each U, 0 to 1."""
        features = self.features(images)
        with without_autocast(features):
            return [self._shares(each, features) for each in weights]

    def _shares(self, weights: Weights, features: Float[Tensor, "B C h w"]) -> Maps:
        rows = torch.cat([weights, self.classifier[-1:]])
        return project(rows, features).softmax(dim=1)[:, :-1]


def saliency_loss(shares: Maps, labels: Labels, saliency: Saliency) -> Float[Tensor, ""]:
    """L_sal: the mean squared difference of the saliency from that which the shares predict.

    A present class that is an object (``is_object``) counts as salient, another present class as
    background; absent classes have no part in the map of the objects. The prediction is the mean,
    weighted by ``BALANCE``, of the map of the objects and of 1 minus that of the background. The
    saliency is read at the nearest pixel of each position. DEVIATION: unknown saliency (below 0),
    that of padding, is left out; the mean is over the known positions of an image, then over
    images.
    """
    target = functional.interpolate(saliency[:, None], size=shares.shape[2:], mode="nearest")
    known = target >= 0  # (B, 1, h, w)
    is_salient = labels & is_object(shares, target)
    objects = _sum_of(shares, is_salient)
    background = 1 - shares.sum(dim=1) + _sum_of(shares, labels & ~is_salient)
    predicted = BALANCE * objects + (1 - BALANCE) * (1 - background)
    squared = (predicted[:, None] - target) ** 2 * known
    return (squared.sum(dim=(1, 2, 3)) / known.sum(dim=(1, 2, 3)).clamp(min=1)).mean()


def is_object(shares: Maps, target: Float[Tensor, "B 1 h w"]) -> Bool[Tensor, "B K"]:
    """Whether more than ``OVERLAP`` of the positions of a class are salient, by share and saliency.

    A position is of a class if its share is above a half, and salient if its saliency is.
    """
    known = (target >= 0).to(shares.dtype)
    area = shares.detach().round() * known
    salient = (area * target.round()).sum(dim=(2, 3))
    return salient / ((area + POSITION) * known).sum(dim=(2, 3)) > OVERLAP


def _sum_of(shares: Maps, chosen: Bool[Tensor, "B K"]) -> Float[Tensor, "B h w"]:
    return (shares * chosen[:, :, None, None]).sum(dim=1)
