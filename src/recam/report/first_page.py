"""The report's first page: the question, a table and a picture for answer, what is missing."""

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image

from recam.io.atomic import write_text
from recam.report.style import LOOKS
from recam.report.summary import Metrics, Run, Table, gathered_metrics, table_of

QUESTION = (
    "From labels alone, which say what an image shows and not where: are masks better when they "
    "are learned from class re-activation maps (ReCAM) than from class activation maps (CAM)?"
)
LEFT_OUT = {
    "cam": "CAM was not run: there is nothing to compare with.",
    "recam": "ReCAM was not run: there is nothing to compare CAM with.",
    "control": (
        "The control was not run, which trains as long as ReCAM but without its loss: some of "
        "ReCAM's gain may come from training longer."
    ),
    "supervised": (
        "The fully supervised segmenter was not run: how far labels alone come is not known."
    ),
}
# What a run of each method makes, with the word for it.
PARTS = {
    "classifier.pt": "classifier",
    "cams": "cams",
    "pseudo": "pseudo masks",
    "segmenter.pt": "segmenter",
    "metrics.json": "evaluation",
}
PICTURE_WIDTH = 1500  # pixels


def scored(runs: list[Run]) -> tuple[Metrics, list[Run]]:
    """The numbers of the runs that were evaluated, and which these are."""
    done = [run for run in runs if (run.folder / "metrics.json").is_file()]
    return (gathered_metrics(done) if done else {"cams": {}, "pseudo": {}, "seg": {}}), done


def write_answer(path: Path, runs: list[Run], *, picture: Path | None) -> None:
    """A piece of HTML that needs no other file."""
    metrics, done = scored(runs)
    seeds = {run.random_seed for run in runs}
    table = table_of(metrics, replicates=len({run.random_seed for run in done}))
    notes = [*_missing(runs), *table.notes]
    if len(seeds) == 1:
        notes.append("One random seed: how far numbers spread is not known; judge by several.")
    methods = {run.method for run in runs}
    notes += [words for method, words in LEFT_OUT.items() if method not in methods]
    brackets = "In brackets: at the background score that fits the truth best, an oracle's."
    parts = [
        f'<p class="question">{escape(QUESTION)}</p>',
        f'<p class="answer">{escape(_sentence(metrics))}</p>',
        _html(table) if table.rows else "",
        f"<p>{brackets}</p>" if any("(" in cell for row in table.rows for cell in row) else "",
        "".join(f"<p>{escape(note)}</p>" for note in notes),
        _shown(picture) if picture and picture.is_file() else "",
    ]
    write_text(path, "\n".join(part for part in parts if part) + "\n")


def _sentence(metrics: Metrics) -> str:
    def of(stage: str, method: str) -> str:
        return f"{float(metrics[stage][method]['miou']):.1f}"

    stages = [s for s in metrics if all("miou" in metrics[s].get(m, {}) for m in ("cam", "recam"))]
    if not stages:
        return "Nothing to compare has been scored here."
    words = {
        "cams": "ReCAM's maps reach {recam} mIoU, CAM's {cam}",
        "pseudo": "pseudo masks from them {recam} and {cam}",
        "seg": "a segmenter trained on these {recam} and {cam}",
    }
    said = [words[s].format(recam=of(s, "recam"), cam=of(s, "cam")) for s in stages]
    if "miou" in metrics["seg"].get("supervised", {}):
        said.append(f"trained on true masks {of('seg', 'supervised')}")
    return "; ".join(said)[0].upper() + "; ".join(said)[1:] + "."


def _missing(runs: list[Run]) -> list[str]:
    """A sentence for each run that is not finished."""
    sentences = []
    for run in runs:
        parts = [
            word
            for name, word in PARTS.items()
            if not (run.folder / name).exists()
            and not (run.method == "supervised" and name in ("classifier.pt", "cams", "pseudo"))
        ]
        if parts:
            name = LOOKS[run.method].name
            sentences.append(
                f"Not finished: {name}, random seed {run.random_seed}, lacks {', '.join(parts)}; "
                "`make run` goes on."
            )
    return sentences


def _html(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = [
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, *cells in table.rows
    ]
    return f'<div class="wide"><table class="results"><tr>{head}</tr>{"".join(rows)}</table></div>'


def _shown(picture: Path) -> str:
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    image.thumbnail((PICTURE_WIDTH, 10 * PICTURE_WIDTH))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88, subsampling=0)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="picture" alt="what each method makes" src="data:image/jpeg;base64,{data}">'
