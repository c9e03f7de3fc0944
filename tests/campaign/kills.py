"""Kills at seeded points of progress: the run that goes on ends with the unbroken run's bytes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import experiment
import programs
from experiment import BIN
from files import BY_STEP, copied_run, words_for
from trees import Progress, changed, contents, unfinished
from trial import Answer, Outcome, Scene

PARTS = ("results", "data")
FORCED = ("make_cams", "make_pseudo", "train_irn", "train_seg", "evaluate", "summarize", "draw")
MOST_EVENTS = {"make_cams": 250, "make_pseudo": 220, "train_seg": 100, "evaluate": 60, "draw": 25}
STAGES = {"summarize": "summarize", "draw": "draw"}
TIMES = 2  # kills of one run by an engine
MINUTES_OF_ENGINE = 15
SECONDS = 300.0  # of one step


def step(scene: Scene) -> Outcome:
    """Kill one step, then run it again."""
    run = copied_run(scene)
    reader = BY_STEP[scene.random.choice(sorted(BY_STEP))]
    meant = contents(run, reader.made)
    for made in reader.made:
        (run / made).unlink()
    words, progress = words_for(scene, reader), Progress(scene.folder, ("results",))
    point = round(MOST_EVENTS.get(reader.step, 8) ** scene.random.random() / 3)
    pid = programs.start(reader.step, words, folder=scene.folder)
    killed = kill_at(pid, progress, point, delay=scene.random.random() * 0.05)
    answer = programs.attempt(reader.step, words, folder=scene.folder, seconds=SECONDS)
    found = changed(contents(run, reader.made), meant) or unfinished(scene.folder, ("results",))
    about = f"{reader.step} {'killed' if killed else 'ended'} at event {progress.events}"
    return Outcome(about=about, answer=answer, difference=found, accepted=True)


def kill_at(pid: int, progress: Progress, point: int, *, delay: float) -> bool:
    """Kill a forked program at its ``point``-th event; False if it ended before."""
    while progress.update() < point:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    time.sleep(delay)
    programs.kill(pid)
    return True


def by_snakemake(scene: Scene) -> Outcome:
    """Kill Snakemake with its jobs, unlock, go on."""
    start = [str(BIN / "snakemake"), "--cores", "1"]
    return _by_engine(
        scene,
        forced=lambda rule: [*start, "--forcerun", rule],
        resumed=start,
        between=[[str(BIN / "snakemake"), "--unlock"]],
    )


def by_dvc(scene: Scene) -> Outcome:
    """Kill DVC with its stages, go on."""
    start = [str(BIN / "dvc"), "repro"]
    return _by_engine(
        scene,
        forced=lambda rule: [
            *start,
            "--force",
            "--downstream",
            STAGES.get(rule, f"{rule}-seed0-cam"),
        ],
        resumed=start,
        between=[],
    )


def _by_engine(
    scene: Scene,
    *,
    forced: Callable[[str], list[str]],
    resumed: list[str],
    between: list[list[str]],
) -> Outcome:
    tree = experiment.copied(scene.finished, scene.folder / "tree")
    meant = contents(scene.finished, PARTS)
    rule = scene.random.choice(FORCED)
    killed: list[int] = []
    for words in [forced(rule), *[resumed] * (TIMES - 1)]:
        point = round(MOST_EVENTS.get(rule, 40) ** scene.random.random())
        delay = scene.random.random() / 4
        killed.append(Kill(words).at(Progress(tree, PARTS), tree, point, delay=delay))
        for others in between:
            finished_engine(others, tree)
    run = finished_engine(resumed, tree)
    found = changed(contents(tree, PARTS), meant) or unfinished(tree, PARTS)
    status = finished_engine([str(BIN / "dvc"), "status"], tree).stdout.strip()
    if not found and "up to date" not in status:
        found = f"dvc status: {' '.join(status.split())[:200]}"
    if not found and run.returncode:
        found = f"exit code {run.returncode}: {(run.stdout + run.stderr)[-300:]}"
    return Outcome(
        about=f"{Path(resumed[0]).name}, {rule} forced, killed at events {killed}",
        answer=Answer(code=0, stdout=run.stdout, stderr=run.stderr),
        difference=found,
        accepted=True,
    )


@dataclass(frozen=True)
class Kill:
    """A command that is killed on its way."""

    words: Sequence[str]

    def at(self, progress: Progress, tree: Path, point: int, *, delay: float) -> int:
        """Kill its session ``delay`` seconds after the ``point``-th event; return the events."""
        with (tree / "killed.log").open("w") as log:
            run = subprocess.Popen(
                self.words,
                cwd=tree,
                env=experiment.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            while progress.update() < point and run.poll() is None:
                time.sleep(0.02)
            time.sleep(delay if run.poll() is None else 0)
            end_session(run.pid)
            run.wait()
        return progress.events


def end_session(leader: int) -> None:
    """Kill every process of a session, whatever its group."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)
        except (OSError, ValueError):  # ended meanwhile
            continue


def finished_engine(words: Sequence[str], tree: Path) -> subprocess.CompletedProcess[str]:
    """Run an engine to its end."""
    return subprocess.run(
        words,
        cwd=tree,
        env=experiment.environment(),
        text=True,
        capture_output=True,
        timeout=60 * MINUTES_OF_ENGINE,
        check=False,
    )
