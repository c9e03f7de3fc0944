"""Turn a trained classifier into cams: maps of the present classes, averaged over scales."""

import argparse
import logging
from functools import partial

import numpy as np
import torch
from _library import run

from recam.catalogue.methods import make_classifier, maps_of
from recam.data.layout import load_weak_split, require_classes
from recam.io.atomic import write_manifest
from recam.io.checkpoints import load_checkpoint
from recam.io.resumable import ResumableFolder
from recam.io.scores import ScoredClasses, save_scores
from recam.methods.cam import peak_normalised
from recam.models.backbones import backbone_of
from recam.models.folding import folded
from recam.pipeline.inference import maps_of_images
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first_after_all, shard
from recam.runtime.precision import make_precision
from recam.runtime.progress import progress
from recam.runtime.threads import writing_behind
from recam.steps import command
from recam.steps.launch import shared

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    """Load, extract, save the cams of each image."""
    device = make_device(args.device, threads=args.threads)
    split = load_weak_split(args.data, args.split)
    tensors, model_config = load_checkpoint(args.checkpoint)
    require_classes(model_config.classes, split.classes, source=args.checkpoint)
    model = make_classifier(model_config)
    model.load_state_dict(tensors)
    model.to(device).to(memory_format=torch.channels_last).eval()
    model = folded(model, lambda network, images: network.backbone(images))
    folder = ResumableFolder(args.cams, key=command.fingerprint(args, args.data, args.checkpoint))
    left = [i for i in shard(range(len(split.ids))) if not folder.has(f"{split.ids[i]}.npz")]
    all_maps = maps_of_images(
        maps_of(model, combine=args.combine),
        [split.images[i] for i in left],
        scales=tuple(args.scales),
        batch_size=args.batch_size,
        normalise=backbone_of(model).normalise,
        device=device,
        precision=make_precision(args.precision, device),
    )
    with writing_behind() as write:
        for position, maps in progress(all_maps, total=len(left), what="cams", unit="image"):
            index = left[position]
            present = np.flatnonzero(split.labels[index])
            cams = peak_normalised(maps[torch.from_numpy(present).to(device)]).cpu().numpy()
            scored = ScoredClasses(scores=cams, classes=present)
            write(partial(save_scores, folder.partial / f"{split.ids[index]}.npz", scored))
    logger.info("cams of %d images, %s", len(split.ids), args.combine)
    if is_first_after_all():
        folder.finish()
        write_manifest(args.manifest, [args.cams])


if __name__ == "__main__":
    run(
        shared(main),
        description=__doc__,
        paths={
            "data": "data set in VOC layout; its masks are not read",
            "checkpoint": "trained classifier",
            "cams": "out: folder of one .npz for each image",
            "manifest": "out: checksums of the cams",
        },
        section="make_cams",
        common=("device", "devices", "precision", "threads"),
    )
