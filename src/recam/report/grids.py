"""Image grids: maps and masks over their images, a row an image, a column a method or stage."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from recam.core.labels import FEW_CLASSES, display_colours, mask_id
from recam.core.overlays import RGBImage, shown_maps, shown_mask
from recam.core.regions import placed_names
from recam.report.canvas import DOTS, LINE, POINT, Canvas, Text
from recam.report.captions import Caption
from recam.report.fonts import drawable, text_width, wrapped
from recam.report.legends import draw_legend, legend_entries, shortened
from recam.report.style import GREY

# Pixels: the widest cell, the narrowest, the gap between two, the margin, the widest picture.
CELL, NARROWEST, GAP, MARGIN, WIDEST = 202, 150, 6, 4, 2000
TALLEST = 1.6  # height of a cell, in widths; taller images are drawn narrower
# Points: sizes of text.
TITLE, LABEL, SMALLEST_LABEL, CAPTION, NAME = 8.0, 7.5, 5.5, 7.5, 6.5
LONGEST_NAME = 14  # characters of a name on a mask
HALO = 4  # pixels, of both sides together


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """An image, with the mask that is drawn over it, or with the ids that its pixels show."""

    pixels: RGBImage
    mask: UInt8[np.ndarray, "H W"] | None = None
    shown: frozenset[int] = frozenset()

    @property
    def ids(self) -> frozenset[int]:
        """The mask ids that occur in the cell."""
        if self.mask is None:
            return self.shown
        return self.shown | {int(value) for value in np.unique(self.mask)}


def maps_cell(
    image: RGBImage,
    ids: UInt8[np.ndarray, "H W"],
    scores: Float[np.ndarray, "H W"],
    classes: tuple[str, ...],
) -> Cell:
    """The top class of each pixel; classes that score 0 everywhere do not occur."""
    pixels = shown_maps(image, ids, scores, display_colours(len(classes)))
    return Cell(pixels=pixels, shown=frozenset(int(value) for value in np.unique(ids[scores > 0])))


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRow:
    """One image's cells by column title; the titles and sizes are the same in a row."""

    cells: dict[str, Cell]
    label: str = ""  # stands left of the row

    @property
    def aspect(self) -> float:
        """The height of the image, in widths."""
        height, width = next(iter(self.cells.values())).pixels.shape[:2]
        return height / width


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """The columns of a grid, in pixels; the titles in blocks that stand below each other."""

    left: int
    cell: int
    blocks: list[list[str]]

    @property
    def width(self) -> int:
        columns = max(len(block) for block in self.blocks)
        return self.left + columns * (self.cell + GAP) - GAP + MARGIN

    def column(self, number: int) -> int:
        """The left end of a column."""
        return self.left + number * (self.cell + GAP)


def draw_grid(
    path: Path,
    rows: list[GridRow],
    classes: tuple[str, ...],
    *,
    caption: str,
    shows_change: bool = False,
) -> None:
    """Write the grid as PNG or JPEG, at most 2000 pixels wide, with legend and caption below.

    Each row is as tall as its image in the width of a column. The legend names the classes that
    occur. With more than ten classes, large regions of masks bear their names.
    """
    layout = _layout(rows)
    canvas = Canvas(layout.width)
    y = MARGIN
    for titles in layout.blocks:
        y = _draw_titles(canvas, layout, titles, y)
        for row in rows:
            y = _draw_row(canvas, layout, row, titles, y=y, classes=classes)
    ids = frozenset[int]().union(*(cell.ids for row in rows for cell in row.cells.values()))
    y = draw_legend(canvas, legend_entries(classes, ids=ids, shows_change=shows_change), y)
    y += GAP
    above = y
    for line in wrapped(
        drawable(caption), width=canvas.width - 4 * MARGIN, size=CAPTION, dots=DOTS
    ):
        y += round(LINE * CAPTION * POINT)
        canvas.texts.append(Text(canvas.width / 2, float(y), line, CAPTION, colour=GREY))
    height = y + round(LINE * CAPTION * POINT)
    canvas.save(path, height=height, caption=Caption(text=caption, pixels=height - above))


