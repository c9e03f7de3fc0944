"""The experiment that a page describes: its folder, its numbers and its runs."""

import logging
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from recam.core.errors import UserError
from recam.data.layout import CLASSES, MASKS
from recam.report.figures import Folders, draw_figures
from recam.report.provenance import timings
from recam.report.summary import Run

FIGURES = ("maps", "pseudo", "segmentation", "curves", "errors")
logger = logging.getLogger(__name__)

# Files of a run that its figures show.
SHOWN = ("metrics.json", "signs.json", "classifier_curve.csv", "segmenter_curve.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A folder with ``data``, ``logs``, ``results`` and ``params.yaml``, and its parameters."""

    folder: Path
    params: Mapping[str, object]
    random_seeds: Sequence[int]
    methods: Sequence[str]
    examples: int  # images in each grid
    dataset: str

    @property
    def runs(self) -> list[Run]:
        """The runs that the parameters name, whether or not they have started."""
        return [
            Run(folder=self.results / f"seed{seed}/{method}")
            for seed in self.random_seeds
            for method in self.methods
        ]

    @property
    def data(self) -> Path:
        """The data set."""
        return self.folder / "data"

    @property
    def results(self) -> Path:
        """The outputs of all steps."""
        return self.folder / "results"

    def check_started(self) -> None:
        """Raise UserError if no run has a checkpoint."""
        if not any(file for run in self.runs for file in run.folder.glob("*.pt")):
            raise UserError(
                f"{self.results}: expected the results of a run, found none; run `make run`, then "
                "`make report`"
            )

    def timings(self) -> pd.DataFrame:
        """Time and peak memory of the steps that Snakemake ran; see ``provenance.timings``."""
        seeds, methods = self.random_seeds, self.methods
        return timings(self.folder / "logs", random_seeds=seeds, methods=methods)

    def code(self) -> dict[str, str]:
        """The commit and the uncommitted changes."""
        changed = self._git("status", "--porcelain", "--untracked-files=no")
        return {
            "commit": self._git("rev-parse", "HEAD") or "not in git",
            "uncommitted changes": "\n".join(map(str.strip, changed.splitlines())) or "none",
        }

    def figures(self) -> Path:
        """The folder of the figures: those of the step draw, or newly drawn ones.

        The step draws when all others have ended. Figures that are missing, or older than a result
        or the parameters, are drawn into a folder of their own: outputs of the step stay its own.
        """
        made = self.results / "figures"
        if self._is_current(made) or not (self.data / CLASSES).is_file():
            return made
        drawn = self.results / "report/figures"
        logger.info("drawing figures into %s", drawn)
        draw_figures(
            self.runs,
            Folders(*(drawn / name for name in FIGURES)),
            data=self.data,
            truth=self.data / MASKS,
            examples=self.examples,
        )
        return drawn

    def _is_current(self, made: Path) -> bool:
        sources = [run.folder / name for run in self.runs for name in SHOWN]
        times = [file.stat().st_mtime for file in sources if file.is_file()]
        numbers = self.folder / "params.yaml"
        times += [numbers.stat().st_mtime] if numbers.is_file() else []
        folders = [made / name for name in FIGURES]
        return all(f.is_dir() and f.stat().st_mtime >= max(times, default=0) for f in folders)

    def _git(self, *words: str) -> str:
        command = ["git", "-C", str(self.folder), *words]
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        except FileNotFoundError:  # no git on this machine
            return ""
        return run.stdout.strip() if run.returncode == 0 else ""
