"""Image grids of the report: the maps or masks of all methods, and how they changed."""
# Pandas' types are too wide.
# pyright: reportArgumentType=false, reportCallIssue=false

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recam.core.labels import class_colours, mask_id, seed_mask, top_class
from recam.data.layout import CLASSES, IMAGES, find_image, read_classes
from recam.io.images import read_image, read_mask
from recam.io.scores import load_classes, load_scores
from recam.report.grids import (
    GridRow,
    RGBImage,
    draw_grid,
    shown_change,
    shown_maps,
    shown_mask,
)
from recam.report.methods import before_and_after, ordered
from recam.report.object_outcomes import image_mious
from recam.report.style import look_of
from recam.report.summary import Run

LIGHT_GREY = 235
LONGEST_NAME = 14
MOST_COLUMNS = 12  # of a picture of all stages; with more, each stage has a row of its own
FOLDERS = {"cams": "cams", "pseudo": "pseudo", "seg": "predictions"}
TITLES = {"cams": "{} map", "pseudo": "{}\npseudo mask", "seg": "{}\nsegmentation"}
LABELS = {"cams": "map", "pseudo": "pseudo mask", "seg": "segmentation"}
GROUND_TRUTH, CHANGE = "ground truth", "change from\n"
Cells = dict[str, RGBImage | None]  # by column title; None if the file is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Sources of the grids: data, and the runs of one random seed."""

    data: Path
    truth: Path  # folder of ground truth masks, which may be missing
    classes: tuple[str, ...]
    runs: dict[str, Run]  # by method, in the order of the columns
    counts: pd.DataFrame | None = None  # of these runs; see recam.report.object_outcomes

    @property
    def random_seed(self) -> int:
        """The random seed of the runs."""
        return next(iter(self.runs.values())).random_seed

    def ids(self, stage: str) -> list[str]:
        """Ids of the images with a map or mask of that stage, sorted."""
        folders = [run.folder / FOLDERS[stage] for run in self.runs.values()]
        return sorted({file.stem for folder in folders for file in folder.glob("*.[np]*")})

    def pair(self, stage: str) -> tuple[str, str] | None:
        """The methods before and after re-activation, if both have that stage."""
        there = [m for m, run in self.runs.items() if (run.folder / FOLDERS[stage]).is_dir()]
        return before_and_after(there)


def material_of(
    runs: list[Run], *, data: Path, truth: Path, counts: pd.DataFrame | None = None
) -> Material:
    """The runs of the first random seed, in the order of ``methods.ordered``, with their counts."""
    first = runs[0].random_seed
    of_first = {run.method: run for run in runs if run.random_seed == first}
    return Material(
        data=data,
        truth=truth,
        classes=read_classes(data / CLASSES),
        runs={method: of_first[method] for method in ordered(of_first)},
        counts=None if counts is None else counts[counts["random_seed"] == first],
    )


def draw_first(path: Path, material: Material, *, examples: int) -> None:
    """The first images, not selected, through all stages."""
    ids = (material.ids("cams") or material.ids("seg"))[:examples]
    rows = _filled([_through_all_stages(material, image_id) for image_id in ids])
    if len(rows[0].cells) > MOST_COLUMNS:
        stages = [stage for stage in FOLDERS if material.ids(stage)]
        cells = [_of_methods(material, stage, image_id) for image_id in ids for stage in stages]
        rows = _filled(cells, labels=[LABELS[stage] for stage in stages] * len(ids))
    caption = f"The first images, not selected; random seed {material.random_seed}."
    present = set[int]().union(*(_ids(material, stage, ids) for stage in FOLDERS))
    draw_grid(path, rows, material.classes, caption=caption, ids=present)


def draw_selected(folder: Path, material: Material, stage: str, *, examples: int) -> None:
    """Grids of the largest gains by re-activation, typical images, the largest losses, failures.

    The gains are those of ``before_and_after``. Without scores: the first images. Without such a
    pair: the best, median and worst images of ReCAM, or of the first method.
    """
    mious = _image_mious(material.counts, stage)
    rows = (
        _sorted_groups(mious, examples)
        if len(mious)
        else {"1-first-images": (material.ids(stage)[:examples], "The first images; not scored.")}
    )
    for name, (ids, words) in rows.items():
        cells = [_of_stage(material, stage, image_id) for image_id in ids]
        draw_grid(
            folder / f"{name}.jpg",
            _filled(cells, labels=[_label(image_id, mious) for image_id in ids]),
            material.classes,
            caption=f"{words} Random seed {material.random_seed}.",
            ids=_ids(material, stage, ids),
            shows_change=any(title.startswith(CHANGE) for row in cells for title in row),
        )


def _image_mious(counts: pd.DataFrame | None, stage: str) -> pd.DataFrame:
    """MIoU in percent, a row for each scored image, a column for each method."""
    if counts is None or stage not in set(counts["stage"]):
        return pd.DataFrame()
    mious = image_mious(pd.DataFrame(counts[counts["stage"] == stage]))
    return mious.pivot_table(index="image", columns="method", values="miou")


