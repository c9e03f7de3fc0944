"""The caption of a figure, kept in the metadata of its PNG or JPEG file."""

import json
from dataclasses import asdict, dataclass

from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Caption:
    """Words, and the height in pixels of the strip at the lower edge that shows them."""

    text: str
    pixels: int

    def as_text(self) -> str:
        """The entry ``Comment`` of a PNG, and the comment of a JPEG: ASCII."""
        return json.dumps(asdict(self))


def caption_of(image: Image) -> Caption | None:
    """The caption in the metadata of an opened figure; None without one."""
    comment = image.info.get("Comment") or image.info.get("comment") or b""
    words = comment.decode("ascii", "replace") if isinstance(comment, bytes) else str(comment)
    try:
        found = json.loads(words)
        return Caption(text=str(found["text"]), pixels=int(found["pixels"]))
    except (ValueError, KeyError, TypeError):  # a comment of another program
        return None
