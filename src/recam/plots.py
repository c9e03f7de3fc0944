"""The picture: what each method makes of the same images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from recam.files import replacing
from recam.labels import BACKGROUND, IGNORE, mask_id, palette

CELL = 1.35  # inches; and what a name in the legend takes
NAME, LINE = 0.95, 0.16
# Colours that colour-blind readers can tell apart: Okabe & Ito (2008), and two more.
FEW_CLASSES = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
        (255, 255, 255),
        (148, 103, 189),
        (140, 86, 75),
    ],
    dtype=np.uint8,
)

Picture = UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """One image's cells: pictures by column title, the same titles in every row."""

    cells: dict[str, Picture]


def class_colours(num_classes: int) -> UInt8[np.ndarray, "256 3"]:
    """Colours of mask ids in figures: black background, then colour-blind safe up to ten classes.

    More classes get PASCAL VOC's colours.
    """
    colours = palette().copy()
    if num_classes <= len(FEW_CLASSES):
        colours[mask_id(0) : mask_id(num_classes)] = FEW_CLASSES[:num_classes]
    colours[IGNORE] = (128, 128, 128)
    return colours


def shown_mask(
    image: Picture, mask: UInt8[np.ndarray, "H W"], colours: UInt8[np.ndarray, "256 3"]
) -> Picture:
    """A mask in strong colours over its darkened image."""
    opacity = np.where(mask == BACKGROUND, 0.0, 0.75)[..., None]
    return _blend(_dimmed(image), colours[mask], opacity)


def shown_maps(
    image: Picture,
    ids: UInt8[np.ndarray, "H W"],
    scores: Float[np.ndarray, "H W"],
    colours: UInt8[np.ndarray, "256 3"],
) -> Picture:
    """Each pixel in the colour of its best class, the stronger the higher the score."""
    return _blend(_dimmed(image), colours[ids], 0.9 * scores[..., None])


def shown_grey(values: Float[np.ndarray, "H W"]) -> Picture:
    """Values from 0, black, to 1, white."""
    return np.repeat(np.round(255 * values.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def draw_picture(
    path: Path, rows: list[PictureRow], classes: tuple[str, ...], *, caption: str
) -> None:
    """Write the grid of rows and columns, with the colours of the classes below, as PNG."""
    titles = list(rows[0].cells)
    patches = _patches(classes)
    columns = min(len(patches), max(2, int(CELL * len(titles) / NAME)))
    legend = LINE * -(-len(patches) // columns)
    width, height = CELL * len(titles), CELL * len(rows) + 0.75 + legend
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    axes = figure.subplots(
        len(rows), len(titles), squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.04}
    )
    for line, row in zip(axes, rows, strict=True):
        for axis, title in zip(line, titles, strict=True):
            axis.imshow(row.cells[title], interpolation="nearest")
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8)
    below, above = (0.35 + legend) / height, 1 - 0.4 / height
    figure.subplots_adjust(left=0.005, right=0.995, bottom=below, top=above)
    figure.legend(
        handles=patches,
        loc="lower center",
        ncols=columns,
        fontsize=7,
        frameon=False,
        bbox_to_anchor=(0.5, 0.12 / height),
        handlelength=1.2,
        columnspacing=1.2,
    )
    figure.text(0.5, 0.06 / height, caption, ha="center", fontsize=7, color="dimgray")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _patches(classes: tuple[str, ...]) -> list[Patch]:
    colours = class_colours(len(classes)) / 255
    patches = [
        Patch(facecolor=colours[mask_id(i)], edgecolor="black", linewidth=0.4, label=name)
        for i, name in enumerate(classes[:24])
    ]
    return [*patches, Patch(facecolor=colours[IGNORE], label="ignored in training")]


def _dimmed(image: Picture) -> Float[np.ndarray, "H W 3"]:
    grey = image.mean(axis=2, keepdims=True)
    return np.repeat(0.55 * grey, 3, axis=2)


def _blend(
    under: Float[np.ndarray, "H W 3"], over: Picture, opacity: Float[np.ndarray, "H W 1"]
) -> Picture:
    return np.round((1 - opacity) * under + opacity * over).astype(np.uint8)
