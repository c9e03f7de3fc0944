"""The graph of `make matrix`, written down by hand, independently of the Snakefile and dvc.yaml."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from experiment import METHODS

WEAK = ["data/labels.csv", "data/classes.txt", "data/images.sha256"]
TRUTH = ["data/SegmentationClass.sha256"]
CHECK = [f"data/check/{f}" for f in ("report.md", "classes.csv", "cooccurrence.csv", "faults.csv")]
TABLES = ["metrics.json", "per_class.csv", "thresholds.csv", "confusion.csv"]
FIGURES = ["answer.html", "maps", "pseudo", "segmentation", "curves", "errors"]
SUMMARY = [*TABLES, "details.csv", "curves.csv", "summary.md", "trust.json", "picture.png"]

Jobs = frozenset[str]


@dataclass(frozen=True)
class Step:
    """One job of the graph; ``reads`` leaves folders out."""

    name: str
    script: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]


def graph(methods: list[str] = METHODS, seeds: tuple[int, ...] = (0,)) -> list[Step]:
    """The experiment by hand: files that each job reads and makes."""
    folders = ["JPEGImages", "ImageSets", "SegmentationClass"]
    downloaded = [f"data/{folder}" for folder in folders] + WEAK + TRUTH + CHECK
    steps = [Step("download", "download", (), tuple(downloaded))]
    summed: list[str] = []
    for seed in seeds:
        run = f"results/seed{seed}"
        for method in ["cam", *[m for m in methods if m != "cam"]]:
            here = f"{run}/{method}"
            add = partial(_add, steps, seed, method)
            classifier = ["classifier.pt", "classifier_curve.csv"]
            if method == "cam":
                add("train_cam", [], classifier)
            if method in ("recam", "control"):
                add("train_recam", [f"{run}/cam/classifier.pt"], classifier)
            if method not in methods:
                continue
            maps, masks = [], TRUTH
            if method != "supervised":
                _add_maps(add, here)
                masks = [f"{here}/pseudo.sha256"]
                maps = ["classifier.pt", "cams.sha256", "scores.sha256", "cut.json"]
                maps = [f"{here}/{file}" for file in maps]
                summed += [f"{here}/classifier_curve.csv", f"{here}/irn_curve.csv"]
                summed += [] if seed else [f"{here}/cams.sha256", f"{here}/pseudo.sha256"]
            segmenter = ["segmenter.pt", "segmenter_curve.csv"]
            add("train_seg", [*masks, f"{run}/cam/classifier.pt"], segmenter)
            made = ["predictions", "predictions.sha256", "counts.csv", "signs.json", *TABLES]
            made += ["prediction.json"]
            maps += masks if maps else []
            if maps and method != "cam" and "cam" in methods:
                maps += [f"{run}/cam/pseudo.sha256"]  # to compare
            add("evaluate", [*TRUTH, f"{here}/segmenter.pt", *maps], made)
            summed += [f"{here}/{file}" for file in [*TABLES, "signs.json", "segmenter_curve.csv"]]
            summed += [] if seed else [f"{here}/predictions.sha256"]
    return [*steps, *_last(summed)]


def _add_maps(add: Callable[[str, list[str], list[str]], None], here: str) -> None:
    """The steps from a classifier to pseudo masks, in the folder ``here`` of a run."""
    add("make_cams", [f"{here}/classifier.pt"], ["cams", "cams.sha256"])
    add("train_irn", [f"{here}/cams.sha256"], ["irn.pt", "irn_curve.csv"])
    made = ["pseudo", "scores", "pseudo.sha256", "scores.sha256", "cut.json", "pseudo.png"]
    reads = [f"{here}/{file}" for file in ("classifier.pt", "cams.sha256", "irn.pt")]
    add("make_pseudo", reads, made)


def _last(summed: list[str]) -> list[Step]:
    """The steps that combine all runs."""
    makes = tuple(f"results/{file}" for file in SUMMARY)
    last = Step("summarize", "summarize", tuple(WEAK + TRUTH + summed), makes)
    drawn = [file for file in summed if not file.endswith("per_class.csv")]
    drawn += [f"{Path(file).parent}/counts.csv" for file in summed if "metrics.json" in file]
    figures = tuple(f"results/figures/{part}" for part in FIGURES)
    reads = (*WEAK, *TRUTH, *drawn, "results/picture.png")
    return [last, Step("draw", "draw", reads, figures)]


def _add(
    steps: list[Step], seed: int, method: str, script: str, reads: list[str], makes: list[str]
) -> None:
    name = f"{script}-seed{seed}" + f"-{method}"
    made = tuple(f"results/seed{seed}/{method}/{file}" for file in makes)
    steps.append(Step(name, script, tuple(WEAK + reads), made))


GRAPH = graph()
ALL: Jobs = frozenset(step.name for step in GRAPH)


def jobs_of(*scripts: str) -> Jobs:
    """All jobs of these scripts."""
    return frozenset(step.name for step in GRAPH if step.script in scripts)


def with_followers(first: Iterable[str], steps: Iterable[Step] = GRAPH) -> Jobs:
    """The jobs ``first`` and all jobs that use their outputs, directly or indirectly."""
    jobs, size = set(first), -1
    while size != len(jobs):
        size = len(jobs)
        made = {file for step in steps if step.name in jobs for file in step.makes}
        jobs |= {step.name for step in steps if not made.isdisjoint(step.reads)}
    return frozenset(jobs)


def shown(jobs: Jobs) -> str:
    """Jobs in short form: the first ones, and an arrow for all that follow from them."""
    if jobs == ALL:
        return "everything"
    made = {file for step in GRAPH if step.name in jobs for file in step.makes}
    following = {step.name for step in GRAPH if not made.isdisjoint(step.reads)}
    first = frozenset(jobs - following)
    arrow = with_followers(first) == jobs and jobs != first
    return (_gathered(first) + " ->") if arrow else _gathered(jobs)


def _gathered(jobs: Jobs) -> str:
    """Jobs by script, with the runs in brackets unless it is all of them."""
    words = []
    for script in dict.fromkeys(step.script for step in GRAPH):
        mine = sorted(job for job in jobs if job.split("-")[0] == script)
        runs = ", ".join(job.removeprefix(f"{script}-").replace("-", "/") for job in mine)
        words += (
            [script if jobs_of(script) == frozenset(mine) else f"{script}({runs})"] if mine else []
        )
    return " ".join(words) or "-"
