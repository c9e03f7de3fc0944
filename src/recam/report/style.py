"""How every figure looks: sizes, and the colour and the sign of each method, everywhere the same.

Colours of classes are those of mask files: ``labels.class_colours``.
"""

from dataclasses import dataclass

PAGE = 7.2  # inches: the width of a figure that fills a page
DOTS = 170  # to the inch
GREY = "#5f5f5f"  # of words that explain


@dataclass(frozen=True, slots=True)
class Look:
    """A method's name, its colour (Okabe & Ito, 2008), and its marker, for eyes without colour."""

    name: str
    colour: str
    marker: str


LOOKS = {
    "cam": Look("CAM", "#999999", "o"),
    "control": Look("control", "#E69F00", "s"),
    "recam": Look("ReCAM", "#0072B2", "D"),
    "supervised": Look("supervised", "#000000", "^"),
}
STAGES = {"cams": "cams", "pseudo": "pseudo masks", "seg": "segmentation"}
# What became of a pixel, and what a step from one method to another did to it.
RIGHT, OTHER, MISSED, EXTRA = "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
MENDED, BROKEN = "#00E5FF", "#FF2D2D"  # no class has these

RC = {
    "figure.dpi": DOTS,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are the same everywhere
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
