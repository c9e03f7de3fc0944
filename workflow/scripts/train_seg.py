"""Train a segmenter on masks: pseudo masks, or for the upper bound the true ones."""

import argparse
import logging
from functools import partial
from pathlib import Path

from _library import run

from recam.catalogue.segmenters import make_segmenter
from recam.checks.masks import check_masks, mask_warnings, remedy_for
from recam.core.errors import UserError
from recam.core.randomness import derived_seed
from recam.data.layout import load_weak_split
from recam.data.loading import MaskedImages
from recam.io.checkpoints import ModelConfig, load_checkpoint
from recam.models.backbones import backbone_of
from recam.models.initialisation import seeded_initialisation
from recam.models.segmenters import Segmenter
from recam.models.weights import load_backbone, load_weights
from recam.pipeline.watch import Watch
from recam.steps.fit import fit
from recam.steps.launch import shared

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    """Look at the masks, build and fill the network, train it, save it."""
    split = load_weak_split(args.data, args.split)
    model_config = ModelConfig(
        method=args.segmenter,
        backbone=args.backbone,
        output_stride=args.output_stride,
        classes=split.classes,
        frozen_batch_norm=args.frozen_batch_norm,
        frozen_stem=False,
        rates=tuple(args.rates),
        longest_side=args.resize_max,
    )
    with seeded_initialisation(args.random_seed, "train_seg"):
        model = make_segmenter(model_config)
    seen = check_masks(split, args.masks)
    logger.info("masks: %.1f %% foreground", 100 * seen.foreground)
    for sentence in mask_warnings(split, args.masks, seen):
        logger.warning(sentence)
    if args.weights == "classifier":
        _start_from(args.classifier, model, model_config)
    else:
        load_weights(backbone_of(model), name=args.backbone, weights=args.weights)
    seed = derived_seed(args.random_seed, "train_seg")
    fit(
        args,
        model,
        partial(MaskedImages, split, args.masks, random_seed=seed),
        model_config=model_config,
        learning_rates={"backbone": args.lr, "": args.lr_head, ".bias": args.lr_head_bias},
        inputs=(args.data, args.masks, args.classifier),
        watch=Watch(model, remedy=remedy_for(args.masks)),
    )


def _start_from(classifier: Path, model: Segmenter, model_config: ModelConfig) -> None:
    """Take the backbone of stage one: it has seen image-level labels, never a mask."""
    tensors, trained = load_checkpoint(classifier)
    if trained.backbone != model_config.backbone:
        raise UserError(
            f"{classifier}: has backbone {trained.backbone}, train_seg.backbone is "
            f"{model_config.backbone}; make them the same, or set train_seg.weights to imagenet"
        )
    prefix = "backbone."
    theirs = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    load_backbone(backbone_of(model), theirs, source=str(classifier), name=model_config.backbone)


if __name__ == "__main__":
    run(
        shared(main),
        description=__doc__,
        paths={
            "data": "data set in VOC layout; its own masks are not read",
            "masks": "folder of masks to train on, palette PNG",
            "classifier": "checkpoint of train_cam, for weights: classifier",
            "checkpoint": "out: trained segmenter",
            "curve": "out: CSV of the losses by epoch",
        },
        section="train_seg",
        common=("random_seed", "device", "devices", "precision", "threads"),
    )
