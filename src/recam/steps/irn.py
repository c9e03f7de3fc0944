"""IRN's training: masks of sure pixels, made from cams by a CRF, then the network."""

import argparse
import logging
from functools import partial
from pathlib import Path

import numpy as np
import torch

from recam.catalogue.refiners import make_irn
from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, mask_of_choices
from recam.core.randomness import derived_seed
from recam.data.layout import WeakSplit, load_weak_split
from recam.data.loading import MaskedImages, pixels_of
from recam.io.checkpoints import ModelConfig
from recam.io.images import read_image, read_mask, write_mask
from recam.io.resumable import ResumableFolder
from recam.models.backbones import backbone_of
from recam.models.initialisation import seeded_initialisation
from recam.models.weights import load_weights
from recam.pipeline.pseudo_masks import alike_batches, in_threads, load_cams
from recam.pipeline.training import epochs_done
from recam.refine.affinities import STRIDE
from recam.refine.crf_masks import confident_labels
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first_after_all, shard
from recam.steps import command
from recam.steps.crf import crf_of
from recam.steps.fit import fit, state_file
from recam.steps.launch import shared

IMAGES_ON_A_GPU = 4  # of one size, that a CRF works on together

logger = logging.getLogger(__name__)


@shared
def train_irn(args: argparse.Namespace) -> None:
    """Make the masks, train the heads on them, save the network."""
    _require_room(args)
    # Which of the refiners needs the network makes no difference to it.
    args = argparse.Namespace(**{k: v for k, v in vars(args).items() if k != "refiner"})
    split = load_weak_split(args.data, args.split)
    inputs = (args.data, args.cams)
    key = command.fingerprint(args, *inputs)
    masks = ResumableFolder(args.checkpoint.with_name("irn_masks"), key=key)
    if epochs_done(state_file(args), key=key) < args.epochs:
        _make_masks(args, split, masks)
    model_config = ModelConfig(
        method="irn",
        backbone=args.backbone,
        output_stride=args.output_stride,
        classes=split.classes,
        frozen_batch_norm=True,
        frozen_stem=True,
        radius=args.radius,
    )
    with seeded_initialisation(args.random_seed, "train_irn"):
        model = make_irn(model_config)
    load_weights(backbone_of(model), name=args.backbone, weights=args.weights)
    seed = derived_seed(args.random_seed, "train_irn")
    fit(
        args,
        model,
        partial(MaskedImages, split, masks.partial, random_seed=seed),
        model_config=model_config,
        learning_rates={
            "edge_head": args.lr_edges,
            "displacement_head": args.lr_displacements,
        },
        inputs=inputs,
        keeps_state=True,
    )
    if is_first_after_all():
        masks.drop()


def _require_room(args: argparse.Namespace) -> None:
    reach = 2 * (args.radius - 1) * STRIDE
    if args.crop <= reach:
        raise UserError(
            f"crop: expected more than {reach} pixels, in which pairs of radius {args.radius} have "
            f"room, got {args.crop}; raise it, or lower radius"
        )


def _make_masks(args: argparse.Namespace, split: WeakSplit, masks: ResumableFolder) -> None:
    """Masks of sure pixels, 255 elsewhere, for every image of the split."""
    if args.background > args.foreground:
        raise UserError(
            f"background: expected at most foreground ({args.foreground}), got {args.background}"
        )
    device = make_device(args.device, threads=args.threads)
    crf = crf_of(args)

    def make(batch: list[tuple[Path, Path]]) -> None:
        images = [read_image(path) for _, path in batch]
        cams = [
            load_cams(file, image, num_classes=len(split.classes))
            for (file, _), image in zip(batch, images, strict=True)
        ]
        choices = confident_labels(
            torch.from_numpy(np.stack([scored.scores for scored in cams])).to(device),
            pixels_of(images, device),
            foreground=args.foreground,
            background=args.background,
            certainty=args.certainty,
            crf=crf,
        )
        for (file, _), scored, chosen in zip(batch, cams, choices.cpu().numpy(), strict=True):
            mask = mask_of_choices(chosen, scored.classes)
            write_mask(masks.partial / f"{file.stem}.png", mask)

    images = {args.cams / f"{i}.npz": path for i, path in zip(split.ids, split.images, strict=True)}
    left = {f: path for f, path in shard(list(images.items())) if not masks.has(f"{f.stem}.png")}
    at_once = IMAGES_ON_A_GPU if device.type == "cuda" else 1  # on a CPU one for each thread
    for _ in in_threads(make, alike_batches(left, batch_size=at_once), what="sure pixels"):
        pass
    if is_first_after_all():
        _tell(split, masks.partial)


def _tell(split: WeakSplit, folder: Path) -> None:
    pixels = np.zeros(IGNORE + 1, np.int64)
    for image_id in split.ids:
        pixels += np.bincount(read_mask(folder / f"{image_id}.png").ravel(), minlength=len(pixels))
    background, unsure = (100 * pixels[i] / pixels.sum() for i in (BACKGROUND, IGNORE))
    words = "sure pixels: %.1f %% objects, %.1f %% background; %.1f %% unsure"
    logger.info(words, 100 - background - unsure, background, unsure)
    if pixels.sum() == pixels[[BACKGROUND, IGNORE]].sum():
        raise UserError("no pixel of any image is surely an object; lower foreground")
