"""Train IRN on confident pixels of cams; for a refiner without IRN write a placeholder."""

import logging

from _library import run

from recam.catalogue.names import needs_irn
from recam.io.atomic import write_text
from recam.io.placeholders import write_placeholder
from recam.steps.paths import IrnPaths
from recam.steps.sections.machine import Machine
from recam.steps.sections.refiner import RefinerChoice
from recam.steps.sections.train_irn import TrainIrnRun
from recam.steps.shards import Shard

logger = logging.getLogger(__name__)


def main(
    paths: IrnPaths, numbers: TrainIrnRun, choice: RefinerChoice, machine: Machine, shard: Shard
) -> None:
    """Train, or write a placeholder, so that the graph does not depend on the refiner."""
    if needs_irn(choice.refiner):
        from recam.steps.irn import train_irn  # noqa: PLC0415 it imports PyTorch

        train_irn(paths, numbers, machine, shard)
        return
    if not shard.is_last:
        shard.stamp()
        return
    reason = f"make_pseudo.refiner is {choice.refiner}, which needs none"
    note = write_placeholder(paths.checkpoint, reason)
    write_text(paths.curve, "epoch,loss,value\n")
    logger.info(note)


if __name__ == "__main__":
    run(main)
