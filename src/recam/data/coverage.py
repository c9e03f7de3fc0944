"""A few images that show all classes, chosen by their labels, for pictures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Integer

from recam.core.randomness import derived_seed

MOST_NEW = 4  # classes that count in an image: with more of them, objects are too small to see


def covering_images(
    ids: Sequence[str],
    labels: Bool[np.ndarray, "N K"],
    *,
    count: int,
    ranks: Integer[np.ndarray, "N"] | None = None,
) -> list[str]:
    """At most ``count`` ids, chosen one by one so that each class appears as early as possible.

    An image is preferred if its set of labels is not yet shown, then by the number of its classes
    that are not yet shown, then for rare classes and for few classes. Each of the first images thus
    adds a class, until every class that occurs is shown; then the count begins anew. The order of
    ``ids`` decides nothing. Images of a lower rank come first, whatever their labels.
    """
    images = _Images(ids, labels, ranks)
    return [ids[images.choose()] for _ in range(min(count, len(ids)))]


class _Images:
    """Images to choose from, with the classes and sets of labels that are shown already."""

    def __init__(
        self,
        ids: Sequence[str],
        labels: Bool[np.ndarray, "N K"],
        ranks: Integer[np.ndarray, "N"] | None,
    ):
        self.labels = labels
        self.frequency = labels.sum(axis=0)
        self.missing = self.frequency > 0
        _, self.sets = np.unique(labels, axis=0, return_inverse=True)
        self.times_shown = np.zeros(len(ids), int)  # by set of labels
        self.left = np.ones(len(ids), bool)
        self.ranks = np.zeros(len(ids), int) if ranks is None else ranks
        # Neighbours in a sorted list are often alike, so the last tie is broken at random.
        self.places = np.array([derived_seed(0, "covering", image_id) for image_id in ids])

    def choose(self) -> int:
        """The position of the next image, which is then shown."""
        new = self.labels & self.missing
        rarest = np.where(new, self.frequency, len(self.labels) + 1).min(axis=1)
        size = self.labels.sum(axis=1)
        order = np.lexsort(  # by the last key first
            (
                self.places,
                self.sets,
                size,
                rarest,
                -np.minimum(new.sum(axis=1), MOST_NEW),
                self.times_shown[self.sets],
                size == 0,
                self.ranks,
                ~self.left,
            )
        )
        best = int(order[0])
        self.left[best] = False
        self.times_shown[self.sets[best]] += 1
        self.missing &= ~self.labels[best]
        if not self.missing.any():
            self.missing = self.frequency > 0
        return best


def labels_of(ids: Sequence[str], table: pd.DataFrame) -> Bool[np.ndarray, "N K"]:
    """The rows of labels.csv of some images; images without a row have no labels."""
    return table.reindex(list(ids), fill_value=False).to_numpy(dtype=bool)
