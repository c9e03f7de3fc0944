"""The style of all figures: sizes, and the name, colour and marker of each method.

Class colours are those of mask files: ``labels.class_colours``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

PAGE = 7.2  # inches: the width of a page
DOTS = 170  # per inch
GREY = "#5f5f5f"  # of captions


@dataclass(frozen=True, slots=True)
class Look:
    """A method's name, colour (Okabe & Ito, 2008) and marker (readable without colour)."""

    name: str
    colour: str
    marker: str


LOOKS = {
    "cam": Look("CAM", "#999999", "o"),
    "control": Look("control", "#E69F00", "s"),
    "recam": Look("ReCAM", "#0072B2", "D"),
    "supervised": Look("supervised", "#000000", "^"),
}
# Parts of the names of other methods, each with its colour and marker.
PARTS = {
    "seam": "SEAM",
    "eps": "EPS",
    "advcam": "AdvCAM",
    "lpcam": "LPCAM",
    "gradcam": "Grad-CAM",
    "gradcampp": "Grad-CAM++",
    "layercam": "LayerCAM",
}
OTHER_LOOKS = (("#D55E00", "v"), ("#009E73", "P"), ("#CC79A7", "X"), ("#56B4E9", "*"))
STAGES = {"cams": "cams", "pseudo": "pseudo masks", "seg": "segmentation"}
# Outcomes of an object's pixels, and changes of a pixel from one method to another.
RIGHT, OTHER, MISSED, EXTRA = "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
BECAME_RIGHT, BECAME_WRONG = "#00E5FF", "#FF2D2D"  # no class has these colours


def look_of(method: str) -> Look:
    """The look of a method; one that is not in LOOKS is called by the names of its parts."""
    colour, marker = OTHER_LOOKS[sum(method.encode()) % len(OTHER_LOOKS)]
    known = PARTS | {method: look.name for method, look in LOOKS.items()}
    name = " + ".join(known.get(part, part) for part in method.split("-"))
    return LOOKS.get(method, Look(name, colour, marker))


def ordered(methods: Iterable[str]) -> list[str]:
    """Methods without repetition: those of LOOKS in their order, then the others by name."""
    known = list(LOOKS)
    return sorted(set(methods), key=lambda m: (known.index(m) if m in LOOKS else len(known), m))


RC = {
    "figure.dpi": DOTS,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",  # ships with matplotlib, so figures are the same on every machine
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
