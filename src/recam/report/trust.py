"""Whether the masks of a run can be trusted, judged without ground truth: one table of lights."""

import json
import textwrap
from dataclasses import dataclass, field

import pandas as pd

from recam.io.records import Signs, read_signs
from recam.io.result_tables import read_table
from recam.report.methods import REACTIVATIONS, ordered, parts_of
from recam.report.signs import SIGNS, Light, Sign
from recam.report.style import look_of
from recam.report.summary import Run

QUESTION = "Can these masks be trusted?"
MEANING = (
    "Signs without ground truth, in percent, each of the random seed in which it is worst; limits "
    "are rules of thumb. All ok means that nothing failed visibly, not that the masks are right: "
    "look at them (results/picture.png)."
)
VERDICTS = {
    Light.OK: "ok, no sign of failure",
    Light.LOOK: "look at its masks before you use them",
    Light.BAD: "bad, do not use its masks as they are",
}
HARM = {
    "bce_of_start": "held-out binary cross-entropy at {:.0f} % of that at epoch 0",
    "recall_change": "held-out recall {:+.0f} points",
}
PERCENT = 100.0
NAMES = 6  # classes that a remedy names
ABSENT = "-"
WIDTH = 100  # of lines in a terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The value of a sign for a method, in percent."""

    method: str
    name: str  # a key of SIGNS
    value: float
    classes: tuple[str, ...] = field(default=())  # that are absent, for signs that count classes

    @property
    def sign(self) -> Sign:
        """Limits and remedies."""
        return SIGNS[self.name]

    @property
    def light(self) -> Light:
        """The light of the value."""
        return self.sign.light(self.value)

    @property
    def cell(self) -> str:
        """Symbol, word and value."""
        return f"{self.light.symbol} {self.light} {_number(self.value)}"

    @property
    def remedy(self) -> str:
        """The remedy, for a light that is not green."""
        few, more = self.classes[:NAMES], len(self.classes) - NAMES
        named = ", ".join([*few, f"{more} more"] if more > 0 else few)
        return self.sign.remedy(self.value).replace("{classes}", named)


def readings_of(runs: list[Run]) -> list[Reading]:
    """The worst reading of each sign and method over the random seeds, in the order of SIGNS.

    Signs that no file of a run states are left out: supervised has no pseudo masks, and not every
    data set has held-out labels.
    """
    worst: dict[tuple[str, str], Reading] = {}
    for run in runs:
        for reading in _readings(run):
            key = reading.name, reading.method
            before = worst.get(key)
            if before is None or reading.sign.excess(reading.value) > before.sign.excess(
                before.value
            ):
                worst[key] = reading
    methods = ordered({method for _, method in worst})
    keys = [(name, method) for name in SIGNS for method in methods]
    return [worst[key] for key in keys if key in worst]


def verdicts(readings: list[Reading]) -> dict[str, Light]:
    """The worst light of each method."""
    lights = list(Light)
    found: dict[str, Light] = {}
    for reading in readings:
        before = found.get(reading.method, Light.OK)
        found[reading.method] = max(before, reading.light, key=lights.index)
    return {method: found[method] for method in ordered(found)}


def verdict_words(readings: list[Reading]) -> list[str]:
    """A sentence on each method, in the order of ``verdicts``."""
    return [
        f"{light.symbol} {look_of(method).name}: {VERDICTS[light]}."
        for method, light in verdicts(readings).items()
    ]


def remedies(readings: list[Reading]) -> list[str]:
    """A remedy for each sign that is not green, with its methods; the worst first."""
    lights = list(Light)
    by_remedy: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        if reading.light is not Light.OK:
            by_remedy.setdefault((reading.name, reading.remedy), []).append(reading)
    groups = [(max((r.light for r in rs), key=lights.index), rs) for rs in by_remedy.values()]
    groups.sort(key=lambda group: -lights.index(group[0]))
    return [
        f"{light.symbol} {rs[0].sign.title} ({_listed(rs)}): {rs[0].remedy}" for light, rs in groups
    ]


