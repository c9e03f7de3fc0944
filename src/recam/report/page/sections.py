"""The numbered sections of figures: their titles, words and files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recam.report.methods import STAGES

NUMBER = re.compile(r"^\d+[a-z]?-")  # begins the names of files
OF_GRID = "{}: a row for each image, with ground truth, every method and the change"
OF_CHART = "chart of {}"
MAPS = (
    "Normalised class activation maps. Each pixel has the colour of its top class, with an opacity "
    "proportional to the score. Compare whether ReCAM stays on one object where CAM leaks onto "
    "co-occurring ones."
)
ROWS = (
    "Numbers left of a row are mIoU in percent, of maps at the threshold used. Images are selected "
    "by mIoU, not at random. In the last column, cyan pixels became right and red pixels wrong."
)
MASKS = (
    "Pseudo masks are cut from the refined maps and train the segmenter; grey pixels are ignored. "
    "The segmentation is that of images on which no network was trained."
)
ERRORS = (
    "Confusions between classes, missed and false pixels, and outcomes of objects by size and "
    "company, at each stage. Means over random seeds; whiskers: one sample standard deviation."
)
CURVES = (
    "mIoU by stage and threshold, training losses, and the classifiers on held-out labels. Means "
    "over random seeds; bands and whiskers: one sample standard deviation."
)
NO_FIGURES = "There is nothing to show yet; `make run` makes it."
NO_TRUTH = "Errors need ground truth, and nothing was scored against it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A file, its title, and words for readers who cannot see it."""

    file: Path
    title: str
    alt: str
    is_chart: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Figures under one heading; the heading may be empty."""

    title: str
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of figures, in the order of the page."""

    name: str  # its id
    title: str
    words: Sequence[str]
    groups: Sequence[Group]
    absence: str = NO_FIGURES  # stands in place of figures

    @property
    def figures(self) -> list[Figure]:
        """The figures of all groups."""
        return [figure for group in self.groups for figure in group.figures]


def sections_of(figures: Path, *, picture: Path, is_scored: bool) -> list[Section]:
    """The sections of maps, masks, errors and curves, from the folder of figures.

    ``picture`` is the step summarize's picture of all stages.
    """
    first = _figure(picture, "first images, all stages", is_chart=False)
    stages = [Group(title="All stages", figures=[first])] if picture.is_file() else []
    masks = {"Pseudo masks": "pseudo", "Segmentation": "segmentation"}
    return [
        Section(
            name="maps",
            title="Maps",
            words=[MAPS, ROWS] if is_scored else [MAPS],
            groups=_filled([Group(title="", figures=_grids(figures / "maps"))]),
        ),
        Section(
            name="masks",
            title="Pseudo masks and segmentation",
            words=[MASKS],
            groups=_filled(
                [*stages, *(Group(title=t, figures=_grids(figures / f)) for t, f in masks.items())]
            ),
        ),
        Section(
            name="errors",
            title="Errors",
            words=[ERRORS],
            groups=_filled(_errors(figures / "errors")),
            absence=NO_FIGURES if is_scored else NO_TRUTH,
        ),
        Section(
            name="curves",
            title="Curves",
            words=[CURVES],
            groups=_filled([Group(title="", figures=_charts(figures / "curves"))]),
        ),
    ]


def _filled(groups: Sequence[Group]) -> list[Group]:
    return [group for group in groups if group.figures]


def _grids(folder: Path) -> list[Figure]:
    return [_figure(file, _title(file), is_chart=False) for file in sorted(folder.glob("*.jpg"))]


def _charts(folder: Path) -> list[Figure]:
    return [_figure(file, _title(file), is_chart=True) for file in sorted(folder.glob("*.png"))]


def _errors(folder: Path) -> list[Group]:
    """A group for each stage, whose name begins the titles of its files."""
    charts = _charts(folder)
    groups: list[Group] = []
    for name in STAGES.values():
        of_stage = [
            Figure(
                file=chart.file,
                title=_capitalised(chart.title[len(name) :].strip()),
                alt=chart.alt,
                is_chart=True,
            )
            for chart in charts
            if chart.title.lower().startswith(name)
        ]
        groups.append(Group(title=name.capitalize(), figures=of_stage))
    return groups


def _figure(file: Path, title: str, *, is_chart: bool) -> Figure:
    words = OF_CHART if is_chart else OF_GRID
    return Figure(file=file, title=_capitalised(title), alt=words.format(title), is_chart=is_chart)


def _title(file: Path) -> str:
    return NUMBER.sub("", file.stem).replace("-", " ").replace("held out", "held-out")


def _capitalised(words: str) -> str:
    """The first letter in upper case; mIoU keeps its own."""
    return words if words.startswith("mIoU") else words[:1].upper() + words[1:]
