"""Stage one: train a multi-label classifier with binary cross-entropy. Its maps are CAMs."""

import argparse
from functools import partial

from _library import run

from recam.catalogue.methods import make_classifier
from recam.core.randomness import derived_seed
from recam.data.layout import load_weak_split
from recam.data.loading import LabelledImages
from recam.io.checkpoints import ModelConfig
from recam.models.backbones import backbone_of
from recam.models.initialisation import seeded_initialisation
from recam.models.weights import load_weights
from recam.steps.fit import fit
from recam.steps.launch import shared


def main(args: argparse.Namespace) -> None:
    """Build and fill the network, train it, save it."""
    split = load_weak_split(args.data, args.split)
    model_config = ModelConfig(
        method="cam",
        backbone=args.backbone,
        output_stride=args.output_stride,
        classes=split.classes,
        frozen_batch_norm=args.frozen_batch_norm,
        frozen_stem=args.frozen_stem,
    )
    with seeded_initialisation(args.random_seed, "train_cam"):
        model = make_classifier(model_config)
    load_weights(backbone_of(model), name=args.backbone, weights=args.weights)
    seed = derived_seed(args.random_seed, "train_cam")
    fit(
        args,
        model,
        partial(LabelledImages, split, random_seed=seed),
        model_config=model_config,
        learning_rates={"backbone": args.lr, "classifier": args.lr_classifier},
        inputs=(args.data,),
    )


if __name__ == "__main__":
    run(
        shared(main),
        description=__doc__,
        paths={
            "data": "data set in VOC layout; its masks are not read",
            "checkpoint": "out: trained classifier",
            "curve": "out: CSV of the losses by epoch",
        },
        section="train_cam",
        common=("random_seed", "device", "devices", "precision"),
    )
