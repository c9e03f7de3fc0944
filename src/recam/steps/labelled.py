"""Images of the steps that train a classifier: with labels, and saliency maps if it needs them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from recam.catalogue.names import needs_saliency
from recam.core.errors import UserError
from recam.data.augmentation import Augmentation
from recam.data.layout import WeakSplit
from recam.data.loading import LabelledImages, SalientImages

LabelledBy = Callable[[Augmentation], LabelledImages]


def saliency_of(method: str, given: Path | None, split: WeakSplit) -> Path | None:
    """The folder of saliency maps that a method learns from; None if it needs none.

    Raises UserError if it is not given, and if an image of the split has no map in it.
    """
    if not needs_saliency(method):
        return None
    if given is None:
        raise UserError(
            f"--saliency_maps: expected the folder of saliency maps that {method} learns from, got "
            "none; set download.saliency"
        )
    missing = [i for i in split.ids if not (given / f"{i}.png").is_file()]
    if missing:
        raise UserError(
            f"{given}: expected a saliency map for each of the {len(split.ids):,} images of split "
            f"{split.name}, {len(missing):,} are missing (first: {missing[0]}.png); add them"
        )
    return given


def labelled(split: WeakSplit, saliency: Path | None, *, random_seed: int) -> LabelledBy:
    """A function from the augmentation to the images of a split, with saliency maps if given."""
    if saliency is None:
        return partial(LabelledImages, split, random_seed=random_seed)
    return partial(SalientImages, split, saliency, random_seed=random_seed)
