"""The picture of make_pseudo: some images on their way from map to mask."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recam.core.labels import class_colours, top_class
from recam.data.loading import pixels_of
from recam.io.images import read_image, read_mask
from recam.io.scores import load_scores
from recam.refine.affinities import STRIDE
from recam.refine.irn import Irn, edges_of
from recam.refine.random_walk import Walk, random_walk
from recam.report.grids import (
    Picture,
    PictureRow,
    draw_picture,
    shown_grey,
    shown_maps,
    shown_mask,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Folders with a file for each image, by the title of their column."""

    maps: dict[str, Path]  # of .npz
    masks: dict[str, Path]  # of .png


def draw(
    path: Path,
    images: list[Path],
    classes: tuple[str, ...],
    *,
    shown: Shown,
    irn: Irn | None,
    walk: Walk,
) -> None:
    """A row for each image; edges, and a walk from the peak of its maps, where there is an IRN."""
    colours = class_colours(len(classes))
    rows = []
    for file in images:
        image = read_image(file)
        cells = {"image": image}
        for title, folder in shown.maps.items():
            scored = load_scores(folder / f"{file.stem}.npz")
            ids, best = top_class(scored.scores, scored.classes)
            cells[title] = shown_maps(image, ids, best, colours)
            if irn and len(cells) == 2:  # after the cams, from which the walk begins
                cells |= _walked_cells(irn, image, best, walk)
        for title, folder in shown.masks.items():
            cells[title] = shown_mask(image, read_mask(folder / f"{file.stem}.png"), colours)
        rows.append(PictureRow(cells=cells))
    draw_picture(path, rows, classes, caption="first images; nothing is picked")


def _walked_cells(irn: Irn, image: Picture, best: np.ndarray, walk: Walk) -> dict[str, Picture]:
    device = next(irn.parameters()).device
    with torch.inference_mode():
        edges = edges_of(irn, pixels_of([image], device))
        peak = np.unravel_index(best.argmax(), best.shape)
        start = torch.zeros_like(edges)[None]
        start[0, 0, int(peak[0]) // STRIDE, int(peak[1]) // STRIDE] = 1
        reached = random_walk(start, edges, radius=walk.radius, power=walk.power, steps=walk.steps)
    return {"edges": _grey(edges[None], image), "walk from\nthe peak": _grey(reached, image)}


def _grey(grid: Tensor, image: Picture) -> Picture:
    height, width = image.shape[:2]
    fine = functional.interpolate(grid, scale_factor=float(STRIDE), mode="nearest")
    values = fine[0, 0, :height, :width].cpu().numpy()
    return shown_grey(values / max(values.max(), np.finfo(np.float32).tiny))
