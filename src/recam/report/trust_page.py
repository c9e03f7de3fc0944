"""The table of lights as a part of the report's first page."""

import re
from html import escape

from recam.report.trust import (
    ABSENT,
    MEANING,
    QUESTION,
    Reading,
    remedies,
    trust_rows,
    verdict_words,
    verdicts,
)


def trust_html(readings: list[Reading]) -> str:
    """Verdicts, table and remedies as HTML; empty without a reading."""
    if not readings:
        return ""
    head, rows = trust_rows(readings)
    sign, _, *methods = head
    names = "".join(f"<th>{escape(name)}</th>" for name in methods)
    lines = [f"<tr><th>{escape(sign)}</th>{names}</tr>", *map(_row, rows)]
    what = "".join(f"<li>{_with_code(line)}</li>" for line in remedies(readings))
    return "\n".join(
        [
            f'<section class="trust"><h2>{escape(QUESTION)}</h2>',
            _verdicts(readings),
            f'<div class="wide"><table>{"".join(lines)}</table></div>',
            f"<p>{escape(MEANING)}</p>",
            f"<p>What to do:</p><ul>{what}</ul>" if what else "",
            "</section>",
        ]
    )


def _verdicts(readings: list[Reading]) -> str:
    lights, words = verdicts(readings).values(), verdict_words(readings)
    pairs = zip(lights, words, strict=True)
    return "".join(f'<p class="light {light}">{escape(said)}</p>' for light, said in pairs)


def _row(cells: list[Reading | str]) -> str:
    title, green, *values = cells
    shown = "".join(_cell(value) for value in values)
    return f"<tr><th>{title}<small>ok: {green}</small></th>{shown}</tr>"


def _cell(value: Reading | str) -> str:
    if isinstance(value, str):
        return f"<td>{ABSENT}</td>"
    return f'<td class="light {value.light}">{escape(value.cell)}</td>'


def _with_code(line: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(line))
