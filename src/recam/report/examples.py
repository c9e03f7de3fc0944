"""Image grids of the report: the maps or masks of all methods, and how they changed."""
# Pandas' types are too wide.
# pyright: reportArgumentType=false, reportCallIssue=false

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recam.core.labels import seed_mask, top_class
from recam.core.overlays import shown_change
from recam.data.coverage import covering_images, labels_of
from recam.data.layout import CLASSES, IMAGES, LABELS, find_image, read_classes, read_labels
from recam.io.archives import files_in, is_stored
from recam.io.images import read_image, read_mask
from recam.io.scores import load_scores
from recam.report.grids import Cell, GridRow, draw_grid, maps_cell
from recam.report.methods import before_and_after, ordered
from recam.report.selection import Group, groups_by_score, mious_of
from recam.report.style import look_of
from recam.report.summary import Run

LIGHT_GREY = 235
LONGEST_NAME = 14
MOST_COLUMNS = 12  # of a picture of all stages; with more, each stage has a row of its own
FOLDERS = {"cams": "cams", "pseudo": "pseudo", "seg": "predictions"}
TITLES = {"cams": "{} map", "pseudo": "{}\npseudo mask", "seg": "{}\nsegmentation"}
NAMES = {"cams": "map", "pseudo": "pseudo mask", "seg": "segmentation"}
CHOSEN = "Images that show many classes, whatever their scores."
GROUND_TRUTH, CHANGE = "ground truth", "change from\n"
Cells = dict[str, Cell | None]  # by column title; None if the file is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Sources of the grids: data, and the runs of one random seed."""

    data: Path
    truth: Path  # folder of ground truth masks, which may be missing
    classes: tuple[str, ...]
    labels: pd.DataFrame  # of all images; see recam.data.layout.read_labels
    runs: dict[str, Run]  # by method, in the order of the columns
    counts: pd.DataFrame | None = None  # of these runs; see recam.report.object_outcomes

    @property
    def random_seed(self) -> int:
        """The random seed of the runs."""
        return next(iter(self.runs.values())).random_seed

    def ids(self, stage: str) -> list[str]:
        """Ids of the images with a map or mask of that stage, sorted."""
        folders = [run.folder / FOLDERS[stage] for run in self.runs.values()]
        return sorted({file.stem for folder in folders for file in files_in(folder)})

    def common_ids(self) -> list[str]:
        """Ids of the images that have every map and mask that the runs make, sorted.

        Without such an image, of those with any map, or with any mask.
        """
        folders = [run.folder / name for run in self.runs.values() for name in FOLDERS.values()]
        there = [{file.stem for file in files_in(folder)} for folder in folders]
        common = set.intersection(*(ids for ids in there if ids)) if any(there) else set[str]()
        return sorted(common) or self.ids("cams") or self.ids("seg")

    def covering(self, ids: list[str], *, count: int) -> list[str]:
        """At most ``count`` images of many classes, those with ground truth before the others."""
        has_truth = [(self.truth / f"{image_id}.png").is_file() for image_id in ids]
        ranks = np.logical_not(has_truth).astype(int)
        return covering_images(ids, labels_of(ids, self.labels), count=count, ranks=ranks)

    def pair(self, stage: str) -> tuple[str, str] | None:
        """The methods before and after re-activation, if both have that stage."""
        there = [m for m, run in self.runs.items() if (run.folder / FOLDERS[stage]).is_dir()]
        return before_and_after(there)


def material_of(
    runs: list[Run], *, data: Path, truth: Path, counts: pd.DataFrame | None = None
) -> Material:
    """The runs of the first random seed, in the order of ``methods.ordered``, with their counts."""
    first = runs[0].random_seed
    classes = read_classes(data / CLASSES)
    of_first = {run.method: run for run in runs if run.random_seed == first}
    return Material(
        data=data,
        truth=truth,
        classes=classes,
        labels=read_labels(data / LABELS, classes),
        runs={method: of_first[method] for method in ordered(of_first)},
        counts=None if counts is None else counts[counts["random_seed"] == first],
    )


def draw_overview(path: Path, material: Material, *, examples: int) -> None:
    """Images of all classes through all stages, whatever their scores."""
    ids = material.covering(material.common_ids(), count=examples)
    rows = _filled([_through_all_stages(material, image_id) for image_id in ids])
    if len(rows[0].cells) > MOST_COLUMNS:
        stages = [stage for stage in FOLDERS if material.ids(stage)]
        cells = [_of_methods(material, stage, image_id) for image_id in ids for stage in stages]
        rows = _filled(cells, labels=[NAMES[stage] for stage in stages] * len(ids))
    caption = f"{CHOSEN} Random seed {material.random_seed}."
    draw_grid(path, rows, material.classes, caption=caption)


