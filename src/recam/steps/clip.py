"""Parts of train_cam for CLIP-ES: the frozen tower with its text vectors."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from recam.catalogue.methods import make_classifier
from recam.core.errors import UserError
from recam.io.checkpoints import ModelConfig, save_checkpoint
from recam.io.texts import Texts, load_texts, require_texts
from recam.methods.clip_es import ClipEs
from recam.models.backbones import backbone_of
from recam.models.initialisation import seeded_initialisation
from recam.models.weights import initial_tensors, load_backbone
from recam.pipeline.training import write_curve
from recam.runtime.distributed import is_first
from recam.steps.paths import TrainCamPaths
from recam.steps.sections.train_cam import TrainCamRun

PROJECTION = "head.weight"  # (D, C) in timm's networks
NONE, TIMM = "none", "timm"  # weights of the tower: random, and those of timm

logger = logging.getLogger(__name__)


def save_tower(paths: TrainCamPaths, numbers: TrainCamRun, *, classes: tuple[str, ...]) -> None:
    """Save the tower with its text vectors, and a curve without points: nothing is trained.

    Raises UserError without text vectors, for those of other classes or of another model, and if
    the tower's weights cannot be loaded.
    """
    texts = _given(paths.texts, numbers.method)
    require_texts(texts, classes, source=paths.texts or Path())
    if not is_first():
        return
    model, model_config = initial_tower(numbers, texts)
    logger.info("%s trains nothing: its tower and text vectors are saved", numbers.method)
    write_curve(paths.curve, [])
    save_checkpoint(paths.checkpoint, model.state_dict(), model_config, beside=[paths.curve])


def initial_tower(numbers: TrainCamRun, texts: Texts) -> tuple[ClipEs, ModelConfig]:
    """The tower with its weights, its projection and the texts. Raises UserError if they differ."""
    model_config = ModelConfig(
        method=numbers.method,
        backbone=numbers.clip_tower,
        output_stride=numbers.clip_stride,
        classes=texts.classes,
        frozen_batch_norm=False,
        frozen_stem=False,
        text_channels=texts.class_vectors.shape[1],
        background_texts=len(texts.background),
    )
    with seeded_initialisation(numbers.random_seed, "train_cam"):
        model = make_classifier(model_config)
    if not isinstance(model, ClipEs):
        raise TypeError(f"expected CLIP-ES, got the network of {numbers.method}")
    vectors = torch.cat([texts.class_vectors, texts.background_vectors])
    model.set_texts(vectors, scale=texts.scale)
    if numbers.clip_weights != NONE:
        weights = "imagenet" if numbers.clip_weights == TIMM else numbers.clip_weights
        tensors, source = initial_tensors(name=numbers.clip_tower, weights=weights)
        load_backbone(backbone_of(model), tensors, source=source, name=numbers.clip_tower)
        model.projection.copy_(_projection(tensors, model.projection, source=source))
    return model, model_config


def _given(path: Path | None, method: str) -> Texts:
    if path is None:
        raise UserError(
            f"--texts: {method} expects the text vectors of embed_texts, got none; run "
            "embed_texts and pass its output"
        )
    return load_texts(path)


def _projection(tensors: Mapping[str, Tensor], like: Tensor, *, source: str) -> Tensor:
    found = tensors.get(PROJECTION)
    if found is None or found.shape != like.shape:
        got = "none" if found is None else f"one of shape {tuple(found.shape)}"
        raise UserError(
            f"weights of {source}: expected the projection {PROJECTION} of shape "
            f"{tuple(like.shape)}, from the tower to the text vectors, got {got}; set "
            "train_cam.clip_tower to the image tower of embed_texts.model"
        )
    return found
