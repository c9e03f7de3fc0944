"""The chart of the first screen: mIoU of each method, a panel for each stage, as SVG.

A small dot is a random seed, a marker the mean, a whisker one sample standard deviation to either
side. All panels share one axis.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, stdev

from recam.report.answer import Scores
from recam.report.methods import STAGES, ordered
from recam.report.style import look_of

WIDTH, ROW, TOP, BOTTOM = 420, 24, 8, 26  # pixels: of a panel, a row, and above and below the rows
LETTER = 7.0  # pixels: the width of a letter of a method's name
LABEL = 82  # pixels, right of the axis, for "00.0 ± 00.0"
BLACK, INK = "#000000", "var(--ink)"  # black cannot be seen on a dark page
LEAST, MOST = 20, 50  # percent, of the whole axis: the least, and the most with ticks 10 apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A method in a panel: mean, whisker and random seeds; lengths in pixels."""

    name: str
    colour: str  # of CSS
    text: str
    x: float
    y: float
    whisker: tuple[float, float] | None  # None for one random seed
    seeds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A stage: its marks, its ticks as pixels and percent, and its content in words."""

    stage: str
    title: str
    words: str
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, int], ...]
    left: float
    right: float
    width: int = WIDTH

    @property
    def height(self) -> int:
        """The height in pixels."""
        return TOP + ROW * len(self.marks) + BOTTOM

    @property
    def bottom(self) -> int:
        """The height of the axis in pixels."""
        return self.height - BOTTOM


def panels_of(scores: Scores, splits: dict[str, str]) -> list[Panel]:
    """The panels of the stages that have a score; ``splits`` names the split of each stage."""
    methods = ordered(method for stage in scores.values() for method in stage)
    names = [look_of(method).name for method in methods]
    left = 14 + LETTER * max((len(name) for name in names), default=0)
    values = [m for s in scores.values() for of in s.values() for m in of.values()]
    low, high, step = _axis(values)

    def x(miou: float) -> float:
        return round(left + (WIDTH - LABEL - left) * (miou - low) / (high - low), 1)

    ticks = tuple((x(float(value)), value) for value in range(low, high + 1) if value % step == 0)
    panels: list[Panel] = []
    for stage in (stage for stage in STAGES if scores.get(stage)):
        shown = [method for method in methods if method in scores[stage]]
        marks = tuple(
            _mark(method, scores[stage][method], x, y=TOP + ROW * (place + 0.5))
            for place, method in enumerate(shown)
        )
        split = f" ({splits[stage]})" if splits.get(stage) else ""
        panels.append(
            Panel(
                stage=stage,
                title=f"{STAGES[stage]}{split}",
                words=", ".join(f"{mark.name} {mark.text}" for mark in marks),
                marks=marks,
                ticks=ticks,
                left=left,
                right=x(float(high)),
            )
        )
    return panels


def _mark(method: str, mious: dict[int, float], x: Callable[[float], float], *, y: float) -> Mark:
    look = look_of(method)
    values = list(mious.values())
    mean = fmean(values)
    several = len(values) > 1
    deviation = stdev(values) if several else 0.0
    return Mark(
        name=look.name,
        colour=INK if look.colour == BLACK else look.colour,
        y=y,
        text=f"{mean:.1f} ± {deviation:.1f}" if several else f"{mean:.1f}",
        x=x(mean),
        whisker=(x(mean - deviation), x(mean + deviation)) if several else None,
        seeds=tuple(x(value) for value in values) if several else (),
    )


def _axis(mious: list[float]) -> tuple[int, int, int]:
    """Ends of an axis around all values, multiples of 10, and the distance of its ticks."""
    low = 10 * math.floor((min(mious, default=0) - 1) / 10)
    high = 10 * math.ceil((max(mious, default=100) + 1) / 10)
    if high - low < LEAST:
        low, high = low - 10, high + 10
    return max(low, 0), min(high, 100), 10 if high - low <= MOST else 20
