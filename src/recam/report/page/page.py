"""The page: gather everything that it shows, and render it."""

import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from recam.io.atomic import write_text
from recam.report.answer import QUESTION
from recam.report.explorer import explorer_html
from recam.report.methods import before_and_after, ordered
from recam.report.page.cost import UNTIMED, cost_table, save_cost
from recam.report.page.experiment import Experiment
from recam.report.page.first_screen import MANY, FirstScreen, first_screen
from recam.report.page.images import Embedded, embedded
from recam.report.page.sections import Figure, Section, sections_of
from recam.report.provenance import origins, parameters_text, provenance
from recam.report.style import look_of
from recam.report.trust import MEANING
from recam.report.trust import QUESTION as TRUST

LARGEST = 14_500_000  # bytes of the page
EXPLORER = 7_000_000  # bytes of the explorer within it
EXPLORED = 6  # methods in the explorer: each one enlarges the page
TITLES = {
    "explorer": "Explorer",
    "maps": "Maps",
    "masks": "Pseudo masks and segmentation",
    "errors": "Errors",
    "curves": "Curves",
    "cost": "Cost",
    "provenance": "Provenance",
}


def write_page(experiment: Experiment, path: Path) -> None:
    """Write the page of a finished or an unfinished run, below 15 MB.

    Draws the figures that are missing or outdated, and writes cost and provenance as
    ``describe`` does. Raises UserError if no run has started.
    """
    describe(experiment)
    screen = first_screen(experiment.runs)
    sections = sections_of(
        experiment.figures(),
        picture=experiment.results / "picture.png",
        is_scored=screen.is_scored,
    )
    cost = Figure(
        file=experiment.results / "report/cost.png",
        title="Time and memory",
        alt="chart of the time and the peak memory of every step; the table has the numbers",
        is_chart=True,
    )
    write_text(path, _rendered(experiment, screen, sections, cost))


def describe(experiment: Experiment) -> None:
    """Write the chart of cost and the provenance into ``results/report``."""
    experiment.check_started()
    folder = experiment.results / "report"
    save_cost(folder / "cost.png", experiment.timings())
    page = provenance(
        experiment.params,
        code=experiment.code(),
        data=experiment.data,
        results=experiment.results,
    )
    write_text(folder / "provenance.html", page)


def _rendered(
    experiment: Experiment, screen: FirstScreen, sections: list[Section], cost: Figure
) -> str:
    explorer = _explorer(experiment)
    content: dict[str, object] = {
        "experiment": experiment,
        "question": QUESTION,
        "facts": _facts(experiment),
        "screen": screen,
        "meaning": MEANING,
        "trust_title": TRUST,
        "titles": TITLES,
        "sections": sections,
        "explorer": Markup(explorer),  # noqa: S704 it escapes its own values
        "cost": cost,
        "cost_table": cost_table(experiment.timings()),
        "untimed": UNTIMED,
        "origins": origins(
            code=experiment.code(), data=experiment.data, results=experiment.results
        ),
        "parameters": parameters_text(experiment.params),
    }
    template = _environment().get_template("page.html.jinja")
    frame = len(template.render(content, images={}).encode())
    images = _images([*_figures_of(sections), cost], budget=LARGEST - frame)
    return template.render(content, images=images)


def _figures_of(sections: Sequence[Section]) -> list[Figure]:
    """The figures of all sections."""
    return [figure for section in sections for figure in section.figures]


def _images(figures: Sequence[Figure], *, budget: int) -> dict[Path, Embedded]:
    charts = [figure.file for figure in figures if figure.is_chart]
    photographs = [figure.file for figure in figures if not figure.is_chart]
    return embedded(charts, photographs, budget=budget)


def _explorer(experiment: Experiment) -> str:
    """The explorer of the first random seed, with the compared methods first."""
    methods = ordered(experiment.methods)
    chosen = dict.fromkeys([*(before_and_after(methods) or ()), *methods])
    return explorer_html(
        experiment.folder,
        random_seed=experiment.random_seeds[0],
        methods=list(chosen)[:EXPLORED],
        budget=EXPLORER,
    )


def _facts(experiment: Experiment) -> list[str]:
    """The data set, the methods and the random seeds."""
    seeds = ", ".join(str(seed) for seed in experiment.random_seeds)
    methods = ordered(experiment.methods)
    listed = ", ".join(look_of(method).name for method in methods)
    names = listed if len(methods) <= MANY else f"{len(methods)} methods"
    plural = "s" if len(experiment.random_seeds) > 1 else ""
    return [f"Data set {experiment.dataset}", names, f"Random seed{plural} {seeds}"]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("recam.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _with_code
    return environment


def _with_code(words: str) -> Markup:
    """Escaped words, with those between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))  # noqa: S704
