"""LPCAM: maps by similarity to local prototypes of each class; nothing is trained.

Chen & Sun, "Extracting Class Activation Maps from Non-Discriminative Features as well", CVPR 2023.
A classifier weighs the features that tell classes apart. Prototypes are centres of clusters of all
local features of a class, so that its less discriminative parts count as much.

Axes: B images, K foreground classes, C channels, h w feature grid.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from recam.methods.cam import project
from recam.methods.variant import Readout, Variant, both_views
from recam.runtime.precision import without_autocast


@dataclass(frozen=True, slots=True, kw_only=True)
class Prototypes:
    """Centres of clusters of local features, by class."""

    foreground: tuple[Float[Tensor, "_ C"], ...]  # none for a class without features
    context: tuple[Float[Tensor, "_ C"], ...]  # of the surroundings of a class; may be none

    def directions(self) -> Float[Tensor, "K C"]:
        """The mean unit foreground centre of each class minus its mean unit context centre.

        The product with a unit vector is its mean cosine with the foreground centres minus that
        with the context centres. Zeros for a class without foreground centres.
        """
        return torch.stack(
            [
                (_mean_direction(near) - _mean_direction(around)) * float(len(near) > 0)
                for near, around in zip(self.foreground, self.context, strict=True)
            ]
        )


def lpcam(model: Variant, prototypes: Prototypes, *, fallback: Readout) -> Readout:
    """The read-out relu(mean_j cos(f, F_kj) - mean_j cos(f, X_kj)) of each class k.

    f is the sum of the features of an image and of its mirror image, F_k are the foreground and
    X_k the context prototypes of class k. A class without foreground prototypes has the map that
    ``fallback`` gives. Cost: two forward passes, and those of ``fallback`` for a batch with such a
    class. DEVIATION: the authors' code leaves out relu for a class without context prototypes.

    >>> from torch import nn
    >>> from recam.methods.cam import Cam
    >>> ring, disc, grass = torch.eye(3).split(1)  # one-hot features
    >>> prototypes = Prototypes(foreground=(ring, disc), context=(grass, grass))
    >>> cam = Cam(nn.Identity(), channels=3, num_classes=2)
    >>> image = torch.tensor([4.0, 0.0, 3.0]).reshape(1, 3, 1, 1)
    >>> maps = lpcam(cam, prototypes, fallback=both_views(cam.maps))
    >>> maps(image, torch.tensor([[True, True]])).flatten().round(decimals=3)
    tensor([0.2000, 0.0000])
    """
    device = model.weights.device
    directions = prototypes.directions().to(device)
    without = torch.tensor([len(near) == 0 for near in prototypes.foreground], device=device)

    def readout(images: Tensor, present: Tensor) -> Tensor:
        features = both_views(model.features)(images, present)
        with without_autocast(features):
            maps = torch.relu(project(directions, functional.normalize(features, dim=1)))
        if not (present & without).any():
            return maps
        return torch.where(without[:, None, None], fallback(images, present), maps)

    return readout


def _mean_direction(centres: Float[Tensor, "_ C"]) -> Float[Tensor, "C"]:
    if not len(centres):
        return centres.new_zeros(centres.shape[1])
    return functional.normalize(centres, dim=1).mean(dim=0)
