"""Parts of steps that read a trained classifier."""

from pathlib import Path

from recam.catalogue.methods import load_classifier
from recam.data.layout import WeakSplit, load_weak_split, require_classes
from recam.methods.variant import Variant


def classifier_and_split(checkpoint: Path, data: Path, *, split: str) -> tuple[Variant, WeakSplit]:
    """The classifier, in eval mode on the CPU, and a split of the classes that it was trained on.

    Raises UserError for an invalid file and for other classes.
    """
    found = load_weak_split(data, split)
    model, classes = load_classifier(checkpoint)
    require_classes(classes, found.classes, source=checkpoint)
    return model, found
