"""The first screen: the answer, the chart, the signs without ground truth, and the table."""

from collections.abc import Sequence
from dataclasses import dataclass

from recam.report.answer import Answer, answer_of, scores_of
from recam.report.notes import notes_of, unfinished
from recam.report.page.chart import Panel, panels_of
from recam.report.signs import Light
from recam.report.style import look_of
from recam.report.summary import Run, Table, evaluated, gathered_metrics, table_of
from recam.report.trust import (
    VERDICTS,
    Reading,
    readings_of,
    remedies,
    trust_rows,
    verdicts,
)

MANY = 5  # methods; with more, chart and tables stand below each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """The methods that share a light, by their names."""

    light: Light
    methods: Sequence[str]

    @property
    def words(self) -> str:
        """The meaning of the light."""
        return VERDICTS[self.light]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The signs of all methods; without any reading the verdicts are empty."""

    verdicts: Sequence[Verdicts]
    head: Sequence[str]
    rows: Sequence[Sequence[Reading | str]]
    remedies: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstScreen:
    """Everything above the numbered sections."""

    answer: Answer
    unfinished: Sequence[str]
    panels: Sequence[Panel]
    trust: Trust
    table: Table | None
    notes: Sequence[str]
    is_wide: bool

    @property
    def is_scored(self) -> bool:
        """Whether any run was scored against ground truth."""
        return bool(self.panels)

    @property
    def has_spread(self) -> bool:
        """Whether the chart has a method with several random seeds."""
        return any(mark.whisker for panel in self.panels for mark in panel.marks)


def first_screen(runs: list[Run]) -> FirstScreen:
    """The first screen of finished and unfinished runs."""
    done = evaluated(runs)
    metrics = gathered_metrics(done)
    table = table_of(metrics, replicates=len({run.random_seed for run in done}))
    splits = {s: str(next(iter(v.values()))["split"]) for s, v in metrics.items() if v}
    panels = panels_of(scores_of(runs), splits)
    return FirstScreen(
        answer=answer_of(runs),
        unfinished=unfinished(runs),
        panels=panels,
        trust=trust_of(runs),
        table=table if panels else None,
        notes=notes_of(runs, table),
        is_wide=len({run.method for run in runs}) > MANY,
    )


def trust_of(runs: list[Run]) -> Trust:
    """The verdicts, worst first, and the table of signs."""
    readings = readings_of(runs)
    lights = verdicts(readings)
    grouped = [
        Verdicts(light=light, methods=[look_of(m).name for m in lights if lights[m] is light])
        for light in reversed(Light)
    ]
    head, rows = trust_rows(readings)
    return Trust(
        verdicts=[group for group in grouped if group.methods],
        head=head,
        rows=rows,
        remedies=remedies(readings),
    )
