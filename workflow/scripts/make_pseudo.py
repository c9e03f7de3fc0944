"""Refine the cams to their images and cut masks to train on, with a band of ignored pixels."""

import argparse
import logging
from concurrent.futures import ThreadPoolExecutor

import _step
import numpy as np
import torch

from recam.artifacts import ResumableFolder, ScoredClasses, load_scores, save_scores
from recam.build.devices import make_device
from recam.build.refiners import Refiner, make_refiner
from recam.data.layout import IMAGES, find_image
from recam.errors import UserError
from recam.files import read_image, read_mask, write_manifest, write_mask
from recam.labels import IGNORE, banded_mask
from recam.progress import progress

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    """Refine, cut and save, several images at once."""
    if args.background > args.foreground:
        raise UserError(
            f"background: expected at most foreground ({args.foreground}), got {args.background}"
        )
    device = make_device(args.device, threads=args.threads)
    refiner = make_refiner(
        args.refiner, dilations=tuple(args.dilations), iterations=args.iterations
    )
    key = _step.fingerprint(args, args.data, args.cams)
    scores, masks = ResumableFolder(args.scores, key=key), ResumableFolder(args.masks, key=key)

    def make(image_id: str) -> None:
        if masks.has(f"{image_id}.png"):  # written after its scores, so both are there
            return
        image = read_image(find_image(args.data / IMAGES, image_id))
        refined = _refined(load_scores(args.cams / f"{image_id}.npz"), image, refiner, device)
        save_scores(scores.partial / f"{image_id}.npz", refined)
        band = {"background": args.background, "foreground": args.foreground}
        mask = banded_mask(refined.scores, refined.classes, **band)
        write_mask(masks.partial / f"{image_id}.png", mask)

    ids = sorted(file.stem for file in args.cams.glob("*.npz"))
    cores = torch.get_num_threads()
    torch.set_num_threads(1)  # one image a core: far faster than all cores on one small image
    with ThreadPoolExecutor(max_workers=cores) as pool:
        for _ in progress(pool.map(make, ids), total=len(ids), what="pseudo masks", unit="image"):
            pass
    used = [(read_mask(masks.partial / f"{i}.png") != IGNORE).mean() for i in ids]
    logger.info("%d masks, %.1f %% of their pixels to train on", len(ids), 100 * np.mean(used))
    for folder, manifest in zip((masks, scores), args.manifest, strict=True):
        folder.finish()
        write_manifest(manifest, [folder.path])


def _refined(
    cams: ScoredClasses, image: np.ndarray, refiner: Refiner, device: torch.device
) -> ScoredClasses:
    pixels = torch.from_numpy(image).to(device).permute(2, 0, 1)[None] / 255
    scores = torch.from_numpy(cams.scores).to(device)[None]
    refined = refiner(scores, pixels)[0] if len(cams.classes) else scores[0]
    return ScoredClasses(scores=refined.cpu().numpy(), classes=cams.classes)


if __name__ == "__main__":
    _step.run(
        main,
        description=__doc__,
        paths={
            "data": "data set in VOC layout; its masks are not read",
            "cams": "folder of cams",
            "masks": "out: folder of pseudo masks, palette PNG",
            "scores": "out: folder of refined score maps, .npz",
            "manifest": "out: two lists of checksums, of the masks and of the scores",
        },
        section="make_pseudo",
        common=(
            "device",
            "threads",
        ),
    )
