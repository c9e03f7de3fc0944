"""The explorer as an HTML fragment that needs no other file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recam.core.labels import IGNORE, class_names_with_background, display_colours
from recam.io.scores import SCORE_STEPS
from recam.report.explorer.choice import chosen_ids, pair_of
from recam.report.explorer.encoding import START, EncodedImage, encoded_image
from recam.report.explorer.sources import Experiment, Source, experiment_of
from recam.report.style import look_of

FOLDER = Path(__file__).parent
# Longest sides in pixels, tried in turn until MIN_IMAGES fit into the budget.
LONGEST_SIDES = (320, 240, 160)
MIN_IMAGES = 8
DECIMALS = 6  # of a threshold in 200ths: 0.05 is 10, not 10.000000000000002
TITLES = {"cams": "CAMs", "scores": "refined scores"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """The images that fit into the budget, as JSON, and whether any of them is reduced."""

    images: list[str]
    is_reduced: bool
    is_scored: bool


def explorer_html(
    folder: Path,
    *,
    random_seed: int,
    methods: Sequence[str],
    most_images: int = 24,
    budget: int = 8_000_000,
) -> str:
    """A section with id ``explorer`` on the runs of one random seed; empty without score maps.

    ``folder`` holds ``data/`` and ``results/``. The fragment has at most ``most_images`` images and
    ``budget`` bytes; it is empty if no image fits. Raises UserError for a damaged file.
    """
    experiment = experiment_of(folder, random_seed=random_seed, methods=methods)
    if experiment is None:
        return ""
    empty = Fitting(images=[], is_reduced=True, is_scored=True)
    frame = len(_rendered(experiment, empty, random_seed).encode())
    ids = chosen_ids(experiment, count=most_images)
    fitting = _fitting(experiment, ids, budget - frame)
    return _rendered(experiment, fitting, random_seed) if fitting.images else ""


def _fitting(experiment: Experiment, ids: list[str], budget: int) -> Fitting:
    """As many of the first images as fit, at the largest size at which enough of them do."""
    fitting = Fitting(images=[], is_reduced=False, is_scored=False)
    for longest in LONGEST_SIDES:
        fitting = _first_images(experiment, ids, budget, longest)
        if len(fitting.images) >= min(MIN_IMAGES, len(ids)):
            break
    return fitting


def _first_images(experiment: Experiment, ids: list[str], budget: int, longest: int) -> Fitting:
    texts: list[str] = []
    images: list[EncodedImage] = []
    for image_id in ids:
        image = encoded_image(experiment, image_id, longest=longest)
        text = json.dumps(asdict(image))
        budget -= len(safe_json(text)) + 1
        if budget < 0:
            break
        images.append(image)
        texts.append(text)
    return Fitting(
        images=texts,
        is_reduced=any(image.size != image.stored for image in images),
        is_scored=any(image.truth for image in images),
    )


def _rendered(experiment: Experiment, fitting: Fitting, random_seed: int) -> str:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined
    )
    sources = [source for stage in experiment.sources.values() for source in stage.values()]
    head = json.dumps(_head(experiment))
    content = f'{{"head":{head},"images":[{",".join(fitting.images)}]}}'
    return environment.get_template("explorer.html.jinja").render(
        style=(FOLDER / "explorer.css").read_text(encoding="utf-8"),
        script=(FOLDER / "explorer.js").read_text(encoding="utf-8"),
        content=safe_json(content),
        stages={stage: TITLES[stage] for stage in experiment.sources},
        first_stage=_first_stage(experiment),
        count=len(fitting.images),
        total=len(experiment.ids()),
        random_seed=random_seed,
        is_scored=fitting.is_scored,
        is_reduced=fitting.is_reduced,
        methods=pair_of(experiment.methods),
        steps=SCORE_STEPS,
        has_band=any(source.margin for source in sources),
        has_saliency=any(source.has_saliency for source in sources),
    )


def _first_stage(experiment: Experiment) -> str:
    """The latest stage with maps of both methods to begin with, or of any method."""
    pair = set(pair_of(experiment.methods))
    of_pair = [stage for stage, sources in experiment.sources.items() if pair <= set(sources)]
    return (of_pair or list(experiment.sources))[-1]


def safe_json(text: str) -> str:
    """JSON that stays JSON and cannot end the HTML element that holds it."""
    return text.replace("<", "\\u003c")


def _head(experiment: Experiment) -> dict[str, object]:
    """The numbers that all images share; scores are in 200ths."""
    return {
        "steps": SCORE_STEPS,
        "ignored": IGNORE,
        "start": SCORE_STEPS * START,
        "names": class_names_with_background(experiment.classes),
        "colours": display_colours(len(experiment.classes)).tolist(),
        "methods": {method: look_of(method).name for method in experiment.methods},
        "pair": pair_of(experiment.methods),
        "sources": {
            stage: {method: _numbers(source) for method, source in sources.items()}
            for stage, sources in experiment.sources.items()
        },
    }


def _numbers(source: Source) -> dict[str, float | None]:
    scores = {"cut": source.cut, "oracle": source.oracle, "margin": source.margin}
    return {
        name: None if value is None else round(SCORE_STEPS * value, DECIMALS)
        for name, value in scores.items()
    }