def _sorted_groups(mious: pd.DataFrame, count: int) -> dict[str, tuple[list[str], str]]:
    """File names, with their image ids and caption."""
    methods = ordered(str(method) for method in mious)
    pair = before_and_after(methods)
    after = pair[1] if pair else "recam" if "recam" in methods else methods[0]
    name = look_of(after).name
    if pair:
        value = (mious[after] - mious[pair[0]]).dropna().sort_values()
        before = look_of(pair[0]).name
        share, median = 100 * (value > 0).mean(), value.median()
        names = ("1-largest-gains", "2-typical", "3-largest-losses")
        words = (
            f"Largest gains in mIoU of {name} over {before}.",
            f"Gains closest to the median ({median:+.1f} mIoU). "
            f"{name} gains in {share:.0f} % of the images.",
            f"Largest losses in mIoU of {name} against {before}.",
        )
    else:
        value = mious[after].dropna().sort_values()
        names = ("1-best", "2-typical", "3-worst")
        words = (
            f"Highest mIoU of {name}.",
            f"MIoU of {name} closest to the median ({value.median():.1f}).",
            f"Lowest mIoU of {name}.",
        )
    ids = list(value.index)
    middle = max(0, (len(ids) - count) // 2)
    parts = (ids[: -count - 1 : -1], ids[middle : middle + count], ids[:count])
    groups = {n: (part, word) for n, part, word in zip(names, parts, words, strict=True)}
    failed = list(mious[after].dropna().sort_values().index)[:count]
    return groups | {"4-failures": (failed, f"Lowest mIoU of {name}: selected failures.")}


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
            cells[title] = shown_change(image, read_mask(truth), before, after)
    return cells


def _image_and_truth(material: Material, image_id: str) -> Cells:
    image = read_image(find_image(material.data / IMAGES, image_id))
    file = material.truth / f"{image_id}.png"
    colours = class_colours(len(material.classes))
    truth = shown_mask(image, read_mask(file), colours) if file.is_file() else None
    return {"image": image, GROUND_TRUTH: truth}


def _cells(material: Material, stage: str, image_id: str) -> Cells:
    """The map or mask of each method."""
    image = read_image(find_image(material.data / IMAGES, image_id))
    colours = class_colours(len(material.classes))
    draw: Callable[[Path], RGBImage]

    def of_maps(file: Path) -> RGBImage:
        cams = load_scores(file)
        ids, scores = top_class(cams.scores, cams.classes)
        return shown_maps(image, ids, np.clip(scores, 0, 1), colours)

    def of_mask(file: Path) -> RGBImage:
        return shown_mask(image, read_mask(file), colours)

    draw = of_maps if stage == "cams" else of_mask
    files = {method: _file(run, stage, image_id) for method, run in material.runs.items()}
    return {
        TITLES[stage].format(look_of(method).name): draw(file) if file.is_file() else None
        for method, file in files.items()
    }


def _file(run: Run, stage: str, image_id: str) -> Path:
    suffix = ".npz" if stage == "cams" else ".png"
    return run.folder / FOLDERS[stage] / f"{image_id}{suffix}"


def _mask(run: Run, stage: str, image_id: str) -> np.ndarray | None:
    """The mask of that stage; for cams the seed mask at the threshold of their evaluation."""
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
    shown = [
        f"{look_of(m).name} {numbers[m]:.0f}" for m in ordered(str(name) for name in numbers.index)
    ]
    return "\n".join([name, *shown])


def _ids(material: Material, stage: str, image_ids: list[str]) -> set[int]:
    """Mask ids in the images' ground truth, and in their maps or masks of that stage."""
    runs = material.runs.values()
    made = [_file(run, stage, image_id) for run in runs for image_id in image_ids]
    truth = [material.truth / f"{image_id}.png" for image_id in image_ids]
    masks = [file for file in (*truth, *made) if file.suffix == ".png" and file.is_file()]
    maps = [file for file in made if file.suffix == ".npz" and file.is_file()]
    ids = {int(value) for file in masks for value in np.unique(read_mask(file))}
    return ids | {mask_id(int(index)) for file in maps for index in load_classes(file)}


def _filled(rows: list[Cells], labels: list[str] | None = None) -> list[GridRow]:
    """Rows without the columns that are empty throughout; other empty cells are light grey."""
    present = [{title: c for title, c in cells.items() if c is not None} for cells in rows]
    titles = [title for title in rows[0] if any(title in cells for cells in present)]
    greys = [np.full_like(cells["image"], LIGHT_GREY) for cells in present]
    return [
        GridRow(cells={title: cells.get(title, grey) for title in titles}, label=label)
        for cells, grey, label in zip(present, greys, labels or [""] * len(rows), strict=True)
    ]