def _layout(rows: list[GridRow]) -> _Layout:
    labels = [line for row in rows for line in drawable(row.label).split("\n")]
    widest = max(text_width(line, size=LABEL, dots=DOTS) for line in labels)
    left = MARGIN + (round(widest) + 2 * GAP if widest else 0)
    titles = list(rows[0].cells)
    most = max(2, (WIDEST - left - MARGIN + GAP) // (NARROWEST + GAP))
    blocks = [titles] if len(titles) <= most else list(_blocks(titles, most))
    columns = max(len(block) for block in blocks)
    cell = min(CELL, (WIDEST - left - MARGIN + GAP) // columns - GAP)
    return _Layout(left=left, cell=cell, blocks=blocks)


def _blocks(titles: list[str], most: int) -> Iterable[list[str]]:
    """The first title, the image, followed by a part of the others; parts of about equal size."""
    others = titles[1:]
    parts = -(-len(others) // (most - 1))
    for part in np.array_split(np.arange(len(others)), parts):
        yield [titles[0], *(others[number] for number in part)]


def _draw_titles(canvas: Canvas, layout: _Layout, titles: list[str], y: int) -> int:
    """Titles above the columns, at the bottom of their band; returns its lower end."""
    lines = [wrapped(drawable(title), width=layout.cell, size=TITLE, dots=DOTS) for title in titles]
    step = round(LINE * TITLE * POINT)
    bottom = y + step * max(map(len, lines)) + GAP
    for column, words in enumerate(lines):
        middle = layout.column(column) + layout.cell / 2
        for number, line in enumerate(reversed(words)):
            canvas.texts.append(Text(middle, bottom - GAP - (number + 0.5) * step, line, TITLE))
    return bottom


def _draw_row(
    canvas: Canvas,
    layout: _Layout,
    row: GridRow,
    titles: list[str],
    *,
    y: int,
    classes: tuple[str, ...],
) -> int:
    """The cells of one row and its label; returns the top of the next row."""
    aspect = min(row.aspect, TALLEST)
    height = max(1, round(layout.cell * aspect))
    width = max(1, round(height / row.aspect)) if row.aspect > TALLEST else layout.cell
    tall = max(height, _draw_label(canvas, layout, row, y=y, height=height))
    for column, title in enumerate(titles):
        x = layout.column(column) + (layout.cell - width) // 2
        cell = row.cells[title]
        _draw_cell(canvas, cell, (x, y + (tall - height) // 2), (width, height), classes)
    return y + tall + GAP


def _draw_label(canvas: Canvas, layout: _Layout, row: GridRow, *, y: int, height: int) -> int:
    """The lines left of a row, as large as fits its height; returns the height that they need."""
    if not row.label:
        return 0
    lines = drawable(row.label).split("\n")
    size = min(LABEL, max(SMALLEST_LABEL, height / (LINE * POINT * len(lines))))
    step = LINE * size * POINT
    needed = round(step * len(lines))
    first = y + max(0, height - needed) / 2 + step / 2
    for number, line in enumerate(lines):
        place = (float(layout.left - GAP), first + number * step)
        canvas.texts.append(Text(*place, line, size, align="right"))
    return needed


def _draw_cell(
    canvas: Canvas,
    cell: Cell,
    place: tuple[int, int],
    size: tuple[int, int],
    classes: tuple[str, ...],
) -> None:
    pixels = np.asarray(Image.fromarray(cell.pixels).resize(size, Image.Resampling.BICUBIC))
    if cell.mask is None:
        canvas.images.append((*place, pixels))
        return
    mask = np.asarray(Image.fromarray(cell.mask).resize(size, Image.Resampling.NEAREST))
    canvas.images.append((*place, shown_mask(pixels, mask, display_colours(len(classes)))))
    if len(classes) > len(FEW_CLASSES):
        _write_names(canvas, mask, place, classes)


def _write_names(
    canvas: Canvas,
    mask: UInt8[np.ndarray, "H W"],
    place: tuple[int, int],
    classes: tuple[str, ...],
) -> None:
    occur = {int(value) for value in np.unique(mask)}
    names = {
        mask_id(i): shortened(name, LONGEST_NAME)
        for i, name in enumerate(classes)
        if mask_id(i) in occur
    }
    widths = {v: text_width(name, size=NAME, dots=DOTS) + HALO for v, name in names.items()}
    for value, (x, y) in placed_names(mask, widths, height=LINE * NAME * POINT).items():
        where = (place[0] + x, place[1] + y)
        canvas.texts.append(Text(*where, names[value], NAME, colour="white", has_halo=True))
