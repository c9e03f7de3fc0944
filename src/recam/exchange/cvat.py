"""CVAT's segmentation masks: labelmap.txt, colours of classes, and the list default.txt.

A line of ``labelmap.txt`` is ``name:red,green,blue:parts:actions``. CVAT finds the label of a pixel
by its colour alone, so every colour of a mask needs a line.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from recam.core.errors import UserError
from recam.core.labels import IGNORE, class_colours, class_names_with_background, palette
from recam.core.names import clean_name, is_background, quoted
from recam.data.recognition import LABELMAP
from recam.exchange.found import Mask, id_in_mask
from recam.io.atomic import write_text
from recam.io.opening import opened
from recam.io.tables import read_lines

IGNORE_LABEL = "ignore"
DEFAULT = "default.txt"
COMMENT = "# label:color_rgb:parts:actions"
FIELDS = 4

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelmap:
    """Names and colours of a labelmap.txt, in its order."""

    path: Path
    names: tuple[str, ...]
    colours: tuple[Colour, ...]


def write_labelmap(folder: Path, classes: Sequence[str]) -> None:
    """Write ``labelmap.txt`` with the colours of mask files for ``classes``.

    Background comes first, the label ``ignore`` of pixels 255 last. A colon, which separates
    fields, becomes a blank.
    """
    colours = class_colours(len(classes)).tolist()
    names = class_names_with_background(tuple(classes))
    rows = [*enumerate(names), (IGNORE, IGNORE_LABEL)]
    lines = [f"{_written(name)}:{','.join(map(str, colours[value]))}::" for value, name in rows]
    write_text(folder / LABELMAP, "".join(f"{line}\n" for line in (COMMENT, *lines)))


def write_default(folder: Path, ids: Iterable[str]) -> None:
    """Write ``default.txt``, CVAT's list of the images without their endings."""
    write_text(folder / DEFAULT, "".join(f"{image_id}\n" for image_id in ids))


def read_labelmap(path: Path) -> Labelmap:
    """Read a labelmap.txt. Raises UserError for a malformed line and for two labels of one colour.

    A label without a colour has PASCAL VOC's colour of its place in the file.
    """
    voc = palette().tolist()
    found: dict[str, Colour] = {}
    for number, line in read_lines(path).items():
        if line.startswith("#"):
            continue
        name, *fields = (part.strip() for part in line.split(":"))
        if name in found or len(fields) != FIELDS - 1 or not clean_name(name):
            raise UserError(
                f"{path}: line {number}: expected a new label as name:red,green,blue::, got "
                f"{quoted(line)}; correct it"
            )
        if len(found) == len(voc):
            raise UserError(f"{path}: expected at most {len(voc)} labels, got more; merge some")
        colour = _colour(fields[0], where=f"{path}: line {number}") or tuple(voc[len(found)])
        if alike := next((other for other, c in found.items() if c == colour), None):
            raise UserError(
                f"{path}: line {number}: {quoted(name)} has the colour of {quoted(alike)}; give "
                "each label a colour of its own"
            )
        found[name] = (colour[0], colour[1], colour[2])
    return Labelmap(path=path, names=tuple(found), colours=tuple(found.values()))


def read_coloured(path: Path, labelmap: Labelmap, classes: Sequence[str]) -> Mask:
    """Read a PNG whose colours, or grey values as places in the labelmap, are labels.

    Raises UserError for a colour without a label. Black is background unless a label has it.
    """
    values = [id_in_mask(name, classes) for name in labelmap.names]
    with opened(path, formats=("PNG",), noun="mask") as image:
        is_grey = image.mode == "L"
        if image.mode.startswith(("I", "F")):
            raise UserError(
                f"{path}: expected a mask of 8 bits a channel, got mode {image.mode}; save it again"
            )
        pixels = np.array(image if is_grey else image.convert("RGB"))
    if is_grey:
        keys = pixels.astype(np.int64)
        known = dict(enumerate(values))
    else:
        keys = _packed(pixels)
        known = {_key(colour): v for colour, v in zip(labelmap.colours, values, strict=True)}
        if not any(map(is_background, labelmap.names)):
            known.setdefault(0, 0)
    return _replaced(keys, known, where=path, labelmap=labelmap, is_grey=is_grey)


def _replaced(
    keys: Int64[np.ndarray, "H W"],
    known: dict[int, int],
    *,
    where: Path,
    labelmap: Labelmap,
    is_grey: bool,
) -> Mask:
    present, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    for key, count in zip(present.tolist(), counts.tolist(), strict=True):
        if key not in known:
            colour = (
                f"value {key}" if is_grey else f"colour {key >> 16},{key >> 8 & 255},{key & 255}"
            )
            raise UserError(
                f"{where}: {colour} of {count:,} pixels has no label in {labelmap.path}; add a "
                "line for it"
            )
    ids = np.array([known[key] for key in present.tolist()], np.uint8)
    return ids[places.reshape(keys.shape)]


def _packed(pixels: np.ndarray) -> Int64[np.ndarray, "H W"]:
    channels = pixels.astype(np.int64)
    return channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]


def _key(colour: Colour) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def _colour(text: str, *, where: str) -> Colour | None:
    """Three numbers from 0 to 255; None for an empty field."""
    if not text:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(re.fullmatch("[0-9]{1,3}", p) and int(p) <= 255 for p in parts):
        raise UserError(
            f"{where}: expected a colour as red,green,blue from 0 to 255, got {quoted(text)}; "
            "correct it"
        )
    return int(parts[0]), int(parts[1]), int(parts[2])


def _written(name: str) -> str:
    return name.replace(":", " ").strip().lstrip("#")
