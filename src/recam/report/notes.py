"""Notes beside the results: unfinished runs, methods that were not run, a single random seed."""

from recam.report.methods import CAM, SUPERVISED, parts_of
from recam.report.style import look_of
from recam.report.summary import Run, Table

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


def notes_of(runs: list[Run], table: Table) -> list[str]:
    """The notes of the table, and those on what was not run."""
    has_brackets = any("(" in cell for row in table.rows for cell in row)
    notes = [BRACKETS] * has_brackets + table.notes
    if len({run.random_seed for run in runs}) == 1:
        notes.append(ONE_SEED)
    present = {_kind(run.method) for run in runs}
    return notes + [words for kind, words in LEFT_OUT.items() if kind not in present]


def unfinished(runs: list[Run]) -> list[str]:
    """A sentence for each unfinished run."""
    sentences: list[str] = []
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


def _kind(method: str) -> str:
    """A key of LEFT_OUT: re-activation, cam for none, or supervised."""
    return method if method == SUPERVISED else parts_of(method).reactivation or CAM


def _exists(run: Run, name: str) -> bool:
    owner = run.classifier if name == "classifier.pt" else run
    return (owner.folder / name).exists()
