"""Faults between runs of an engine: edited outputs and code, damaged records, invalid numbers.

After the next run the results are those of an intact run, or a sentence names the file.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import experiment
import yaml
from damage import OF_BYTES
from experiment import BIN
from kills import PARTS, Kill, finished_engine
from settings import OF_PARAMS
from trees import Progress, changed, contents, files_of
from trial import Answer, Outcome, Scene

SNAKEMAKE = (str(BIN / "snakemake"), "--cores", "1")
DVC = (str(BIN / "dvc"), "repro")
RECORD = (sys.executable, "workflow/engines.py", "record")
DRAWN = ("results/figures", "results/report", "results/picture")  # made anew by `draw` and after it
EDITS = {
    "workflow/scripts/make_cams.py": ("scales=numbers.scales", "scales=(0.5,)"),
    "src/recam/io/scores.py": ("SCORE_STEPS = 200", "SCORE_STEPS = 100"),
}
CAMS = "results/seed0/cam/cams.sha256"


def engine(scene: Scene) -> Outcome:
    """One fault in a copy of the finished experiment."""
    tree = experiment.copied(scene.finished, scene.folder / "tree")
    return scene.random.choice([_edited_output, _edited_output, _edited_code, _record, _numbers])(
        scene, tree
    )


def _edited_output(scene: Scene, tree: Path) -> Outcome:
    """An output is changed by hand or rots; then another step runs, which ends with a record."""
    meant = _lasting(contents(tree, PARTS))
    file = scene.random.choice(sorted(meant))
    name = scene.random.choice(["flipped bit", "truncated", "zeros", "missing", "foreign"])
    times = (tree / file).lstat()
    OF_BYTES[name](scene, tree / file)
    keeps_time = scene.random.random() < 0.5 and (tree / file).exists()
    if keeps_time:
        os.utime(tree / file, ns=(times.st_atime_ns, times.st_mtime_ns))
    words = scene.random.choice([SNAKEMAKE, RECORD, DVC])
    if words != RECORD:
        _change(tree, "draw", "examples", 1)
    run = finished_engine(words, tree)
    left = changed(_lasting(contents(tree, PARTS)), meant)
    told = any(word in run.stdout + run.stderr for word in (file, Path(file).name))
    if left and _is_recorded(tree):
        left += ", and recorded as up to date"
    elif left and (told or run.returncode or _is_stale(tree)):
        left = ""
    about = f"{_name(words)} after {name} in {file}{', its time kept' * keeps_time}"
    return _outcome(about, run, left)


def _lasting(found: dict[str, str]) -> dict[str, str]:
    """Without the outputs of the last step, whose number is changed."""
    return {name: value for name, value in found.items() if not name.startswith(DRAWN)}


def _is_recorded(tree: Path) -> bool:
    return "up to date" in finished_engine((str(BIN / "dvc"), "status"), tree).stdout


def _is_stale(tree: Path) -> bool:
    return "changed outs" in finished_engine((str(BIN / "dvc"), "status"), tree).stdout


def _edited_code(scene: Scene, tree: Path) -> Outcome:
    """make_cams is killed, its code edited, and it goes on: no map is of the old code."""
    file, (old, new) = scene.random.choice(sorted(EDITS.items()))
    other = experiment.copied(tree, scene.folder / "unbroken")
    target = (*SNAKEMAKE, "--no-hooks", "--forcerun", "make_cams", "--", CAMS)
    point = scene.random.randint(6, 14)
    killed = Kill(target).at(Progress(tree, PARTS), tree, point, delay=0)
    for place in (tree, other):
        text = (place / file).read_text()
        if old not in text:
            raise RuntimeError(f"{file} holds no {old!r} any more; correct EDITS")
        (place / file).write_text(text.replace(old, new))
    finished_engine((str(BIN / "snakemake"), "--unlock"), tree)
    runs = [finished_engine(target, place) for place in (other, tree)]
    part = ("results/seed0/cam/cams", CAMS)
    found = changed(contents(tree, part), contents(other, part))
    return _outcome(f"{file} edited after a kill at event {killed}", runs[-1], found)


def _record(scene: Scene, tree: Path) -> Outcome:
    """A damaged file of an engine's own records."""
    places = ["dvc.lock", "dvc.yaml", ".snakemake", ".dvc/cache", ".dvc/tmp"]
    place = scene.random.choice(places)
    files = sorted(f for f in files_of(tree, (place,)) if f.is_file() and not f.is_symlink())
    meant = contents(tree, PARTS)
    for file in scene.random.sample(files, min(3, len(files))):
        OF_BYTES[scene.random.choice(["flipped bit", "truncated", "zeros", "foreign"])](scene, file)
    words = scene.random.choice([SNAKEMAKE, DVC])
    run = finished_engine(words, tree)
    found = changed(contents(tree, PARTS), meant) if not run.returncode else ""
    return _outcome(f"{_name(words)} after damage in {place}", run, found)


def _numbers(scene: Scene, tree: Path) -> Outcome:
    """An invalid params.yaml: refused before anything is deleted."""
    name = scene.random.choice(["a line less", "a line twice", "a misspelt name", "another file"])
    text = (tree / "params.yaml").read_text()
    (tree / "params.yaml").write_bytes(OF_PARAMS[name](scene, text)[0])
    meant = contents(tree, PARTS)
    words = scene.random.choice([SNAKEMAKE, DVC])
    run = finished_engine(words, tree)
    found = changed(contents(tree, PARTS), meant)
    if not found and run.returncode == 0 and (tree / "params.yaml").read_text() != text:
        found = "accepted; must be refused"
    return _outcome(f"{_name(words)} with {name} in params.yaml", run, found)


def _change(tree: Path, section: str, name: str, value: object) -> None:
    numbers = yaml.safe_load((tree / "params.yaml").read_text())
    numbers[section][name] = value
    experiment.write_params(tree, numbers)


def _name(words: Sequence[str]) -> str:
    return "record" if words == RECORD else Path(words[0]).name


def _outcome(about: str, run: subprocess.CompletedProcess[str], found: str) -> Outcome:
    """An engine says more than a sentence: only the difference and tracebacks count."""
    answer = Answer(code=0, stdout=run.stdout, stderr=run.stderr)
    return Outcome(about=about, answer=answer, difference=found)
