"""A picture of images and text placed in pixels, from the top left."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.transforms import IdentityTransform

from recam.core.overlays import RGBImage
from recam.io.atomic import replacing
from recam.report.captions import Caption
from recam.report.style import RC

DOTS = 150  # per inch
STRIPES = "#D7D7D7"
SWATCH = (20, 13)  # width and height of a rectangle, pixels
POINT = DOTS / 72  # in pixels
LINE = 1.25  # line spacing, in font sizes
JPEG_QUALITY = {"quality": 85, "subsampling": 0}  # a third of a PNG, edges stay sharp
STYLE: dict[Any, Any] = RC | {"figure.constrained_layout.use": False, "hatch.linewidth": 1.2}


@dataclass(frozen=True, slots=True)
class Text:
    """One line; ``x`` is its left end, middle or right end, and ``y`` its middle."""

    x: float
    y: float
    text: str
    size: float  # points
    align: str = "center"
    colour: str = "black"
    has_halo: bool = False


@dataclass(frozen=True, slots=True)
class Swatch:
    """A rectangle of a legend with the centre (x, y)."""

    x: float
    y: float
    colour: str
    is_striped: bool = False


@dataclass(slots=True)
class Canvas:
    """Images, text and swatches, of any height."""

    width: int
    images: list[tuple[int, int, RGBImage]] = field(default_factory=list)  # left, top, pixels
    texts: list[Text] = field(default_factory=list)
    swatches: list[Swatch] = field(default_factory=list)

    def save(self, path: Path, *, height: int, caption: Caption) -> None:
        """Write as PNG or JPEG of ``width`` x ``height`` pixels, with the caption as metadata."""
        with rc_context(STYLE):
            # Half a pixel more, so that rounding does not lose one.
            size = ((self.width + 0.5) / DOTS, (height + 0.5) / DOTS)
            figure = Figure(figsize=size, dpi=DOTS, layout=None)
            for left, top, pixels in self.images:
                figure.figimage(pixels, xo=left, yo=height - top - len(pixels), origin="upper")
            for swatch in self.swatches:
                figure.add_artist(_rectangle(swatch, height))
            for text in self.texts:
                self._write(figure, text, height)
            _write(figure, path, comment=caption.as_text())

    def _write(self, figure: Figure, text: Text, height: int) -> None:
        halo = [withStroke(linewidth=2, foreground="black")] if text.has_halo else []
        baseline = text.y + 0.36 * text.size * POINT  # half the height of a capital
        figure.text(
            text.x / self.width,
            1 - baseline / height,
            text.text,
            size=text.size,
            color=text.colour,
            ha=text.align,
            va="baseline",
            path_effects=halo,
        )


def _rectangle(swatch: Swatch, height: int) -> Rectangle:
    left, bottom = swatch.x - SWATCH[0] / 2, height - swatch.y - SWATCH[1] / 2
    return Rectangle(
        (left, bottom),
        *SWATCH,
        facecolor=swatch.colour,
        edgecolor=STRIPES if swatch.is_striped else "black",
        linewidth=0.4,
        hatch="//////" if swatch.is_striped else None,
        transform=IdentityTransform(),
    )


def _write(figure: Figure, path: Path, *, comment: str) -> None:
    how: dict[str, Any] = (
        {"format": "jpeg", "pil_kwargs": JPEG_QUALITY | {"comment": comment}}
        if path.suffix == ".jpg"
        else {"format": "png", "metadata": {"Software": None, "Comment": comment}}
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, **how)
