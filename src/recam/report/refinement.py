"""The picture of make_pseudo: images with their cams, edges, refined maps and pseudo masks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recam.core.labels import top_class
from recam.core.overlays import RGBImage, shown_grey
from recam.data.loading import pixels_of
from recam.io.images import read_image, read_mask
from recam.io.scores import load_scores
from recam.refine.affinities import STRIDE
from recam.refine.irn import Irn, edges_of
from recam.refine.random_walk import Walk, random_walk
from recam.report.grids import Cell, GridRow, draw_grid, maps_cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Folders with a file for each image, by column title."""

    maps: dict[str, Path]  # folders of .npz
    masks: dict[str, Path]  # folders of .png


def draw(
    path: Path,
    images: list[Path],
    classes: tuple[str, ...],
    *,
    shown: Shown,
    irn: Irn | None,
    walk: Walk,
) -> None:
    """A row for each image; with an IRN also its edges and a walk from the peak of the cams."""
    rows: list[GridRow] = []
    for file in images:
        image = read_image(file)
        cells = {"image": Cell(pixels=image)}
        for title, folder in shown.maps.items():
            scored = load_scores(folder / f"{file.stem}.npz")
            ids, best = top_class(scored.scores, scored.classes)
            cells[title] = maps_cell(image, ids, best, classes)
            if irn and len(cells) == 2:  # after the cams, where the walk starts
                cells |= _walked_cells(irn, image, best, walk)
        for title, folder in shown.masks.items():
            cells[title] = Cell(pixels=image, mask=read_mask(folder / f"{file.stem}.png"))
        rows.append(GridRow(cells=cells))
    draw_grid(path, rows, classes, caption="Images that show many classes.")


def _walked_cells(irn: Irn, image: RGBImage, best: np.ndarray, walk: Walk) -> dict[str, Cell]:
    device = next(irn.parameters()).device
    with torch.inference_mode():
        edges = edges_of(irn, pixels_of([image], device))
        peak = np.unravel_index(best.argmax(), best.shape)
        start = torch.zeros_like(edges)[None]
        start[0, 0, int(peak[0]) // STRIDE, int(peak[1]) // STRIDE] = 1
        reached = random_walk(start, edges, radius=walk.radius, power=walk.power, steps=walk.steps)
    return {"edges": _grey(edges[None], image), "walk from\nthe peak": _grey(reached, image)}


def _grey(grid: Tensor, image: RGBImage) -> Cell:
    height, width = image.shape[:2]
    fine = functional.interpolate(grid, scale_factor=float(STRIDE), mode="nearest")
    values = fine[0, 0, :height, :width].cpu().numpy()
    return Cell(pixels=shown_grey(values / max(values.max(), np.finfo(np.float32).tiny)))