def draw_selected(folder: Path, material: Material, stage: str, *, examples: int) -> None:
    """Grids of the groups of ``groups_by_score``; without scores, of images of all classes."""
    mious = mious_of(material.counts, stage)
    groups = (
        groups_by_score(mious, material.labels, count=examples)
        if len(mious)
        else {"1-images": Group(material.covering(material.ids(stage), count=examples), CHOSEN)}
    )
    for name, group in groups.items():
        cells = [_of_stage(material, stage, image_id) for image_id in group.ids]
        draw_grid(
            folder / f"{name}.jpg",
            _filled(cells, labels=[_label(image_id, mious) for image_id in group.ids]),
            material.classes,
            caption=f"{group.words} Random seed {material.random_seed}.",
            shows_change=any(title.startswith(CHANGE) for row in cells for title in row),
        )


def _through_all_stages(material: Material, image_id: str) -> Cells:
    cells = _image_and_truth(material, image_id)
    for stage in FOLDERS:
        cells |= _cells(material, stage, image_id)
    return cells


def _of_methods(material: Material, stage: str, image_id: str) -> Cells:
    """A row of one stage, under titles that serve all stages: the names of the methods."""
    cells = _cells(material, stage, image_id)
    names = [look_of(method).name for method in material.runs]
    titled = dict(zip(names, cells.values(), strict=True))
    return _image_and_truth(material, image_id) | titled


def _of_stage(material: Material, stage: str, image_id: str) -> Cells:
    cells = _image_and_truth(material, image_id) | _cells(material, stage, image_id)
    truth = material.truth / f"{image_id}.png"
    if (pair := material.pair(stage)) and truth.is_file():
        image = cells["image"]
        before, after = (_mask(material.runs[method], stage, image_id) for method in pair)
        if image is not None and before is not None and after is not None:
            title = CHANGE + " to ".join(look_of(method).name for method in pair)
            change = shown_change(image.pixels, read_mask(truth), before, after)
            cells[title] = Cell(pixels=change)
    return cells


def _image_and_truth(material: Material, image_id: str) -> Cells:
    image = read_image(find_image(material.data / IMAGES, image_id))
    file = material.truth / f"{image_id}.png"
    truth = Cell(pixels=image, mask=read_mask(file)) if file.is_file() else None
    return {"image": Cell(pixels=image), GROUND_TRUTH: truth}


def _cells(material: Material, stage: str, image_id: str) -> Cells:
    """The map or mask of each method."""
    image = read_image(find_image(material.data / IMAGES, image_id))
    draw: Callable[[Path], Cell]

    def of_maps(file: Path) -> Cell:
        cams = load_scores(file)
        ids, scores = top_class(cams.scores, cams.classes)
        return maps_cell(image, ids, np.clip(scores, 0, 1), material.classes)

    def of_mask(file: Path) -> Cell:
        return Cell(pixels=image, mask=read_mask(file))

    draw = of_maps if stage == "cams" else of_mask
    files = {method: _file(run, stage, image_id) for method, run in material.runs.items()}
    return {
        TITLES[stage].format(look_of(method).name): draw(file) if is_stored(file) else None
        for method, file in files.items()
    }


def _file(run: Run, stage: str, image_id: str) -> Path:
    suffix = ".npz" if stage == "cams" else ".png"
    return run.folder / FOLDERS[stage] / f"{image_id}{suffix}"


def _mask(run: Run, stage: str, image_id: str) -> np.ndarray | None:
    """The mask of that stage; for cams the seed mask at the threshold of their evaluation."""
    file = _file(run, stage, image_id)
    if not is_stored(file):
        return None
    if stage != "cams":
        return read_mask(file)
    if not (run.folder / "metrics.json").is_file():
        return None  # not evaluated yet
    cams = load_scores(file)
    return seed_mask(cams.scores, cams.classes, threshold=float(run.metrics()["cams"]["threshold"]))


def _label(image_id: str, mious: pd.DataFrame) -> str:
    name = image_id if len(image_id) <= LONGEST_NAME else f"…{image_id[1 - LONGEST_NAME :]}"
    numbers = mious.loc[image_id].dropna() if image_id in mious.index else pd.Series(dtype=float)
    shown = [
        f"{look_of(m).name} {numbers[m]:.0f}" for m in ordered(str(name) for name in numbers.index)
    ]
    return "\n".join([name, *shown])


def _filled(rows: list[Cells], labels: list[str] | None = None) -> list[GridRow]:
    """Rows without the columns that are empty throughout; other empty cells are light grey."""
    present = [{title: c for title, c in cells.items() if c is not None} for cells in rows]
    titles = [title for title in rows[0] if any(title in cells for cells in present)]
    greys = [Cell(pixels=np.full_like(cells["image"].pixels, LIGHT_GREY)) for cells in present]
    return [
        GridRow(cells={title: cells.get(title, grey) for title in titles}, label=label)
        for cells, grey, label in zip(present, greys, labels or [""] * len(rows), strict=True)
    ]
