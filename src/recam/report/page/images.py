"""Figures as data URIs that fit together into a number of bytes."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from recam.core.errors import UserError
from recam.report.captions import caption_of


class Effort(NamedTuple):
    """The largest width in pixels, the quality of JPEG, and the colours of a PNG."""

    width: int
    quality: int
    colours: int


# From the best to the smallest; the first one that fits is used for all figures.
EFFORTS = (
    Effort(2400, 90, 256),
    Effort(1800, 84, 256),
    Effort(1500, 78, 128),
    Effort(1200, 70, 64),
    Effort(900, 60, 32),
    Effort(700, 45, 16),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """An image without its caption; the caption is empty if the file has none."""

    uri: str
    width: int
    height: int
    caption: str


def embedded(
    charts: Iterable[Path], photographs: Iterable[Path], *, budget: int
) -> dict[Path, Embedded]:
    """The images at the best effort that fits into ``budget`` bytes of text.

    If the last effort does not fit either, the largest images are left out. Charts become PNG,
    which keeps letters sharp, photographs JPEG. Raises UserError for a file that is no image.
    """
    is_chart = {**dict.fromkeys(photographs, False), **dict.fromkeys(charts, True)}
    made: dict[Path, Embedded] = {}
    for effort in EFFORTS:
        made = {file: _embedded(file, effort, is_chart=chart) for file, chart in is_chart.items()}
        if _size(made) <= budget:
            return made
    while _size(made) > budget:
        del made[max(made, key=lambda file: len(made[file].uri))]
    return made


def _size(made: dict[Path, Embedded]) -> int:
    return sum(len(image.uri) + len(image.caption) for image in made.values())


def _embedded(file: Path, effort: Effort, *, is_chart: bool) -> Embedded:
    try:
        with Image.open(file) as opened:
            caption = caption_of(opened)
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise UserError(f"{file}: expected an image, got {error}; delete it") from None
    if caption:
        image = image.crop((0, 0, image.width, max(1, image.height - caption.pixels)))
    if image.width > effort.width:
        height = max(1, round(image.height * effort.width / image.width))
        image = image.resize((effort.width, height), Image.Resampling.LANCZOS)
    uri = _png(image, effort.colours) if is_chart else _jpeg(image, effort.quality)
    words = caption.text if caption else ""
    return Embedded(uri=uri, width=image.width, height=image.height, caption=words)


def _png(image: Image.Image, colours: int) -> str:
    buffer = io.BytesIO()
    few = image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(buffer, "PNG", optimize=True)
    return _uri("image/png", buffer)


def _jpeg(image: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return _uri("image/jpeg", buffer)


def _uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
