"""Grids of images for the report: what each method makes of the same ones, and what changed."""
# Pandas' types are too wide.
# pyright: reportArgumentType=false, reportCallIssue=false

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recam.core.labels import class_colours, seed_mask, top_class
from recam.data.layout import IMAGES, find_image
from recam.io.images import read_image, read_mask
from recam.io.scores import load_scores
from recam.report.grids import (
    Picture,
    PictureRow,
    draw_picture,
    shown_change,
    shown_maps,
    shown_mask,
)
from recam.report.objects import image_mious
from recam.report.style import LOOKS
from recam.report.summary import Run

LIGHT_GREY = 235
LONGEST_NAME = 14
FOLDERS = {"cams": "cams", "pseudo": "pseudo", "seg": "predictions"}
TITLES = {"cams": "{} map", "pseudo": "{}\npseudo mask", "seg": "{}\nsegmentation"}
Cells = dict[str, Picture | None]  # by column title; None where there is nothing to show


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What can be shown: the runs of the first random seed, and the truth where there is some."""

    data: Path
    truth: Path
    classes: tuple[str, ...]
    runs: dict[str, Run]  # by method, in the order of the columns
    counts: pd.DataFrame | None = None  # of these runs, once scored; see recam.report.objects

    @property
    def random_seed(self) -> int:
        """Of all that is shown."""
        return next(iter(self.runs.values())).random_seed

    def ids(self, stage: str) -> list[str]:
        """The images of which there is something of that stage."""
        folders = [run.folder / FOLDERS[stage] for run in self.runs.values()]
        return sorted({file.stem for folder in folders for file in folder.glob("*.[np]*")})

    def pair(self, stage: str) -> tuple[str, str] | None:
        """The methods before and after re-activation, where both were run that far."""
        there = [m for m, run in self.runs.items() if (run.folder / FOLDERS[stage]).is_dir()]
        return ("cam", "recam") if {"cam", "recam"} <= set(there) else None


def draw_first(path: Path, material: Material, *, examples: int) -> None:
    """The first images through all stages, whatever they look like."""
    ids = (material.ids("cams") or material.ids("seg"))[:examples]
    rows = [_through_all_stages(material, image_id) for image_id in ids]
    caption = f"first images, random seed {material.random_seed}; nothing is picked"
    draw_picture(path, _filled(rows), material.classes, caption=caption, named=_ids(material, ids))


def draw_extremes(folder: Path, material: Material, stage: str, *, examples: int) -> None:
    """Images where re-activation gains most, about the median, and least, and those it fails on.

    Where nothing was scored, the first images; where only one method was run, its best, median and
    worst.
    """
    mious = _image_mious(material.counts, stage)
    rows = (
        _sorted_groups(mious, examples)
        if len(mious)
        else {"1-first-images": (material.ids(stage)[:examples], "First images; not scored.")}
    )
    for name, (ids, words) in rows.items():
        cells = [_of_stage(material, stage, image_id) for image_id in ids]
        draw_picture(
            folder / f"{name}.jpg",
            _filled(cells, labels=[_label(image_id, mious) for image_id in ids]),
            material.classes,
            caption=f"{words} Random seed {material.random_seed}.",
            named=_ids(material, ids),
            shows_change="what changed" in cells[0],
        )


def _image_mious(counts: pd.DataFrame | None, stage: str) -> pd.DataFrame:
    """A row for each scored image, a column for each method."""
    if counts is None or stage not in set(counts["stage"]):
        return pd.DataFrame()
    mious = image_mious(pd.DataFrame(counts[counts["stage"] == stage]))
    return mious.pivot_table(index="image", columns="method", values="miou")


def _sorted_groups(mious: pd.DataFrame, count: int) -> dict[str, tuple[list[str], str]]:
    """Names of files, with their images and what to say of them."""
    after = "recam" if "recam" in mious else str(mious.columns[0])
    name = LOOKS[after].name
    if {"cam", "recam"} <= set(mious):
        value = (mious["recam"] - mious["cam"]).dropna().sort_values()
        share, median = 100 * (value > 0).mean(), value.median()
        names = ("1-most-gained", "2-typical", "3-most-lost")
        words = (
            f"Where {name} gains most over CAM.",
            f"About the median: {median:+.1f} mIoU. {name} gains in {share:.0f} % of images.",
            f"Where {name} loses most.",
        )
    else:
        value = mious[after].dropna().sort_values()
        names = ("1-best", "2-typical", "3-worst")
        words = (f"{name}'s best.", f"About the median, {value.median():.1f} mIoU.", "The worst.")
    ids = list(value.index)
    middle = max(0, (len(ids) - count) // 2)
    parts = (ids[: -count - 1 : -1], ids[middle : middle + count], ids[:count])
    groups = {n: (part, word) for n, part, word in zip(names, parts, words, strict=True)}
    failed = list(mious[after].dropna().sort_values().index)[:count]
    return groups | {"4-failures": (failed, f"What {name} gets most wrong, shown on purpose.")}


def _through_all_stages(material: Material, image_id: str) -> Cells:
    cells = _image_and_truth(material, image_id)
    for stage in FOLDERS:
        cells |= _cells(material, stage, image_id)
    return cells


def _of_stage(material: Material, stage: str, image_id: str) -> Cells:
    cells = _image_and_truth(material, image_id) | _cells(material, stage, image_id)
    truth = material.truth / f"{image_id}.png"
    if (pair := material.pair(stage)) and truth.is_file():
        image = cells["image"]
        before, after = (_mask(material.runs[method], stage, image_id) for method in pair)
        if image is not None and before is not None and after is not None:
            cells["what changed"] = shown_change(image, read_mask(truth), before, after)
    return cells


def _image_and_truth(material: Material, image_id: str) -> Cells:
    image = read_image(find_image(material.data / IMAGES, image_id))
    file = material.truth / f"{image_id}.png"
    colours = class_colours(len(material.classes))
    truth = shown_mask(image, read_mask(file), colours) if file.is_file() else None
    return {"image": image, "truth": truth}


def _cells(material: Material, stage: str, image_id: str) -> Cells:
    """A cell for each method."""
    image = read_image(find_image(material.data / IMAGES, image_id))
    colours = class_colours(len(material.classes))
    draw: Callable[[Path], Picture]

    def of_maps(file: Path) -> Picture:
        cams = load_scores(file)
        ids, scores = top_class(cams.scores, cams.classes)
        return shown_maps(image, ids, np.clip(scores, 0, 1), colours)

    def of_mask(file: Path) -> Picture:
        return shown_mask(image, read_mask(file), colours)

    draw = of_maps if stage == "cams" else of_mask
    files = {method: _file(run, stage, image_id) for method, run in material.runs.items()}
    return {
        TITLES[stage].format(LOOKS[method].name): draw(file) if file.is_file() else None
        for method, file in files.items()
    }


def _file(run: Run, stage: str, image_id: str) -> Path:
    suffix = ".npz" if stage == "cams" else ".png"
    return run.folder / FOLDERS[stage] / f"{image_id}{suffix}"


def _mask(run: Run, stage: str, image_id: str) -> np.ndarray | None:
    """The mask of that stage; of cams the seed mask, at the threshold at which they are scored."""
    file = _file(run, stage, image_id)
    if not file.is_file():
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
    shown = [f"{LOOKS[m].name} {numbers[m]:.0f}" for m in LOOKS if m in numbers]
    return "\n".join([name, *shown])


def _ids(material: Material, image_ids: list[str]) -> set[int]:
    """Mask ids of the classes in the images' true or made masks."""
    folders = [
        material.truth,
        *(run.folder / f for run in material.runs.values() for f in ("pseudo", "predictions")),
    ]
    files = [folder / f"{image_id}.png" for folder in folders for image_id in image_ids]
    return {int(value) for file in files if file.is_file() for value in np.unique(read_mask(file))}


def _filled(rows: list[Cells], labels: list[str] | None = None) -> list[PictureRow]:
    """A column that is empty throughout is left out; any other empty cell is light grey."""
    present = [{title: c for title, c in cells.items() if c is not None} for cells in rows]
    titles = [title for title in rows[0] if any(title in cells for cells in present)]
    greys = [np.full_like(cells["image"], LIGHT_GREY) for cells in present]
    return [
        PictureRow(cells={title: cells.get(title, grey) for title in titles}, label=label)
        for cells, grey, label in zip(present, greys, labels or [""] * len(rows), strict=True)
    ]
