"""Keep the results of a finished run in docs/results/NAME, for the tables of the pages.

After `make run`, `python docs/keep_results.py default --command "make run"` copies the numbers and
the pictures of the pages, draws overview.png of the default, and writes run.json: commit, command,
random seeds, time and memory. `make tables` then writes them into the pages.

After `make generality`, `python docs/keep_results.py generality --command "make generality"` keeps
its CSV, and `--run generality/NAME` the results of one of its data sets. `variants` keeps the CSVs
of `make variants` and draws docs/pictures/variants.png.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from recam.core.labels import top_class
from recam.data.coverage import covering_images, labels_of
from recam.data.layout import CLASSES, IMAGES, LABELS, MASKS, find_image, read_classes, read_labels
from recam.io.archives import files_in, is_stored
from recam.io.images import read_image, read_mask
from recam.io.scores import load_scores
from recam.report.charts import save
from recam.report.grids import Cell, GridRow, draw_grid, maps_cell
from recam.report.variants import variants_figure

STEPS = (
    *("train_cam", "train_recam", "make_clusters", "make_cams", "train_irn", "make_pseudo"),
    *("train_seg", "evaluate"),
)
RESULTS = Path(__file__).parent / "results"
VARIANTS = "variants"
FIGURE = Path(__file__).parent / "pictures" / "variants.png"
PICTURES: dict[str, tuple[str, ...]] = {
    "default": ("seed0/recam/pseudo.png", "figures/curves/2-thresholds.png"),
    "street": (),  # its photographs belong to others
}
PICTURE_OF_OTHERS = ("picture.png",)
ROWS = 4
# The results of several data sets, and the folder of their runs, with the CSVs to keep.
TOGETHER = {"generality": ("results.csv",), VARIANTS: ("results.csv", "cost.csv")}
FIGURE_CAPTION = "mIoU of each variant: mean and sample standard deviation over random seeds."
CAPTION = "Images that show many classes, two or more each, whatever their scores. Random seed {}."


def main() -> None:
    """Copy, draw and describe the results of one finished run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="folder in docs/results, such as default, shapes or stamps")
    parser.add_argument("--command", required=True, help="the command that made the results")
    parser.add_argument("--run", type=Path, default=Path(), help="folder in which it ran")
    parser.add_argument("--params", type=Path, nargs="*", default=[], help="its --configfile files")
    parser.add_argument("--wall_s", type=float, help="seconds that it took; default: from its logs")
    args = parser.parse_args()
    folder = RESULTS / args.name
    folder.mkdir(parents=True, exist_ok=True)
    if args.name in TOGETHER:
        out = args.run / args.name
        for name in TOGETHER[args.name]:
            shutil.copy(out / name, folder)
        run = described_together(out, command=args.command, wall_s=args.wall_s)
    else:
        for name in ("details.csv", *PICTURES.get(args.name, PICTURE_OF_OTHERS)):
            shutil.copy(args.run / "results" / name, folder / Path(name).name)
        run = described(args.run, command=args.command, overlays=args.params, wall_s=args.wall_s)
    (folder / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    if args.name == VARIANTS:
        figure = variants_figure(pd.read_csv(folder / "results.csv"))
        save(figure, FIGURE, caption=FIGURE_CAPTION)
    if args.name == "default":
        draw_overview(folder / "overview.png", args.run, random_seed=run["random_seeds"][0])


def described(run: Path, *, command: str, overlays: list[Path], wall_s: float | None) -> dict:
    """The origin of the numbers, and the time and memory of each step that Snakemake timed."""
    params = {}
    for file in [run / "params.yaml", *overlays]:
        params |= yaml.safe_load(file.read_text(encoding="utf-8"))
    files = sorted(
        file
        for seed in params["random_seeds"]
        for method in params["methods"]
        for file in (run / f"logs/seed{seed}/{method}").glob("*.tsv")
    )
    timed = [_step(file) for file in files]
    ended = [file.stat().st_mtime for file in files]
    began = [end - step["s"] for end, step in zip(ended, timed, strict=True)]
    return {
        "commit": _commit(run),
        "command": command,
        "random_seeds": params["random_seeds"],
        "wall_s": round(wall_s or max(ended) - min(began)),
        "peak_mib": max(step["max_rss_mib"] for step in timed),
        "steps": sorted(timed, key=lambda step: STEPS.index(step["step"])),
    }


def described_together(out: Path, *, command: str, wall_s: float | None) -> dict:
    """The origin of the CSV in ``out``; its data sets ran on one commit.

    The time is that in which a step ran: pauses between calls of a resumed run do not count.
    """
    datasets = pd.read_csv(out / "results.csv")["dataset"].unique()
    runs = [described(out / name, command=command, overlays=[], wall_s=None) for name in datasets]
    if len({run["commit"] for run in runs}) > 1:
        sys.exit(f"{out}: expected data sets of one commit; run `{command}` again, then keep them")
    logs = [file for name in datasets for file in (out / name / "logs").glob("seed*/*/*.tsv")]
    ended = [(file.stat().st_mtime, _step(file)["s"]) for file in logs]
    busy = _busy([(end - seconds, end) for end, seconds in ended])
    return {
        **{key: runs[0][key] for key in ("commit", "command", "random_seeds")},
        "wall_s": round(wall_s or busy),
        "peak_mib": max(run["peak_mib"] for run in runs),
    }


def _busy(intervals: list[tuple[float, float]]) -> float:
    """Seconds covered by at least one interval."""
    covered, until = 0.0, -math.inf
    for begin, end in sorted(intervals):
        covered += max(0.0, end - max(begin, until))
        until = max(until, end)
    return covered


def _commit(run: Path) -> str:
    """The commit of a checkout, or of the code that was copied into the folder of a data set."""
    file = run / "origin.json"
    if not file.is_file():
        return _git(run, "rev-parse", "HEAD")
    origin = json.loads(file.read_text(encoding="utf-8"))
    if origin["changed"]:
        changed = ", ".join(origin["changed"])
        sys.exit(
            f"{run}: expected a run of committed code, got changes in {changed}; commit them, run "
            "the command again (equal files run nothing), then keep it"
        )
    return origin["commit"]


def _step(file: Path) -> dict:
    table = pd.read_csv(file, sep="\t", na_values="-")
    return {
        "step": file.stem,
        "method": file.parent.name,
        "random_seed": int(file.parents[1].name.removeprefix("seed")),
        "s": float(table["s"].iloc[0]),
        "max_rss_mib": round(float(table["max_rss"].fillna(0).iloc[0])),
    }


def _git(folder: Path, *words: str) -> str:
    run = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def draw_overview(path: Path, run: Path, *, random_seed: int) -> None:
    """Image, ground truth, both methods' maps and ReCAM's segmentation, 1042 pixels wide."""
    data, results = run / "data", run / "results" / f"seed{random_seed}"
    classes = read_classes(data / CLASSES)
    labels = read_labels(data / LABELS, classes)
    predicted = [file.stem for file in files_in(results / "recam/predictions", ".png")]
    there = [
        image_id
        for image_id in predicted
        if labels.loc[image_id].sum() > 1 and is_stored(results / f"cam/cams/{image_id}.npz")
    ]
    shown = covering_images(there, labels_of(there, labels), count=ROWS)
    rows = [GridRow(cells=_cells(data, results, image_id, classes)) for image_id in shown]
    draw_grid(path, rows, classes, caption=CAPTION.format(random_seed))


def _cells(data: Path, results: Path, image_id: str, classes: tuple[str, ...]) -> dict[str, Cell]:
    image = read_image(find_image(data / IMAGES, image_id))

    def of_maps(method: str) -> Cell:
        cams = load_scores(results / method / "cams" / f"{image_id}.npz")
        ids, scores = top_class(cams.scores, cams.classes)
        return maps_cell(image, ids, np.clip(scores, 0, 1), classes)

    def of_mask(file: Path) -> Cell:
        return Cell(pixels=image, mask=read_mask(file))

    return {
        "image": Cell(pixels=image),
        "ground truth": of_mask(data / MASKS / f"{image_id}.png"),
        "CAM": of_maps("cam"),
        "ReCAM": of_maps("recam"),
        "segmentation": of_mask(results / "recam" / "predictions" / f"{image_id}.png"),
    }


if __name__ == "__main__":
    main()
