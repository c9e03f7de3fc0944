"""A table of DVC's commits and experiments, and of numbers that are not of their parameters.

`make experiments` prints it; options are those of `dvc exp show`, such as --all-commits. A row is
`stale` where the metrics of a commit were not made with its params.yaml, as dvc.lock records it.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

METRICS, PARAMS, LOCK = "results/metrics.json", "params.yaml", "dvc.lock"
GUARD = "check_graph"  # the stage that reads every parameter, whether a step needs it or not
GRAPH = ("methods", "random_seeds")  # parameters that decide which steps there are
WORKSPACE = "workspace"
STAGES = ("cams", "pseudo", "seg")
NARROWER = (STAGES, STAGES[1:], STAGES[2:])  # stages to show; fewer in a narrow terminal
LONGEST = 48  # characters of a list of parameters
GAP = "  "

Numbers = dict[str, Any]


class ExperimentsError(Exception):
    """DVC or git failed; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A commit, an experiment, or the files of the workspace."""

    title: str
    metrics: dict[str, dict[str, Numbers]]  # by stage and method; empty without results
    status: str
    changed: str  # parameters that differ from those of the commit


def table(rows: list[Row], *, width: int) -> str:
    """The rows as text below heads of stage and method; a narrow ``width`` leaves stages out."""
    text = ""
    for stages in NARROWER:
        lines = [*_heads(rows, stages), *(_cells(row, _columns(rows, stages)) for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = "\n".join(_aligned(cells, widths) for cells in lines) + "\n"
        if max(map(len, text.splitlines())) <= width:
            break
    return text


def stale(lock: Numbers, params: Numbers, metrics: bytes) -> list[str]:
    """The reasons why ``metrics`` are not those of ``params``, of a commit with this dvc.lock.

    A reason is a parameter with another value, or a file that was made anew since.
    """
    stages: dict[str, Numbers] = lock.get("stages", {})
    makers = {
        out["path"]: (name, out.get("md5")) for name, s in stages.items() for out in s["outs"]
    }
    if METRICS not in makers:
        return [LOCK]
    maker, md5 = makers[METRICS]
    reasons = {METRICS: None} if hashlib.md5(metrics).hexdigest() != md5 else {}  # noqa: S324
    recorded = stages.get(GUARD, {}).get("params", {}).get(PARAMS, {})
    reasons |= dict.fromkeys(_differing({k: recorded[k] for k in GRAPH if k in recorded}, params))
    waiting, known = [maker], {maker, GUARD}
    while waiting:
        stage = stages[waiting.pop()]
        reasons |= dict.fromkeys(_differing(stage.get("params", {}).get(PARAMS, {}), params))
        for dep in stage.get("deps", []):
            before, now = makers.get(dep["path"], ("", None))
            reasons |= {dep["path"]: None} if before and dep.get("md5") != now else {}
            if before and before not in known:
                known.add(before)
                waiting.append(before)
    return list(reasons)


def _differing(recorded: Numbers, params: Numbers, prefix: str = "") -> Iterator[str]:
    """Dotted names of recorded values that differ from those in ``params``."""
    for name, value in recorded.items():
        now: Any = params
        for key in name.split("."):
            now = now.get(key) if isinstance(now, dict) else None
        if isinstance(value, dict) and isinstance(now, dict):
            names = dict.fromkeys([*value, *now])
            yield from _differing({n: value.get(n) for n in names}, now, f"{prefix}{name}.")
        elif value != now:
            yield f"{prefix}{name}"


def rows_of(shown: list[Numbers]) -> list[Row]:
    """The rows of what ``dvc exp show --json`` gives: commits, and experiments below theirs."""
    head = next((c for c in shown if c["rev"] != WORKSPACE), shown[0])
    rows: list[Row] = []
    for commit in shown:
        is_here = commit["rev"] == WORKSPACE
        title = WORKSPACE if is_here else commit["name"] or commit["rev"][:7]
        rows.append(_row(commit, head if is_here else commit, title=title, state=""))
        for experiment in commit["experiments"] or []:
            state = (experiment["executor"] or {}).get("state", "")
            for rev in experiment["revs"][:1]:
                title = f"  {experiment['name'] or rev['rev'][:7]}"
                rows.append(_row(rev, commit, title=title, state=state))
    return rows


def _row(shown: Numbers, base: Numbers, *, title: str, state: str) -> Row:
    data = shown["data"] or {}
    if state and state != "success":  # the numbers of a queued one are those of its commit
        return Row(title=title, metrics={}, status=state, changed=_changed(data, base))
    found = data.get("metrics", {}).get(METRICS, {}).get("data") or {}
    status = _status(shown["rev"]) if found else "no results"
    return Row(title=title, metrics=found, status=status, changed=_changed(data, base))


def _status(rev: str) -> str:
    lock, params, metrics = (_content(rev, name) for name in (LOCK, PARAMS, METRICS))
    reasons = stale(_read(lock), _read(params), metrics)
    return f"stale: {_short(reasons)}" if reasons else ""


def _read(text: bytes) -> Numbers:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # noqa: S506


def _content(rev: str, name: str) -> bytes:
    """A file of a commit, or of the workspace; empty if it is not there."""
    if rev == WORKSPACE:
        return Path(name).read_bytes() if Path(name).is_file() else b""
    run = subprocess.run(["git", "show", f"{rev}:./{name}"], capture_output=True, check=False)  # noqa: S603, S607
    return run.stdout if run.returncode == 0 else b""


def _changed(data: Numbers, base: Numbers) -> str:
    now, before = (
        each.get("params", {}).get(PARAMS, {}).get("data") or {}
        for each in (data, base["data"] or {})
    )
    found: list[str] = []
    for name in _differing(before, now):
        value: Any = now
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        found.append(f"{name}={value}")
    return _short(found)


def _short(names: list[str]) -> str:
    first = names[0] if names else ""
    first = first if len(first) <= LONGEST else f"{first[: LONGEST - 3]}..."
    return f"{first}, {len(names) - 1} more" if len(names) > 1 else first


def _columns(rows: list[Row], stages: tuple[str, ...]) -> list[tuple[str, str]]:
    found = dict.fromkeys(
        (stage, method) for stage in stages for row in rows for method in row.metrics.get(stage, {})
    )
    return sorted(found, key=lambda column: stages.index(column[0]))


def _heads(rows: list[Row], stages: tuple[str, ...]) -> list[list[str]]:
    """Two lines: each stage above its first method."""
    columns = _columns(rows, stages)
    firsts = dict(reversed(columns))
    above = [stage if firsts[stage] == method else "" for stage, method in columns]
    return [
        ["mIoU, %", *above, "", ""],
        ["", *(method for _, method in columns), "numbers", "changed"],
    ]


def _cells(row: Row, columns: list[tuple[str, str]]) -> list[str]:
    values = [row.metrics.get(stage, {}).get(method, {}).get("miou") for stage, method in columns]
    shown = ["" if value is None else f"{value:.1f}" for value in values]
    return [row.title, *shown, row.status, row.changed]


def _aligned(cells: list[str], widths: list[int]) -> str:
    """Numbers to the right; the title and the two columns of words to the left."""
    last = len(cells) - 2
    padded = [
        cell.rjust(width) if 0 < number < last else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return GAP.join(padded).rstrip()


def main(options: list[str]) -> str:
    """The table of ``dvc exp show`` with these options."""
    words = [sys.executable, "-m", "dvc", "exp", "show", "--json", *options]
    run = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    if run.returncode:
        lines = [line for line in run.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise ExperimentsError(f"`dvc exp show` failed: {lines[-1].removeprefix('ERROR: ')}")
    return table(rows_of(json.loads(run.stdout)), width=shutil.get_terminal_size((120, 24)).columns)


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]), end="")  # noqa: T201
    except ExperimentsError as error:
        sys.exit(str(error))
