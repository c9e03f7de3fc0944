"""Training on the features of a frozen backbone, computed once for each view and kept in files.

Axes: C channels, h w feature grid of a whole image, n cells along a side of the crop.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float16, UInt8
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from recam.core.errors import UserError
from recam.core.randomness import numpy_generator
from recam.data.augmentation import (
    View,
    draw_grid_view,
    grid_crop,
    longer_sides,
    whole_image,
)
from recam.data.loading import LabelledImages, MaskedImages, batches_of, pixels_of
from recam.io.atomic import sha256
from recam.io.checkpoints import ModelConfig
from recam.io.feature_files import FeatureFiles
from recam.io.images import image_size, read_image
from recam.models.backbones import Backbone
from recam.runtime.precision import autocast

FORMAT = "recam-features-1"
LARGEST = float(torch.finfo(torch.float16).max)
MIRRORED, PLAIN = "m", "p"  # last part of a view's name

Pixels = UInt8[np.ndarray, "H W 3"]
Features = Float16[np.ndarray, "C h w"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """An item whose features may be missing; loader processes have no backbone."""

    name: str  # of the view in the files
    view: View
    features: Float16[Tensor, "C n n"] | None  # cropped; None if no file has them
    image: Pixels | None  # the whole image of the view, where the features are missing
    targets: tuple[Tensor, ...]


class DrawnViews(Dataset[Drawn]):
    """The items of a training on a feature grid of ``stride`` pixels.

    ``images`` gives the targets; its crop is a multiple of the stride.
    """

    def __init__(self, images: LabelledImages | MaskedImages, files: FeatureFiles, *, stride: int):
        self.images = images
        self.files = files
        self.stride = stride
        self.split = images.split
        self.random_seed = images.random_seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> Drawn:
        path = self.split.images[key[1]]
        generator = numpy_generator(self.random_seed, "augment", *key)
        size, varied = image_size(path), self.images.augmentation
        view = draw_grid_view(size, varied, generator, stride=self.stride)
        name = "-".join(
            (sha256(path), "x".join(map(str, view.size)), MIRRORED if view.mirrored else PLAIN)
        )
        stored = self.files.read(name)
        is_stored = stored is not None
        return Drawn(
            name=name,
            view=view,
            features=self.cropped(stored, view) if is_stored else None,
            image=None if is_stored else whole_image(read_image(path, at_least=view.size), view),
            targets=self.images.targets(key[1], view),
        )

    def cropped(self, features: Features, view: View) -> Float16[Tensor, "C n n"]:
        """The features in the crop of a view; 0 in the padding."""
        return grid_crop(features, view, self.images.augmentation, stride=self.stride)


class FrozenImages:
    """Items with features (C, n, n) float32 in place of images.

    ``features_of`` computes the missing ones, one image at a time, so that no feature depends on
    the rest of its batch; all pass float16, stored or not. For classifiers the features of a padded
    crop are multiplied by n² / visible cells: means over all cells are then those over the visible
    ones, and the padding, which is 0, has no evidence.
    """

    def __init__(self, views: DrawnViews, features_of: Callable[[Pixels], Features]):
        self.views = views
        self.features_of = features_of
        self.split = views.split
        self.random_seed = views.random_seed
        self.computed = 0

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, ...]:
        return self.completed(self.views[key])

    def completed(self, drawn: Drawn) -> tuple[Tensor, ...]:
        """The features and the targets of an item; missing features are computed and stored."""
        half = drawn.features
        if half is None:
            half = self.views.cropped(self._computed(drawn), drawn.view)
        features = half.float()
        if isinstance(self.views.images, LabelledImages):
            rows, columns = drawn.view.seen
            visible = (rows.stop - rows.start) * (columns.stop - columns.start)
            features *= self.views.images.augmentation.crop**2 / visible
        return features, *drawn.targets

    def batches(self, *, batch_size: int, workers: int) -> Callable[[int], Iterator[list[Tensor]]]:
        """As ``training_batches``: a function from the epoch to its shuffled batches."""
        drawn = batches_of(self.views, batch_size=batch_size, workers=workers, collate=list[Drawn])

        def batches(epoch: int) -> Iterator[list[Tensor]]:
            for items in drawn(epoch):
                yield default_collate([self.completed(item) for item in items])

        return batches

    def _computed(self, drawn: Drawn) -> Features:
        features = self.features_of(cast(Pixels, drawn.image))
        grid = tuple(side // self.views.stride for side in drawn.view.size)
        if features.shape[1:] != grid:
            raise UserError(
                f"frozen_backbone: expected a feature grid of {grid[0]} x {grid[1]} cells, one for "
                f"{self.views.stride} pixels, got {features.shape[1]} x {features.shape[2]}; "
                "choose another backbone, or set frozen_backbone: false"
            )
        self.computed += 1
        files = self.views.files
        was_full = files.is_full
        if not files.write(drawn.name, features) and not was_full:
            self._warn_of_limit()
        return features

    def _warn_of_limit(self) -> None:
        files = self.views.files
        stored = files.count()
        varied = self.views.images.augmentation
        views = 2 * len(longer_sides(varied.resize_min, varied.resize_max)) * len(self)
        logger.warning(
            "warning: feature_cache: %s; %d views of this backbone are stored, others, of up to "
            "%d, are computed anew in every epoch",
            files.obstacle,
            stored,
            views,
        )


def features_function(
    backbone: Backbone, *, device: torch.device, precision: torch.dtype
) -> Callable[[Pixels], Features]:
    """A function from an image to its features, computed by the backbone on ``device``."""
    backbone.to(device).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def features_of(image: Pixels) -> Features:
        with autocast(precision, device):
            features = backbone(backbone.normalise(pixels_of([image], device)))[0]
        return features.float().clamp(-LARGEST, LARGEST).half().cpu().numpy()

    return features_of


def features_key(
    backbone: Backbone,
    config: ModelConfig,
    *,
    code: str,
    device: torch.device,
    precision: torch.dtype,
) -> str:
    """A hash of everything but the image that features depend on, the weights' content included.

    ``code`` is a hash of the code that computes them.
    """
    head = [FORMAT, code, config.backbone, config.output_stride, backbone.mean, backbone.std]
    digest = hashlib.sha256(json.dumps([*head, device.type, str(precision)]).encode())
    for name, tensor in backbone.state_dict().items():
        digest.update(json.dumps([name, list(tensor.shape), str(tensor.dtype)]).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
