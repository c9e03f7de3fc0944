"""Masks whose palette gives colours to other ids than the palettes of other masks.

Tools that save a palette PNG again may number its colours anew. The colours then look right, and
the ids, which training and scoring read, are others.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from recam.checks.inventory import ImageRecord, Inventory
from recam.checks.report import Fault
from recam.core.labels import mask_id, palette

RENUMBERED = "the palette of the mask gives a colour to another id than other masks do"


def renumbered_palettes(data: Inventory) -> Iterator[Fault]:
    """Warnings about masks in which a colour has another id than in most masks.

    The colours of PASCAL VOC count as one more mask, whose ids win a tie.
    """
    usual = _usual_ids(data)
    for mask in data.masks.values():
        moved = [(i, usual[colour]) for i, colour in _colours(mask) if usual[colour] != i]
        if moved:
            words = ", ".join(f"id {i} has the colour of id {other}" for i, other in moved)
            detail = f"{words}; ids count, not colours: export it again"
            yield Fault.warning(mask.file, RENUMBERED, detail)


def _usual_ids(data: Inventory) -> dict[bytes, int]:
    """The id that most masks give to each colour."""
    ids: dict[bytes, Counter[int]] = defaultdict(Counter)
    for i, colour in enumerate(palette()[: mask_id(len(data.classes))]):
        ids[colour.tobytes()][i] = 1  # first, so that it wins a tie
    for mask in data.masks.values():
        for i, colour in _colours(mask):
            ids[colour][i] += 1
    return {colour: counts.most_common(1)[0][0] for colour, counts in ids.items()}


def _colours(mask: ImageRecord) -> list[tuple[int, bytes]]:
    """Each id and its colour in the palette; none where ids share a colour."""
    is_clear = len({*mask.colours.values()}) == len(mask.colours)
    return list(mask.colours.items()) if is_clear else []
