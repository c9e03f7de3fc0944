"""Train IRN on what cams are sure of; where the refiner walks between no edges, train nothing."""

import argparse
import logging

from _library import run

from recam.catalogue.names import needs_irn
from recam.io.atomic import write_text

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    """Train, or leave a note in the checkpoint's place, so that the graph is always the same."""
    if needs_irn(args.refiner):
        from recam.steps.irn import train_irn  # noqa: PLC0415 it imports PyTorch, for which a note need not wait

        train_irn(args)
        return
    note = f"no IRN was trained: make_pseudo.refiner is {args.refiner}, which needs none"
    write_text(args.checkpoint, f"{note}\n")
    write_text(args.curve, "epoch,loss,value\n")
    logger.info(note)


if __name__ == "__main__":
    run(
        main,
        description=__doc__,
        paths={
            "data": "data set in VOC layout; its masks are not read",
            "cams": "folder of cams",
            "checkpoint": "out: trained IRN, or a note that none was needed",
            "curve": "out: CSV of the losses by epoch",
        },
        section="train_irn",
        common=("refiner", "random_seed", "device", "devices", "precision", "threads"),
    )
