"""Cluster local features of each class, and keep the clusters that the classifier recognises."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from _library import run

from recam.catalogue.methods import weights_of
from recam.pipeline.clusters import cluster_features
from recam.pipeline.prototypes import judged, save_prototypes
from recam.runtime.devices import make_device
from recam.runtime.precision import make_precision
from recam.steps.classifier import classifier_and_split
from recam.steps.clusters import cluster_numbers, limits_of
from recam.steps.paths import In, Out
from recam.steps.sections.machine import Machine
from recam.steps.sections.make_clusters import MakeClustersRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of this step."""

    data: Annotated[Path, In("data set in VOC layout; its masks are not read")]
    checkpoint: Annotated[Path, In("trained classifier")]
    prototypes: Annotated[Path, Out("prototypes of each class")]


def main(paths: Paths, numbers: MakeClustersRun, machine: Machine) -> None:
    """Load, cluster, judge, save; one device is enough."""
    device = make_device(machine.device, threads=machine.threads)
    model, split = classifier_and_split(paths.checkpoint, paths.data, split=numbers.split)
    centres = cluster_features(
        model.to(device),
        split,
        cluster_numbers(numbers),
        random_seed=numbers.random_seed,
        precision=make_precision(machine.precision, device),
    )
    weights = weights_of(model, numbers.judge).detach().cpu()
    prototypes = judged(centres, weights, limits=limits_of(numbers), classes=split.classes)
    for kind in ("foreground", "context"):
        kept, found = (sum(map(len, getattr(one, kind))) for one in (prototypes, centres))
        logger.info("%s: %d of %d clusters kept as prototypes", kind, kept, found)
    save_prototypes(paths.prototypes, prototypes, split.classes)


if __name__ == "__main__":
    run(main)
