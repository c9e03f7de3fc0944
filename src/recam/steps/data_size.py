"""The size of an experiment's data set, known before its download where possible."""

from importlib import import_module
from pathlib import Path
from statistics import median_low

from recam.catalogue.names import MADE
from recam.core.errors import UserError
from recam.data.layout import CLASSES, SPLITS, read_classes
from recam.datasets.folder import list_folder
from recam.io.images import image_size
from recam.steps.estimate import DataSize
from recam.steps.params import Experiment
from recam.steps.preflight import DataFacts, chosen_splits, facts_of_collection, facts_of_layout

SAMPLE = 200  # images whose sizes are read


def data_size(numbers: Experiment, data: Path) -> DataSize:
    """The size of the data set that ``numbers`` choose.

    A made one is as its numbers say, the user's folder is read in its place. Another real one is
    read in the folder ``data`` if that holds it, else it has the published numbers of images, each
    as large as the training crop. Raises UserError if neither is known.
    """
    download = numbers.download
    module = import_module(f"recam.datasets.{download.dataset}")
    if download.dataset in MADE:
        side = download.image_size or 0
        counts = {"train": download.train_images or 0, "val": download.val_images or 0}
        return DataSize(images=counts, size=(side, side), num_classes=len(module.CLASSES))
    if download.dataset == "folder":
        found = list_folder(download.source)
        facts = facts_of_collection(found, longest_side=download.longest_side)
        return _size_of(facts, numbers, num_classes=len(found.classes))
    counts = dict(getattr(module, "COUNTS", {}))
    classes = tuple(getattr(module, "CLASSES", ()))
    if facts := _downloaded(numbers, data, counts=counts, classes=classes):
        return _size_of(facts, numbers, num_classes=len(read_classes(data / CLASSES)))
    if not counts:
        raise UserError(
            f"download: {download.dataset} has as many images as its download finds; run "
            "`snakemake --cores all download` first"
        )
    crop = numbers.train_cam.crop
    num_classes = len(classes) or counts["classes"]
    return DataSize(images=counts, size=(crop, crop), num_classes=num_classes)


def _downloaded(
    numbers: Experiment, data: Path, *, counts: dict[str, int], classes: tuple[str, ...]
) -> DataFacts | None:
    """The facts of ``data``, or None if it is empty or holds another data set."""
    if not (data / SPLITS).is_dir() or not (data / CLASSES).is_file():
        return None
    if classes and read_classes(data / CLASSES) != classes:
        return None
    facts = facts_of_layout(data)
    for split in chosen_splits(numbers).values():
        there = len(facts.splits.get(split, ()))
        if not there or counts.get(split, there) != there:
            return None
    return facts


def _size_of(facts: DataFacts, numbers: Experiment, *, num_classes: int) -> DataSize:
    """The counts of all splits, and the median sides of some images to make maps of."""
    ids = facts.splits[numbers.make_cams.split]
    sizes = [image_size(facts.images[i]) for i in ids[:: max(1, len(ids) // SAMPLE)]]
    sides = [median_low(side) for side in zip(*sizes, strict=True)]
    shrink = min(1.0, (facts.longest_side or max(sides)) / max(sides))
    height, width = (max(1, round(side * shrink)) for side in sides)
    return DataSize(
        images={split: len(listed) for split, listed in facts.splits.items()},
        size=(width, height),
        num_classes=num_classes,
    )
