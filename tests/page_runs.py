"""Small results, written by hand, for the tests of the report's answer and page."""

import json

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from recam.report.captions import Caption
from recam.report.page.experiment import FIGURES, Experiment
from recam.report.summary import Run

STAGES = {"cams": "train", "pseudo": "train", "seg": "val"}
PARTS = ("cams", "pseudo")
NASTY = '<script>alert("x")</script>'  # the name of a class
CAPTION = "Every number & its meaning."


def write_run(results, method, *, seed=0, mious=None, signs=None):
    """A finished run; ``mious`` are the mIoU of its stages, in percent, of those with truth."""
    folder = results / f"seed{seed}/{method}"
    for part in PARTS:
        (folder / part).mkdir(parents=True)
    for name in ("classifier.pt", "segmenter.pt"):
        (folder / name).touch()
    stages = {"seg": "val"} if method == "supervised" else STAGES
    mious = mious or {}
    metrics = {
        stage: {"split": split, "images": 4 if stage in mious else 0, "of": 4}
        | ({"miou": mious[stage]} if stage in mious else {})
        for stage, split in stages.items()
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    values = {"pseudo_foreground": 20.0} if signs is None else signs
    classes = {"unseen_classes": [NASTY]} if "unseen_classes" in values else {}
    (folder / "signs.json").write_text(json.dumps({"values": values, "classes": classes}))
    return Run(folder=folder)


def write_pseudo(results, mious):
    """Runs whose pseudo masks have these mIoU: a value for each random seed, by method."""
    return [
        write_run(results, method, seed=seed, mious={"pseudo": miou})
        for method, values in mious.items()
        for seed, miou in enumerate(values)
    ]


def write_figures(results):
    """Figures of grey noise in their folders, charts with a caption in a strip of 10 pixels."""
    for folder in FIGURES:
        (results / "figures" / folder).mkdir(parents=True)
    grey = np.tile(np.arange(80, dtype=np.uint8), (60, 1))
    image = Image.fromarray(grey)
    for folder in ("maps", "pseudo", "segmentation"):
        image.save(results / f"figures/{folder}/1-largest-gains.jpg")
    for name in (
        "curves/2-thresholds",
        "errors/1a-cams-confusions",
        "errors/3b-segmentation-by-class",
    ):
        Image.fromarray(grey).save(results / f"figures/{name}.png", pnginfo=chart_info())


def chart_info():
    """The metadata of a chart."""
    info = PngInfo()
    info.add_text("Comment", Caption(text=CAPTION, pixels=10).as_text())
    return info


def experiment(folder, runs):
    """The experiment of these runs, which lie in ``folder``."""
    return Experiment(
        folder=folder,
        params={"download": {"dataset": "shapes"}},
        random_seeds=sorted({run.random_seed for run in runs}),
        methods=list(dict.fromkeys(run.method for run in runs)),
        examples=2,
        dataset="shapes",
    )
