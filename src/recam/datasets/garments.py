"""Label numbers, masks and tags of Clothing Co-Parsing, merged into ten classes of garments."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, UInt8

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, IGNORE, labels_of_mask, mask_id
from recam.io.images import image_size
from recam.io.matlab import read_names, read_numbers

REPOSITORY = "clothing-co-parsing"
COMMIT = "cbc8deae85f65178394eded0817a5c1b1019b63d"
# The names of the label numbers 0 to 58.
LABELS = (
    *("null", "accessories", "bag", "belt", "blazer", "blouse", "bodysuit", "boots", "bra"),
    *("bracelet", "cape", "cardigan", "clogs", "coat", "dress", "earrings", "flats", "glasses"),
    *("gloves", "hair", "hat", "heels", "hoodie", "intimate", "jacket", "jeans", "jumper"),
    *("leggings", "loafers", "necklace", "panties", "pants", "pumps", "purse", "ring", "romper"),
    *("sandals", "scarf", "shirt", "shoes", "shorts", "skin", "skirt", "sneakers", "socks"),
    *("stockings", "suit", "sunglasses", "sweater", "sweatshirt", "swimwear", "t-shirt", "tie"),
    *("tights", "top", "vest", "wallet", "watch", "wedges"),
)
# In a sample of masks `suit` marks jackets and `leggings` tights. Shoes are in 2,043 of the 2,098
# photographs, so labels cannot teach them; they are background.
GARMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "top": (
            *("blouse", "bodysuit", "hoodie", "jumper", "shirt", "sweater", "sweatshirt"),
            *("t-shirt", "top", "vest"),
        ),
        "coat": ("blazer", "cape", "cardigan", "coat", "jacket", "suit"),
        "dress": ("dress", "romper"),
        "skirt": ("skirt",),
        "trousers": ("jeans", "pants"),
        "shorts": ("shorts",),
        "legwear": ("leggings", "stockings", "tights"),
        "bag": ("bag", "purse", "wallet"),
        "hat": ("hat",),
        "scarf": ("scarf",),
    }
)
CLASSES = tuple(GARMENTS)
# A class on a smaller share of a photograph is a stray superpixel: ignored, and no label.
SMALLEST = 1 / 1000

REMEDY = "unpack the archive of Clothing Co-Parsing again"
OTHER_COMMIT = f"use commit {COMMIT[:7]} of {REPOSITORY}"


def require_label_list(file: Path) -> None:
    """Raise UserError unless the label list has the names of ``LABELS`` in this order."""
    names = read_names(file, "label_list")
    if len(names) != len(LABELS):
        raise UserError(
            f"{file}: expected {len(LABELS)} label names, got {len(names)}; {OTHER_COMMIT}"
        )
    for number, (expected, got) in enumerate(zip(LABELS, names, strict=True)):
        if got != expected:
            raise UserError(
                f"{file}: expected {expected!r} as the name of label {number}, got {got!r:.40}; "
                f"{OTHER_COMMIT}"
            )


def read_truth(file: Path, photo: Path) -> UInt8[np.ndarray, "H W"]:
    """Read a mask of class ids, uint8 (H, W): 0 background, 255 ignored.

    A class on less than ``SMALLEST`` of the photograph is ignored. Raises UserError for a mask of
    another size than its photograph's, and as ``read_tags`` does.
    """
    numbers = _label_numbers(file, "groundtruth")
    size = image_size(photo)
    if numbers.shape != size:
        raise UserError(
            f"{file}: expected a mask of {size[1]}x{size[0]} pixels as its photograph, got "
            f"{numbers.shape[1]}x{numbers.shape[0]}; {REMEDY}"
        )
    mask = _ID_OF[numbers]
    pixels = np.bincount(mask.ravel(), minlength=mask_id(len(CLASSES)))
    rare = np.flatnonzero(pixels < SMALLEST * mask.size)
    mask[np.isin(mask, rare[rare != BACKGROUND])] = IGNORE
    return mask


def read_tags(file: Path) -> Bool[np.ndarray, "K"]:
    """Read the multi-hot labels of a tagged photograph.

    Raises UserError for a damaged file and for label numbers other than 0 to 58.
    """
    return labels_of_mask(_ID_OF[_label_numbers(file, "tags")], num_classes=len(CLASSES))


def _label_numbers(file: Path, name: str) -> UInt8[np.ndarray, "m n"]:
    """Read a matrix of label numbers. Raises UserError for any other numbers."""
    values = read_numbers(file, name)
    last = len(LABELS) - 1
    beyond = values[~np.isin(values, np.arange(last + 1))]
    if beyond.size:
        raise UserError(
            f"{file}: expected label numbers 0 to {last} in {name!r}, got {beyond[0]}; {REMEDY}"
        )
    return values.astype(np.uint8)


def _ids() -> UInt8[np.ndarray, "59"]:
    """The mask id of each label number."""
    ids = {name: mask_id(k) for k, names in enumerate(GARMENTS.values()) for name in names}
    return np.array([ids.get(name, BACKGROUND) for name in LABELS], dtype=np.uint8)


_ID_OF = _ids()
