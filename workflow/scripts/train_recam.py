"""Stage two: train on from a CAM, with the softmax loss (recam) or without it (control)."""

import argparse
from dataclasses import replace
from functools import partial

from _library import run

from recam.catalogue.methods import METHODS, make_classifier
from recam.core.randomness import derived_seed
from recam.data.layout import load_weak_split, require_classes
from recam.data.loading import LabelledImages
from recam.io.checkpoints import load_checkpoint
from recam.models.initialisation import seeded_initialisation
from recam.steps.fit import fit
from recam.steps.launch import shared


def main(args: argparse.Namespace) -> None:
    """Load stage one, re-activate it, train, save."""
    split = load_weak_split(args.data, args.split)
    tensors, model_config = load_checkpoint(args.cam)
    require_classes(model_config.classes, split.classes, source=args.cam)
    cam = make_classifier(model_config)
    cam.load_state_dict(tensors)
    with seeded_initialisation(args.random_seed, "train_recam"):
        model = METHODS[args.method](cam, args.weight)
    # One seed for both methods: control sees the same batches and differs by the loss alone.
    seed = derived_seed(args.random_seed, "train_recam")
    rates = {"backbone": args.lr, "classifier": args.lr, "reclassifier": args.lr_reclassifier}
    fit(
        args,
        model,
        partial(LabelledImages, split, random_seed=seed),
        model_config=replace(model_config, method=args.method, weight=args.weight),
        learning_rates=rates,
        inputs=(args.data, args.cam),
    )


if __name__ == "__main__":
    run(
        shared(main),
        description=__doc__,
        paths={
            "data": "data set in VOC layout; its masks are not read",
            "cam": "checkpoint of train_cam to go on from",
            "checkpoint": "out: trained classifier",
            "curve": "out: CSV of the losses by epoch",
        },
        section="train_recam",
        common=("method", "random_seed", "device", "devices", "precision", "threads"),
    )
