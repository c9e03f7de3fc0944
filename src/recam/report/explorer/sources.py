"""The score maps of runs, and the numbers that cut them into masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recam.data.layout import CLASSES, MASKS, read_classes
from recam.io.archives import files_in
from recam.io.records import read_cut
from recam.report.methods import ordered
from recam.report.summary import Run

# Stages with score maps, by the name of their folder -> their name in metrics.json.
STAGES = {"cams": "cams", "scores": "pseudo"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The score maps of one method at one stage; scores are in [0, 1], None if unknown."""

    folder: Path
    cut: float | None  # the threshold of the evaluation
    oracle: float | None  # the threshold that maximises mIoU on the ground truth of all images
    margin: float | None  # half the width of the band that pseudo masks ignore
    has_saliency: bool  # scores are 0 where saliency maps are low


Sources = dict[str, dict[str, Source]]  # by stage and method


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """The data set, and the score maps of one random seed."""

    data: Path
    classes: tuple[str, ...]
    sources: Sources

    @property
    def methods(self) -> list[str]:
        """The methods with score maps, in their order."""
        return ordered(method for stage in self.sources.values() for method in stage)

    @property
    def num_ids(self) -> int:
        """K+1: background and the classes."""
        return len(self.classes) + 1

    def ids(self) -> list[str]:
        """Sorted ids of the images with maps of all methods and stages; of any, if none has all."""
        found = [
            {file.stem for file in files_in(source.folder, ".npz")}
            for stage in self.sources.values()
            for source in stage.values()
        ]
        return sorted(set[str].intersection(*found) or set[str]().union(*found))

    def truth(self, image_id: str) -> Path | None:
        """The ground truth mask of an image, if there is one."""
        path = self.data / MASKS / f"{image_id}.png"
        return path if path.is_file() else None


def experiment_of(folder: Path, *, random_seed: int, methods: Sequence[str]) -> Experiment | None:
    """The experiment in ``folder``; None if no method has score maps.

    ``supervised`` has none, and neither has a method whose ``make_cams`` did not start.
    """
    sources: Sources = {stage: {} for stage in STAGES}
    for method in ordered(methods):
        run = Run(folder=folder / f"results/seed{random_seed}/{method}")
        for stage in STAGES:
            if files_in(run.folder / stage, ".npz"):
                sources[stage][method] = _source(run, stage)
    sources = {stage: found for stage, found in sources.items() if found}
    if not sources:
        return None
    data = folder / "data"
    return Experiment(data=data, classes=read_classes(data / CLASSES), sources=sources)


def _source(run: Run, stage: str) -> Source:
    is_evaluated = (run.folder / "metrics.json").is_file()
    metrics = run.metrics().get(STAGES[stage], {}) if is_evaluated else {}
    file = run.folder / "cut.json"
    cut = read_cut(file) if stage == "scores" and file.is_file() else None
    return Source(
        folder=run.folder / stage,
        cut=cut.threshold if cut else _number(metrics.get("threshold")),
        oracle=_number(metrics.get("oracle_threshold")),
        margin=cut.margin if cut else None,
        has_saliency=bool(cut and cut.saliency),
    )


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)
