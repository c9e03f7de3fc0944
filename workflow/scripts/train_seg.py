"""Train a segmenter on masks: pseudo masks, or for the upper bound the true ones."""

import argparse
from functools import partial
from pathlib import Path

import _step
from _training import fit

from recam.artifacts import Blueprint, load_checkpoint
from recam.build.backbones import backbone_of
from recam.build.segmenters import make_segmenter
from recam.data.layout import MASKS, WeakSplit, load_weak_split
from recam.data.loading import MaskedImages
from recam.errors import UserError
from recam.models.segmenters import DeepLab
from recam.models.weights import load_weights
from recam.randomness import derived_seed, seeded_initialisation


def main(args: argparse.Namespace) -> None:
    """Build and fill the network, train it, save it."""
    split = load_weak_split(args.data, args.split)
    _require_masks(args.masks, split)
    blueprint = Blueprint(
        method=args.segmenter,
        backbone=args.backbone,
        output_stride=args.output_stride,
        classes=split.classes,
        frozen_batch_norm=args.frozen_batch_norm,
        frozen_stem=False,
        rates=tuple(args.rates),
    )
    with seeded_initialisation(args.random_seed, "train_seg"):
        model = make_segmenter(blueprint)
    if args.weights == "classifier":
        _start_from(args.classifier, model, blueprint)
    else:
        load_weights(backbone_of(model), name=args.backbone, weights=args.weights)
    seed = derived_seed(args.random_seed, "train_seg")
    fit(
        args,
        model,
        partial(MaskedImages, split, args.masks, random_seed=seed),
        blueprint=blueprint,
        learning_rates={"backbone": args.lr, "": args.lr_head},
        inputs=(args.data, args.masks, args.classifier),
    )


def _require_masks(folder: Path, split: WeakSplit) -> None:
    missing = [image_id for image_id in split.ids if not (folder / f"{image_id}.png").is_file()]
    if missing:
        remedy = (
            "add them, or take supervised off methods"
            if folder.name == MASKS
            else "make_cams.split does not cover train_seg.split; make them the same"
        )
        raise UserError(
            f"{folder}: has no mask for {len(missing)} of the {len(split.ids)} images of split "
            f"{split.name} (first: {missing[0]}); {remedy}"
        )


def _start_from(classifier: Path, model: DeepLab, blueprint: Blueprint) -> None:
    """Take the backbone of stage one: it has seen image-level labels, never a mask."""
    tensors, trained = load_checkpoint(classifier)
    if trained.backbone != blueprint.backbone:
        raise UserError(
            f"{classifier}: has backbone {trained.backbone}, train_seg.backbone is "
            f"{blueprint.backbone}; make them the same, or set train_seg.weights to imagenet"
        )
    prefix = "backbone."
    mine = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    backbone_of(model).load_state_dict(mine)


if __name__ == "__main__":
    _step.run(
        main,
        description=__doc__,
        paths={
            "data": "data set in VOC layout; its own masks are not read",
            "masks": "folder of masks to train on, palette PNG",
            "classifier": "checkpoint of train_cam, for weights: classifier",
            "checkpoint": "out: trained segmenter",
            "curve": "out: CSV of the losses by epoch",
        },
        section="train_seg",
        common=("random_seed", "device", "threads"),
    )
