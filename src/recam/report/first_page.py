"""The report's first page: the question, the answer, tables, a picture, and missing parts."""

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image

from recam.io.atomic import write_text
from recam.report.methods import CAM, RECAM, SUPERVISED, before_and_after, parts_of
from recam.report.style import STAGES, look_of
from recam.report.summary import Metrics, Run, Table, evaluated, gathered_metrics, table_of
from recam.report.trust import readings_of
from recam.report.trust_page import trust_html

QUESTION = (
    "Does training from image-level labels alone give better masks with class re-activation maps "
    "(ReCAM) than with class activation maps (CAM)?"
)
BRACKETS = (
    "In brackets: mIoU at the oracle threshold, chosen on the ground truth and so not available in "
    "practice."
)
ONE_SEED = "One random seed: the variation between seeds is unknown; run several before concluding."
LEFT_OUT = {
    "cam": "CAM was not run: ReCAM has no baseline here.",
    "recam": "ReCAM was not run: CAM has nothing to be compared with.",
    "control": (
        "The control was not run (CAM trained as long as ReCAM, without its loss): some of ReCAM's "
        "gain may come from longer training."
    ),
    "supervised": (
        "The supervised segmenter was not run, so the gap to full supervision is unknown."
    ),
}
# Outputs of a run -> their names on the page.
PARTS = {
    "classifier.pt": "classifier",
    "cams": "cams",
    "pseudo": "pseudo masks",
    "segmenter.pt": "segmenter",
    "metrics.json": "evaluation",
}
PICTURE_WIDTH = 1500  # pixels
PAIR = (CAM, RECAM)  # of the question


def write_first_page(path: Path, runs: list[Run], *, picture: Path | None) -> None:
    """Write an HTML fragment that needs no other file; unfinished runs are listed in it."""
    done = evaluated(runs)
    metrics = gathered_metrics(done)
    table = table_of(metrics, replicates=len({run.random_seed for run in done}))
    has_brackets = any("(" in cell for row in table.rows for cell in row)
    notes = [BRACKETS] if has_brackets else []
    notes += [*_unfinished(runs), *table.notes]
    if len({run.random_seed for run in runs}) == 1:
        notes.append(ONE_SEED)
    present = {_kind(run.method) for run in runs}
    notes += [words for kind, words in LEFT_OUT.items() if kind not in present]
    lights = trust_html(readings_of(runs))
    is_scored = any("miou" in values for stage in metrics.values() for values in stage.values())
    parts = [
        f'<p class="question">{escape(QUESTION)}</p>',
        "" if is_scored else lights,  # the only answer there is
        f'<p class="answer">{escape(_sentence(metrics))}</p>',
        _html(table) if table.rows else "",
        "".join(f"<p>{escape(note)}</p>" for note in notes),
        lights if is_scored else "",
        _shown(picture) if picture and picture.is_file() else "",
    ]
    write_text(path, "\n".join(part for part in parts if part) + "\n")


def _kind(method: str) -> str:
    """A key of LEFT_OUT: re-activation, cam for none, or supervised."""
    return method if method == SUPERVISED else parts_of(method).reactivation or CAM


def _sentence(metrics: Metrics) -> str:
    """The scores of the first method with its ReCAM."""
    before, after = before_and_after(m for stage in metrics.values() for m in stage) or PAIR
    names = f"{look_of(after).name} and {look_of(before).name}"

    def of(stage: str, method: str) -> str:
        return f"{float(metrics[stage][method]['miou']):.1f}"

    stages = [s for s in metrics if all("miou" in metrics[s].get(m, {}) for m in (before, after))]
    if not stages:
        return "CAM and ReCAM are not both scored."
    said = [f"{STAGES[s]} {of(s, after)} and {of(s, before)}" for s in stages]
    if "miou" in metrics["seg"].get("supervised", {}):
        said.append(f"segmentation with full supervision {of('seg', 'supervised')}")
    return f"mIoU of {names}, in percent: {'; '.join(said)}."


def _unfinished(runs: list[Run]) -> list[str]:
    """A sentence for each unfinished run."""
    sentences = []
    for run in runs:
        parts = [
            word
            for name, word in PARTS.items()
            if not _exists(run, name)
            and not (run.method == SUPERVISED and name in ("classifier.pt", "cams", "pseudo"))
        ]
        if parts:
            name = look_of(run.method).name
            sentences.append(
                f"Unfinished: {name}, random seed {run.random_seed}, lacks {', '.join(parts)}; "
                "`make run` resumes it."
            )
    return sentences


def _exists(run: Run, name: str) -> bool:
    owner = run.classifier if name == "classifier.pt" else run
    return (owner.folder / name).exists()


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
    source = f"data:image/jpeg;base64,{data}"
    return f'<img class="picture" alt="maps and masks of each method" src="{source}">'
