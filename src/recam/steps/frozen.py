"""Parts of trainings with a frozen backbone: the place of its features and their limit."""

import hashlib
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from recam.core.errors import UserError
from recam.data.augmentation import Augmentation, on_grid
from recam.data.loading import LabelledImages, MaskedImages
from recam.io.checkpoints import ModelConfig
from recam.io.feature_files import GIB, FeatureFiles
from recam.models.backbones import Backbone
from recam.models.frozen import features_for_images
from recam.pipeline.frozen import (
    DrawnViews,
    FrozenImages,
    features_function,
    features_key,
)
from recam.steps.code import imported_files, meaning
from recam.steps.command import FEATURE_CACHE
from recam.steps.without_effect import chosen

CACHE = Path(".cache/features")  # beside the data set; no engine and no git knows of it

logger = logging.getLogger(__name__)

FrozenBy = Callable[
    [Callable[[Augmentation], LabelledImages | MaskedImages], Augmentation], FrozenImages
]


@contextmanager
def frozen_features(
    model: nn.Module,
    config: ModelConfig,
    data: Path,
    *,
    device: torch.device,
    precision: torch.dtype,
) -> Iterator[FrozenBy]:
    """Inside, the model takes features in place of images; yields a function that makes items.

    The features of all trainings on the data set are in one folder. At the end the log has the
    number of views that the backbone computed.
    """
    with features_for_images(model) as backbone:
        code = hashlib.sha256("".join(map(meaning, code_of_features(backbone))).encode())
        key = features_key(
            backbone, config, code=code.hexdigest(), device=device, precision=precision
        )
        files = FeatureFiles(data.parent / CACHE, key=key, limit=round(_limit() * GIB))
        files.touch()
        logger.info("frozen backbone: %d views in %s", files.count(), files.folder)
        features_of = features_function(backbone, device=device, precision=precision)
        stride = backbone.level_strides[-1]
        made: list[FrozenImages] = []

        def frozen(
            images: Callable[[Augmentation], LabelledImages | MaskedImages],
            augmentation: Augmentation,
        ) -> FrozenImages:
            views = DrawnViews(images(on_grid(augmentation, stride=stride)), files, stride=stride)
            made.append(FrozenImages(views, features_of))
            return made[-1]

        yield frozen
        computed = sum(images.computed for images in made)
        logger.info("frozen backbone: %d views computed, all others read", computed)


def code_of_features(backbone: Backbone) -> list[Path]:
    """The files of this project that compute views of images and the features of ``backbone``."""
    roots = {Path(inspect.getfile(part)).resolve() for part in (DrawnViews, type(backbone))}
    return sorted(roots.union(*map(imported_files, roots)))


def refuse_changed_colours(colour: float) -> None:
    """Raise UserError for changed colours: every colour would be a view of its own."""
    if colour:
        raise UserError(
            f"colour: expected 0 with a frozen backbone, whose features are computed once, got "
            f"{colour}; set it to 0.0"
        )


def _limit() -> float:
    """The limit in GiB; 0 in a folder without params.yaml."""
    try:
        return max(0.0, float(chosen("feature_cache", variable=FEATURE_CACHE) or 0))
    except ValueError:
        return 0.0
