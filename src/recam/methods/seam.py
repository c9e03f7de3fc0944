"""SEAM: maps that follow a change of the image's scale, and a module that shares them by likeness.

Wang et al., "Self-Supervised Equivariant Attention Mechanism for Weakly Supervised Semantic
Segmentation", CVPR 2020; constants are those of the authors' code.

Axes: B images, K foreground classes, C channels, H W pixels, h w feature grid, P = h · w positions,
n = K + 1 with the background first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from recam.core.errors import UserError
from recam.methods.cam import EPSILON, Cam, multilabel_loss, pooled_logits, project
from recam.methods.variant import Activations, Images, Labels, Maps, Weights
from recam.runtime.precision import to_float32, without_autocast

# Channels of the pixel correlation module: of its two levels, and of the space it compares in.
EARLY, LATE, JOINT = 64, 128, 192
JOINT_GAIN = 4.0  # of the initial weights of the joint space
QUIET = 4  # L_min takes the mean of one in so many positions, those of the least evidence
HARDEST = 0.2  # fraction of the differences whose mean is L_ecr
EARLIER = slice(-3, -1)  # the levels that PCM compares: the two before the last

Affinity = Float[Tensor, "B P P"]


@runtime_checkable  # the tests check types at run time
class LevelledBackbone(Protocol):
    """A backbone that gives its levels together with its final features."""

    channels: int  # of the final features
    level_channels: tuple[int, ...]  # of every level, the finest first

    def with_levels(self, images: Tensor, /) -> tuple[list[Tensor], Tensor]:
        """The levels, the finest first, and the final features."""
        ...


class PixelCorrelation(nn.Module):
    """The pixel correlation module (PCM): a learned likeness of all pairs of positions.

    It compares the image's colours and two earlier levels of the backbone, which it does not train.
    """

    def __init__(self, early_channels: int, late_channels: int):
        super().__init__()
        self.early = nn.Conv2d(early_channels, EARLY, kernel_size=1, bias=False)
        self.late = nn.Conv2d(late_channels, LATE, kernel_size=1, bias=False)
        self.joint = nn.Conv2d(3 + EARLY + LATE, JOINT, kernel_size=1, bias=False)
        for layer in (self.early, self.late):
            nn.init.kaiming_normal_(layer.weight)
        nn.init.xavier_uniform_(self.joint.weight, gain=JOINT_GAIN)

    def forward(self, images: Images, early: Tensor, late: Tensor, *, grid: torch.Size) -> Affinity:
        """The affinity: ReLU of the cosine between positions of the grid; each column sums to 1."""
        with without_autocast(images):
            colours, first, second = (
                functional.interpolate(to_float32(each.detach()), size=grid, mode="area")
                for each in (images, early, late)
            )
            parts = [colours, torch.relu(self.early(first)), torch.relu(self.late(second))]
            joint = self.joint(torch.cat(parts, dim=1)).flatten(2)  # (B, JOINT, P)
            unit = joint / (joint.norm(dim=1, keepdim=True) + EPSILON)
            alike = torch.relu(unit.mT @ unit)
            return alike / (alike.sum(dim=1, keepdim=True) + EPSILON)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """The outputs for one view of the images, under ``without_autocast``."""

    features: Float[Tensor, "B C h w"]
    affinity: Affinity | None  # None without PCM

    def cams(self, weights: Weights) -> Maps:
        return torch.relu(project(weights, self.features))


class Seam(Cam):
    """CAM trained to give the same maps at two scales, with or without pixel correlation (PCM).

    L = L_cls + L_er: the binary cross-entropy of both views and ``equivariance_loss``, where the
    second view is the image resized by ``scale``. With PCM also L_min and L_ecr, ``quiet_loss`` and
    ``consistency_loss``, which train PCM alone. L_er is multiplied by ``weight``, 1 in the paper.
    The background is 1 minus the strongest class: the authors' classifier has a channel for it,
    which gets no gradient.

    Map of class k: ReLU(W_k · f); with PCM it is ``competing`` and then ``spread`` by the affinity.
    The evidence that ReCAM re-activates is ReLU(W_k · f) in both cases, since PCM passes no
    gradient on to W and f.

    Source: Wang et al., CVPR 2020. Cost in training: 1 + scale² forward and backward passes. Maps:
    one forward pass a view. PCM has P² numbers for each view.

    >>> backbone = TorchvisionResNet("resnet18", output_stride=16)
    >>> model = Seam(backbone, num_classes=2, scale=0.5, pcm=True)
    >>> list(model.loss(torch.rand(2, 3, 64, 64), torch.tensor([[True, False], [True, True]])))
    ['bce', 'er', 'min', 'ecr']
    """

    def __init__(
        self,
        backbone: LevelledBackbone,
        *,
        num_classes: int,
        scale: float,
        pcm: bool,
        weight: float = 1.0,
    ):
        super().__init__(
            cast(nn.Module, backbone), channels=backbone.channels, num_classes=num_classes
        )
        self.scale = scale
        self.weight = weight
        self.pcm = PixelCorrelation(*earlier_channels(backbone)) if pcm else None

    def losses(self, images: Images, labels: Labels) -> tuple[dict[str, Tensor], Activations]:
        """L_cls (``bce``), L_er and, with PCM, L_min and L_ecr."""
        views = [self._view(images)]
        with running_statistics_kept(self):
            views.append(self._view(resized(images, self.scale)))
        with without_autocast(images):
            logits = [pooled_logits(self.weights, view.features) for view in views]
            cams = [view.cams(self.weights) for view in views]
            losses = {
                "bce": _mean([multilabel_loss(each, labels) for each in logits]),
                "er": self.weight * equivariance_loss(cams[0], cams[1], labels),
            }
            refined = [
                spread(competing(each.detach()), view.affinity)
                for each, view in zip(cams, views, strict=True)
                if view.affinity is not None
            ]
            if refined:
                losses["min"] = _mean([quiet_loss(each[:, 1:], labels) for each in refined])
                losses["ecr"] = consistency_loss(cams, refined, labels)
        return losses, Activations(features=views[0].features, evidence=cams[0], logits=logits[0])

    def maps_by(self, images: Images, *weights: Weights) -> list[Maps]:
        """ReLU(U · f) for each U, or its classes after PCM: non-negative; one affinity for all."""
        view = self._view(images)
        with without_autocast(images):
            cams = [view.cams(each) for each in weights]
            if view.affinity is None:
                return cams
            return [spread(competing(each), view.affinity)[:, 1:] for each in cams]

    def _view(self, images: Images) -> _View:
        if self.pcm is None:
            return _View(features=self.features(images), affinity=None)
        levels, final = cast(LevelledBackbone, self.backbone).with_levels(images)
        features = to_float32(final)
        early, late = levels[EARLIER]
        affinity = self.pcm(images, early, late, grid=features.shape[2:])
        return _View(features=features, affinity=affinity)


@contextmanager
def running_statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch norms in training do not update their running statistics, which are of other sizes.

    Maps are made of images of the first view's size; statistics of the second view do not fit them.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.SyncBatchNorm)]
    learning = [norm for norm in norms if norm.training and norm.track_running_stats]
    for norm in learning:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in learning:
            norm.track_running_stats = True


def earlier_channels(backbone: LevelledBackbone) -> tuple[int, int]:
    """The channels of the two levels before the last. Raises UserError if there are fewer."""
    channels = backbone.level_channels[EARLIER]
    if len(channels) != 2:
        raise UserError(
            f"train_cam.seam_pcm: expected a backbone with two levels before its last, got "
            f"{len(channels)}; set seam_pcm: false or choose another backbone"
        )
    return channels


def resized(images: Images, scale: float) -> Float[Tensor, "B 3 i j"]:
    """The images at ``scale`` times their height and width, at least one pixel each."""
    size = [max(1, round(length * scale)) for length in images.shape[2:]]
    smaller = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
    return smaller.contiguous(memory_format=torch.channels_last)


def equivariance_loss(first: Maps, second: Float[Tensor, "B K i j"], labels: Labels) -> Tensor:
    """L_er: the mean difference of two views' maps, each mapped to 0 to 1, on the first one's grid.

    Maps of absent classes count as 0.
    """
    grid = first.shape[2:]
    return (_present(first, labels, grid) - _present(second, labels, grid)).abs().mean()


def quiet_loss(maps: Maps, labels: Labels) -> Float[Tensor, ""]:
    """L_min: the mean, over the quarter of the positions with the least, of the strongest class."""
    strongest = (maps * labels[:, :, None, None]).amax(dim=1).flatten(1)  # (B, P)
    quiet = max(1, strongest.shape[1] // QUIET)
    return strongest.topk(quiet, largest=False).values.mean()


def consistency_loss(
    cams: Sequence[Tensor], refined: Sequence[Tensor], labels: Labels
) -> Float[Tensor, ""]:
    """L_ecr: the difference of each view's refined maps from the other view's cams, on one grid.

    The mean of the largest fifth of the differences of each image. In the cams, (B, K, ., .), each
    position keeps its strongest class and gets a background; they are targets, without gradient.
    """
    grid = cams[0].shape[2:]
    with_background = functional.pad(labels, (1, 0), value=True)
    targets = [only_strongest(_present(each.detach(), labels, grid)) for each in cams]
    found = [_present(each, with_background, grid) for each in refined]
    return _hardest_mean(found[0] - targets[1]) + _hardest_mean(found[1] - targets[0])


def competing(cams: Maps) -> Float[Tensor, "B n h w"]:
    """Maps with a peak of 1, of which every position keeps the strongest, and the background."""
    peaks = cams.amax(dim=(2, 3), keepdim=True)
    return only_strongest(torch.relu(cams - EPSILON) / (peaks + EPSILON))


def only_strongest(maps: Maps) -> Float[Tensor, "B n h w"]:
    """The background, 1 minus the strongest class, and the classes, 0 where another is stronger."""
    strongest = maps.amax(dim=1, keepdim=True)
    return torch.cat([1 - strongest, maps * (maps >= strongest)], dim=1)


def spread(maps: Float[Tensor, "B n h w"], affinity: Affinity) -> Float[Tensor, "B n h w"]:
    """At every position j the mean of the maps, weighted by column j of the affinity."""
    return (maps.flatten(2) @ affinity).reshape(maps.shape)


def ranged(maps: Float[Tensor, "B n h w"]) -> Float[Tensor, "B n h w"]:
    """Every map minus its minimum, divided by its range: 0 to 1; a constant map becomes 0."""
    low, high = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    return torch.relu(maps - low - EPSILON) / (high - low + EPSILON)


def _present(maps: Tensor, labels: Tensor, grid: torch.Size) -> Tensor:
    """``ranged`` maps of the present classes, 0 for the others, on a grid."""
    of_present = ranged(maps) * labels[:, :, None, None]
    return functional.interpolate(of_present, size=grid, mode="bilinear")


def _hardest_mean(differences: Float[Tensor, "B n h w"]) -> Float[Tensor, ""]:
    of_image = differences.abs().flatten(1)
    return of_image.topk(max(1, int(HARDEST * of_image.shape[1]))).values.mean()


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()
