"""The style of all figures: sizes, and the name, colour and marker of each method.

Class colours are in ``labels.display_colours``.
"""

import colorsys
from dataclasses import dataclass

from recam.core.labels import MARKS
from recam.report.fonts import families
from recam.report.methods import parts_of

PAGE = 7.2  # inches: the width of a page
DOTS = 170  # per inch
GREY = "#5f5f5f"  # of captions


@dataclass(frozen=True, slots=True)
class Look:
    """A method's name, colour and marker; eight of the hues are those of Okabe & Ito (2008)."""

    name: str
    colour: str
    marker: str


LOOKS = {
    "cam": Look("CAM", "#999999", "o"),
    "control": Look("control", "#E69F00", "s"),
    "recam": Look("ReCAM", "#0072B2", "D"),
    "seam": Look("SEAM", "#CC79A7", "v"),
    "seam-control": Look("SEAM + control", "#999933", "<"),
    "seam-recam": Look("SEAM + ReCAM", "#882255", ">"),
    "eps": Look("EPS", "#56B4E9", "p"),
    "eps-control": Look("EPS + control", "#D55E00", "h"),
    "eps-recam": Look("EPS + ReCAM", "#009E73", "8"),
    "mctformer": Look("MCTformer", "#44AA99", "1"),
    "mctformer-control": Look("MCTformer + control", "#AA4499", "2"),
    "mctformer-recam": Look("MCTformer + ReCAM", "#332288", "3"),
    "clip_es": Look("CLIP-ES", "#117733", "4"),
    "clip_es-recam": Look("CLIP-ES + ReCAM", "#661100", "x"),
    "supervised": Look("supervised", "#000000", "^"),
}


@dataclass(frozen=True, slots=True)
class ReadoutLook:
    """A read-out's name, marker, and share of white (of black below 0) in the method's colour."""

    name: str
    marker: str
    white: float


READOUTS = {
    "lpcam": ReadoutLook("LPCAM", "*", -0.45),
    "advcam": ReadoutLook("AdvCAM", "X", 0.4),
    "layercam": ReadoutLook("LayerCAM", "P", 0.6),
    "gradcampp": ReadoutLook("Grad-CAM++", "d", -0.65),
    "gradcam": ReadoutLook("Grad-CAM", "H", 0.25),
}
# Outcomes of an object's pixels, and changes of a pixel from one method to another.
RIGHT, OTHER, MISSED, EXTRA = "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
BECAME_RIGHT, BECAME_WRONG = (f"#{bytes(mark).hex().upper()}" for mark in MARKS.tolist())


def look_of(method: str) -> Look:
    """The look of a method: the hue of its classifier, in a shade of its read-out.

    Parts that are not listed keep their names; their hue or shade follows from the name.
    """
    parts = parts_of(method)
    classifier = LOOKS.get(parts.classifier) or _unlisted(parts.classifier)
    if not parts.readout:
        return classifier
    turn = _turn(parts.readout)
    readout = READOUTS.get(parts.readout) or ReadoutLook(parts.readout, "D", turn / 2 - 0.25)
    name = f"{classifier.name} + {readout.name}"
    return Look(name, _shade(classifier.colour, readout.white), readout.marker)


def _unlisted(classifier: str) -> Look:
    names = {method: look.name for method, look in LOOKS.items()}
    words = [names.get(word, word) for word in classifier.split("-")]
    red, green, blue = colorsys.hls_to_rgb(_turn(classifier), 0.4, 0.6)
    return Look(" + ".join(words), _hexadecimal([red, green, blue]), "d")


def _turn(name: str) -> float:
    """A number in [0, 1) for a name; similar names are far apart, by the golden angle."""
    return sum(place * byte for place, byte in enumerate(name.encode(), 1)) * 0.381966 % 1


def _shade(colour: str, white: float) -> str:
    channels = [byte / 255 for byte in bytes.fromhex(colour[1:])]
    goal = 1.0 if white > 0 else 0.0
    return _hexadecimal([value + abs(white) * (goal - value) for value in channels])


def _hexadecimal(channels: list[float]) -> str:
    return f"#{bytes(round(255 * value) for value in channels).hex().upper()}"


RC = {
    "figure.dpi": DOTS,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "font.family": list(families()),
    "text.parse_math": False,  # a class name may hold dollars
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}
