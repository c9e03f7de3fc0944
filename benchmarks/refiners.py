"""Refiners side by side on the cams of finished runs: mIoU of their maps, and time.

`python benchmarks/refiners.py RUNS --table FILE.csv` runs train_irn and make_pseudo on the cams in
RUNS (a folder with params.yaml, data/ and results/seed*/METHOD/cams) as the graph does, once for
every refiner, and scores the maps against the ground truth. IRN trains on all images; the first of
them are refined and scored. Numbers that RUNS lacks are those of this project. `make tables` shows
the results in the docs.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pandas as pd
import yaml
from commands import command, machine_of, numbers_of, seconds_of

from recam.catalogue.names import REFINERS, needs_irn
from recam.data.layout import MASKS, load_weak_split
from recam.io.archives import files_in, read_content
from recam.io.atomic import write_manifest
from recam.pipeline.evaluation import GroundTruth, score_maps
from recam.pipeline.pseudo_masks import score_histogram, yen_threshold
from recam.steps.params import merged

REPORTED = ("none", "pamr", "crf", "irn", "irn+crf")
THRESHOLDS = ("fixed", "yen")
METHODS = ("cam", "recam")

Params = dict[str, Any]


def main() -> None:
    """Measure all runs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--table", type=Path, required=True, help="CSV to write")
    parser.add_argument("--refiners", nargs="+", choices=REFINERS, default=REPORTED)
    parser.add_argument("--thresholds", nargs="+", choices=THRESHOLDS, default=THRESHOLDS)
    parser.add_argument("--images", type=int, default=200, help="to refine and score")
    parser.add_argument("--at-once", type=int, default=2, help="runs side by side")
    args = parser.parse_args()
    own = yaml.safe_load((args.runs / "params.yaml").read_text(encoding="utf-8"))
    asked = Asked(args.refiners, args.thresholds, args.images, merged(numbers_of(), own))
    folders = sorted(path for m in METHODS for path in args.runs.glob(f"results/seed*/{m}"))
    with ThreadPoolExecutor(args.at_once) as pool:
        found = list(pool.map(lambda folder: list(measured(folder, asked)), folders))
    args.table.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame([row for rows in found for row in rows])
    table.round(4).to_csv(args.table, index=False)


class Asked(NamedTuple):
    """The refiners, thresholds and number of images to measure, and the experiment."""

    refiners: tuple[str, ...]
    thresholds: tuple[str, ...]
    images: int
    params: Params


def measured(run: Path, asked: Asked) -> Iterator[dict[str, Any]]:
    """A row for each refiner and choice of the background score, on the cams of one run."""
    data, params = run.parents[2] / "data", asked.params
    split = load_weak_split(data, params["evaluate"]["maps_split"])
    ids = split.ids[: asked.images]
    truth = GroundTruth(ids=ids, masks=data / MASKS, classes=split.classes)
    with TemporaryDirectory() as folder:
        work = Work(folder=Path(folder), run=run, data=data, params=params)
        work.choose(ids)
        irn = "irn" if any(needs_irn(refiner) for refiner in asked.refiners) else "none"
        training = work.train_irn(irn) / len(split.ids)
        for refiner in asked.refiners:
            trained = training if needs_irn(refiner) else 0.0
            made, times = "", dict[str, float]()
            for threshold in asked.thresholds:
                if not made or REFINERS[refiner].has_crf:
                    seconds = work.make_pseudo(refiner, threshold=threshold)
                    times = times or {"ms": 1e3 * seconds / len(ids), "training_ms": 1e3 * trained}
                    made = threshold
                cut = work.cut()
                if threshold != made:  # the same maps, cut elsewhere
                    cut = dict.fromkeys(cut, work.yen())
                scores = score_maps(work.folder / "scores", truth, threshold=cut["threshold"])
                found = scores.metrics(threshold=cut["threshold"])
                named = {"random_seed": run.parent.name.removeprefix("seed"), "method": run.name}
                named |= {"refiner": refiner, "threshold": threshold}
                values = {name: found[name] for name in ("miou", "oracle_miou")}
                row = named | {"background": cut["background"]} | values | times
                print(row, file=sys.stderr, flush=True)
                yield row


@dataclass(frozen=True)
class Work:
    """The steps of one run, as command lines, in a folder of their own."""

    folder: Path
    run: Path
    data: Path
    params: Params

    def choose(self, ids: tuple[str, ...]) -> None:
        """Copies of the cams of these images, in a folder of their own."""
        (self.folder / "cams").mkdir()
        for image_id in ids:
            name = f"{image_id}.npz"
            (self.folder / "cams" / name).write_bytes(read_content(self.run / "cams" / name))
        write_manifest(self.folder / "cams.sha256", [self.folder / "cams"])

    def train_irn(self, refiner: str) -> float:
        """Train, or write the placeholder of a refiner without IRN; the seconds."""
        seed = self.run.parent.name.removeprefix("seed")
        paths = {"checkpoint": self.folder / "irn.pt", "curve": self.folder / "curve.csv"}
        given = {"cams": self.run / "cams", "random_seed": seed, "refiner": refiner}
        return self._step("train_irn", paths | given)

    def make_pseudo(self, refiner: str, *, threshold: str) -> float:
        """Refine and cut; the seconds."""
        names = ("irn.pt", "masks", "scores", "cut.json", "picture.png")
        paths = {Path(name).stem: self.folder / name for name in names}
        lists = [self.folder / f"{name}.sha256" for name in ("masks", "scores")]
        asked = {"cams": self.folder / "cams", "manifest": lists}
        asked |= {"classifier": self.run / "classifier.pt"}
        asked |= {"refiner": refiner, "threshold": threshold}
        return self._step("make_pseudo", paths | asked)

    def cut(self) -> dict[str, float]:
        """The threshold at which the masks were cut."""
        return json.loads((self.folder / "cut.json").read_text(encoding="utf-8"))

    def yen(self) -> float:
        """Yen's threshold of the maps that were made."""
        return yen_threshold(score_histogram(files_in(self.folder / "scores", ".npz")))

    def _step(self, name: str, given: Params) -> float:
        """Run a step; the seconds that it took beyond its start and its imports."""
        machine = machine_of(self.params) | {"device": "cpu"}
        words = command(name, machine, self.params[name], {"data": self.data}, given)
        try:
            return max(0.0, seconds_of(words) - start_of(*words[:2]))
        except RuntimeError as error:
            raise SystemExit(str(error)) from None


@cache
def start_of(python: str, script: str) -> float:
    """The seconds of a step's start and imports."""
    return seconds_of([python, script, "--help"])


if __name__ == "__main__":
    main()
