"""Image grids: maps and masks over their images, a row an image, a column a method or stage."""

import textwrap
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from recam.core.labels import BACKGROUND, IGNORE, class_colours, mask_id
from recam.io.atomic import replacing
from recam.report.fonts import drawable, name_entries
from recam.report.style import BECAME_RIGHT, BECAME_WRONG, GREY, RC

CELL = 1.35  # inches; below: a name in the legend, a line of text, a row's label
NAME, LINE, LABEL = 0.95, 0.16, 0.95
DOTS = 150  # per inch: 200 pixels a cell
JPEG_QUALITY = {"quality": 90, "subsampling": 0}  # half the size of a PNG, edges stay sharp
NAMES_SHOWN = 24
LONGEST_NAME = 24  # characters of a name in the legend
STYLE: dict[Any, Any] = RC | {"figure.constrained_layout.use": False}  # cells are placed by hand

RGBImage = UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRow:
    """One image's cells by column title; the titles are the same in every row."""

    cells: dict[str, RGBImage]
    label: str = ""  # stands left of the row


def shown_mask(
    image: RGBImage, mask: UInt8[np.ndarray, "H W"], colours: UInt8[np.ndarray, "256 3"]
) -> RGBImage:
    """A mask in its class colours over the darkened grey image."""
    opacity = np.where(mask == BACKGROUND, 0.0, 0.75)[..., None]
    return _blend(_dimmed(image), colours[mask], opacity)


def shown_maps(
    image: RGBImage,
    ids: UInt8[np.ndarray, "H W"],
    scores: Float[np.ndarray, "H W"],
    colours: UInt8[np.ndarray, "256 3"],
) -> RGBImage:
    """Each pixel in the colour of its top class, with an opacity proportional to the score."""
    return _blend(_dimmed(image), colours[ids], 0.9 * scores[..., None])


def shown_grey(values: Float[np.ndarray, "H W"]) -> RGBImage:
    """Values from 0, black, to 1, white."""
    return np.repeat(np.round(255 * values.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def shown_change(
    image: RGBImage,
    truth: UInt8[np.ndarray, "H W"],
    before: UInt8[np.ndarray, "H W"],
    after: UInt8[np.ndarray, "H W"],
) -> RGBImage:
    """Pixels that are right in ``after`` only (BECAME_RIGHT) or in ``before`` only (BECAME_WRONG).

    Pixels ignored in any of the three masks are not marked.
    """
    judged = (truth != IGNORE) & (before != IGNORE) & (after != IGNORE)
    right_before, right_after = before == truth, after == truth
    colours, opacity = np.zeros((*truth.shape, 3), np.uint8), np.zeros((*truth.shape, 1))
    for hexadecimal, where in (
        (BECAME_RIGHT, right_after & ~right_before & judged),
        (BECAME_WRONG, right_before & ~right_after & judged),
    ):
        colours[where], opacity[where] = tuple(bytes.fromhex(hexadecimal[1:])), 0.85
    return _blend(_dimmed(image), colours, opacity)


def draw_grid(
    path: Path,
    rows: list[GridRow],
    classes: tuple[str, ...],
    *,
    caption: str,
    ids: Collection[int],
    shows_change: bool = False,
) -> None:
    """Write the grid as PNG or JPEG, with a legend and a caption below.

    ``ids`` are the mask ids that occur; the legend names them, the background excepted.
    """
    patches = _patches(classes, ids=ids, shows_change=shows_change)
    left = LABEL if any(row.label for row in rows) else 0.01
    width = left + CELL * len(rows[0].cells)
    columns = max(1, min(len(patches), int(width / NAME)))
    words = textwrap.wrap(drawable(caption), int(16 * width))
    below = 0.3 + LINE * (-(-len(patches) // columns) + len(words))
    height = CELL * len(rows) + 0.4 + below
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DOTS, layout=None)
        _draw_rows(figure, rows)
        bottom, top = below / height, 1 - 0.4 / height
        figure.subplots_adjust(left=left / width, right=0.995, bottom=bottom, top=top)
        if patches:  # an empty legend is an error in matplotlib
            _draw_legend(figure, patches, columns, bottom=(0.1 + LINE * len(words)) / height)
        text = "\n".join(words)
        figure.text(0.5, 0.06 / height, text, ha="center", va="bottom", fontsize=7.5, color=GREY)
        _write(figure, path)


def _draw_legend(figure: Figure, patches: list[Patch], columns: int, *, bottom: float) -> None:
    legend = figure.legend(
        handles=patches,
        labels=["name"] * len(patches),
        loc="lower center",
        ncols=columns,
        fontsize=7,
        bbox_to_anchor=(0.5, bottom),
        handlelength=1.2,
        columnspacing=1.2,
    )
    name_entries(legend, [str(patch.get_label()) for patch in patches])


def _draw_rows(figure: Figure, rows: list[GridRow]) -> None:
    titles = list(rows[0].cells)
    cells = figure.subplots(
        len(rows), len(titles), squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.04}
    )
    for line, row in zip(cells, rows, strict=True):
        _draw_row(list(line), row)
    for axis, title in zip(cells[0], titles, strict=True):
        axis.set_title(title, fontsize=8, loc="center", fontweight="normal")


def _draw_row(axes: list[Axes], row: GridRow) -> None:
    for axis, cell in zip(axes, row.cells.values(), strict=True):
        axis.imshow(cell, interpolation="nearest")
        axis.set_axis_off()
    place: dict[str, Any] = {"transform": axes[0].transAxes, "ha": "right", "va": "center"}
    axes[0].text(-0.05, 0.5, drawable(row.label), fontsize=7.5, linespacing=1.5, **place)


def _write(figure: Figure, path: Path) -> None:
    is_jpeg = path.suffix == ".jpg"
    how: dict[str, Any] = (
        {"format": "jpeg", "pil_kwargs": JPEG_QUALITY} if is_jpeg else {"format": "png"}
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, metadata=None if is_jpeg else {"Software": None}, **how)


def _patches(classes: tuple[str, ...], *, ids: Collection[int], shows_change: bool) -> list[Patch]:
    colours = class_colours(len(classes)) / 255
    patches = [
        Patch(facecolor=colours[mask_id(i)], edgecolor="black", linewidth=0.4, label=_short(name))
        for i, name in enumerate(classes)
        if mask_id(i) in ids
    ][:NAMES_SHOWN]
    if IGNORE in ids:
        patches.append(Patch(facecolor=colours[IGNORE], label="ignored"))
    if shows_change:
        patches += [
            Patch(facecolor=BECAME_RIGHT, label="became right"),
            Patch(facecolor=BECAME_WRONG, label="became wrong"),
        ]
    return patches


def _short(name: str) -> str:
    """A class name, with its end elided if it is too long for the legend."""
    return drawable(name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…")


def _dimmed(image: RGBImage) -> Float[np.ndarray, "H W 3"]:
    grey = image.mean(axis=2, keepdims=True)
    return np.repeat(0.55 * grey, 3, axis=2)


def _blend(
    under: Float[np.ndarray, "H W 3"], over: RGBImage, opacity: Float[np.ndarray, "H W 1"]
) -> RGBImage:
    return np.round((1 - opacity) * under + opacity * over).astype(np.uint8)
