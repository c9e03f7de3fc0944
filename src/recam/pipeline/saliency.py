"""Background where saliency is low, as EDAM refines its maps.

Wu et al., "Embedded Discriminative Attention Mechanism for Weakly Supervised Semantic
Segmentation", CVPR 2021: at inference the background score is 1 where saliency is at most 0.2 of
its maximum.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from recam.core.errors import UserError
from recam.io.archives import is_stored
from recam.io.images import check_saliency, read_saliency


@dataclass(frozen=True, slots=True, kw_only=True)
class Saliency:
    """A folder of 8-bit grey maps, <id>.png, and the fraction of the maximum that cuts them."""

    source: str  # folder or ccam
    folder: Path
    threshold: float  # 0 to 1

    def require(self, ids: Iterable[str]) -> None:
        """Raise UserError if an image has no map."""
        listed = list(ids)
        missing = [i for i in listed if not is_stored(self.folder / f"{i}.png")]
        if missing:
            raise UserError(
                f"{self.folder}: expected a saliency map for each of {len(listed):,} images, "
                f"{len(missing):,} are missing (first: {missing[0]}.png); add them, or set "
                "make_pseudo.saliency: none"
            )

    def salient(self, image_id: str, size: tuple[int, ...]) -> Bool[np.ndarray, "H W"]:
        """True where the image may show an object; ``size`` is its height and width.

        Raises UserError for an unreadable map and for one of another size.
        """
        path = self.folder / f"{image_id}.png"
        saliency = read_saliency(path)
        check_saliency(path, saliency, size=size)
        return is_salient(saliency, threshold=self.threshold)


def is_salient(saliency: UInt8[np.ndarray, "H W"], *, threshold: float) -> Bool[np.ndarray, "H W"]:
    """True where saliency is above ``threshold`` times its maximum; nowhere in a black map."""
    return saliency > threshold * float(saliency.max())