def trust_rows(readings: list[Reading]) -> tuple[list[str], list[list[Reading | str]]]:
    """The head of the table, and its rows: title, green range, and a reading or "-" a method."""
    methods = list(verdicts(readings))
    of = {(reading.name, reading.method): reading for reading in readings}
    rows: list[list[Reading | str]] = []
    for name, sign in SIGNS.items():
        if any((name, method) in of for method in methods):
            cells = [of.get((name, method), ABSENT) for method in methods]
            rows.append([sign.title, sign.green, *cells])
    return ["sign, %", "ok", *(look_of(method).name for method in methods)], rows


def trust_text(readings: list[Reading]) -> str:
    """The verdicts, the table and the remedies in Markdown; empty without a reading."""
    if not readings:
        return ""
    head, rows = trust_rows(readings)
    texts = [head, *([c if isinstance(c, str) else c.cell for c in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    lines = [
        "| " + " | ".join(t.ljust(w) for t, w in zip(r, widths, strict=True)) + " |" for r in texts
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    what = [_filled(f"- {line}") for line in remedies(readings)]
    parts = [f"**{QUESTION}**", "\n".join(f"- {w}" for w in verdict_words(readings))]
    parts += ["\n".join(lines), _filled(MEANING)]
    parts += ["What to do:\n\n" + "\n".join(what)] if what else []
    return "\n\n".join(parts) + "\n"


def trust_json(readings: list[Reading]) -> str:
    """A list of records: sign, method, light, value (percent), ok and what_to_do."""
    records = [
        {
            "sign": reading.name,
            "method": reading.method,
            "light": str(reading.light),
            "value": reading.value,
            "ok": reading.sign.green,
            "what_to_do": "" if reading.light is Light.OK else reading.remedy,
        }
        for reading in readings
    ]
    return json.dumps(records, indent=2) + "\n"


def _readings(run: Run) -> list[Reading]:
    path = run.folder / "signs.json"
    signs = read_signs(path) if path.exists() else Signs()
    values = {**signs.values, **_held_out(run)}
    classes = signs.classes
    return [
        Reading(
            method=run.method, name=name, value=values[name], classes=tuple(classes.get(name, ()))
        )
        for name in SIGNS
        if name in values
    ]


def _held_out(run: Run) -> dict[str, float]:
    """The signs of held-out labels, from the rows of the classifier's curve."""
    path = run.classifier.folder / "classifier_curve.csv"
    if not path.is_file():
        return {}
    curve = read_table(path)
    found: dict[str, float] = {}
    for sign in ("recall", "precision"):
        values = held_out(curve, sign)
        if values:
            found[sign] = PERCENT * values[max(values)]
    if parts_of(run.method).reactivation in REACTIVATIONS:  # from a trained classifier, its epoch 0
        bce, recall = held_out(curve, "bce"), held_out(curve, "recall")
        if bce.get(0):
            found["bce_of_start"] = PERCENT * bce[max(bce)] / bce[0]
        if 0 in recall:
            found["recall_change"] = PERCENT * (recall[max(recall)] - recall[0])
    return found


def harm(runs: list[Run]) -> list[str]:
    """A sentence on harm that stage two did to classifiers; none if it is unknown."""
    classifiers = list(dict.fromkeys(run.classifier for run in runs))
    known = [reading for reading in readings_of(classifiers) if reading.name in HARM]
    said: dict[str, list[str]] = {}
    for reading in known:
        if reading.light is not Light.OK:
            words = HARM[reading.name].format(reading.value)
            said.setdefault(look_of(reading.method).name, []).append(words)
    if not said:
        return ["Stage two did no such harm here."] * bool(known)
    listed = "; ".join(f"{name} ({', '.join(words)})" for name, words in said.items())
    return [f"Stage two did harm: {listed}."]


def held_out(curve: pd.DataFrame, name: str) -> dict[int, float]:
    """A quantity on held-out labels by epoch; empty if the curve has no such rows."""
    rows = curve[curve["loss"] == f"held-out {name}"]
    return dict(zip(rows["epoch"].tolist(), rows["value"].tolist(), strict=True))


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  " * text.startswith("- "))


def _listed(readings: list[Reading]) -> str:
    return ", ".join(f"{look_of(r.method).name} {_number(r.value)} %" for r in readings)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 9.5 or value == round(value) else f"{value:.1f}"
