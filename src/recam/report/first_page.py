"""The first page of Snakemake's viewer: question, answer, notes, verdicts and a picture."""

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image

from recam.io.atomic import write_text
from recam.report.answer import QUESTION, answer_of, scores_sentence
from recam.report.notes import notes_of, unfinished
from recam.report.summary import Run, evaluated, gathered_metrics, table_of
from recam.report.trust import readings_of, verdict_words

PICTURE_WIDTH = 1500  # pixels


def write_first_page(path: Path, runs: list[Run], *, picture: Path | None) -> None:
    """Write an HTML fragment that needs no other file; unfinished runs are listed in it."""
    done = evaluated(runs)
    metrics = gathered_metrics(done)
    table = table_of(metrics, replicates=len({run.random_seed for run in done}))
    answer = answer_of(runs)
    sentences = [
        *(QUESTION, str(answer), *answer.reasons, scores_sentence(metrics)),
        *(*unfinished(runs), *notes_of(runs, table), *verdict_words(readings_of(runs))),
    ]
    parts = [f"<p>{escape(sentence)}</p>" for sentence in sentences]
    parts += [_shown(picture)] if picture and picture.is_file() else []
    write_text(path, "\n".join(parts) + "\n")


def _shown(picture: Path) -> str:
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    image.thumbnail((PICTURE_WIDTH, 10 * PICTURE_WIDTH))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88, subsampling=0)
    data = base64.b64encode(buffer.getvalue()).decode()
    source = f"data:image/jpeg;base64,{data}"
    return f'<img alt="maps and masks of each method" src="{source}">'
