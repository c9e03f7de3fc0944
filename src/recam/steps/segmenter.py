"""Parts of train_seg: the masks' check and the network before training."""

import logging
from pathlib import Path

from recam.catalogue.names import METHODS
from recam.catalogue.segmenters import make_segmenter
from recam.checks import masks as checks
from recam.core.errors import UserError
from recam.data.layout import WeakSplit
from recam.io.checkpoints import ModelConfig, load_checkpoint
from recam.models.backbones import backbone_of
from recam.models.initialisation import seeded_initialisation
from recam.models.segmenters import Segmenter
from recam.models.weights import load_backbone, load_weights
from recam.steps.sections.train_seg import TrainSegRun

logger = logging.getLogger(__name__)


def report_on_masks(split: WeakSplit, masks: Path) -> None:
    """Log the share of foreground and warnings. Raises UserError for masks that cannot train."""
    seen = checks.check_masks(split, masks)
    logger.info("masks: %.1f %% foreground", 100 * seen.foreground)
    for sentence in checks.mask_warnings(split, masks, seen):
        logger.warning(sentence)


def initial_segmenter(
    numbers: TrainSegRun, classes: tuple[str, ...]
) -> tuple[Segmenter, ModelConfig]:
    """The network with the fresh weights of its random seed."""
    model_config = ModelConfig(
        method=numbers.segmenter,
        backbone=numbers.backbone,
        output_stride=numbers.output_stride,
        classes=classes,
        frozen_batch_norm=numbers.frozen_batch_norm,
        frozen_stem=False,
        frozen_backbone=numbers.frozen_backbone,
        rates=numbers.rates,
        longest_side=numbers.resize_max,
    )
    with seeded_initialisation(numbers.random_seed, "train_seg"):
        return make_segmenter(model_config), model_config


def load_initial_weights(
    model: Segmenter, model_config: ModelConfig, weights: str, classifier: Path
) -> None:
    """Load the backbone's weights; those of ``classifier`` have seen labels and no masks."""
    if weights != "classifier":
        load_weights(backbone_of(model), name=model_config.backbone, weights=weights)
        return
    tensors, trained = load_checkpoint(classifier)
    if trained.method not in METHODS:
        raise UserError(
            f"{classifier}: expected a classifier, got a network of method {trained.method}; give "
            "a classifier.pt, which train_cam makes"
        )
    if trained.backbone != model_config.backbone:
        raise UserError(
            f"{classifier}: has backbone {trained.backbone}, train_seg.backbone is "
            f"{model_config.backbone}; make them the same, or set train_seg.weights to imagenet"
        )
    prefix = "backbone."
    theirs = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    load_backbone(backbone_of(model), theirs, source=str(classifier), name=model_config.backbone)
