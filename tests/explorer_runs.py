"""Small runs for the tests of the report's explorer: score maps drawn at random."""

import numpy as np

from recam.core.labels import labels_of_mask
from recam.core.randomness import numpy_generator
from recam.io.images import write_image, write_mask
from recam.io.records import write_record
from recam.io.scores import ScoredClasses, save_scores
from recam.pipeline.evaluation import GroundTruth, counts_table, score_maps

CUTS = {"cams": 0.47, "scores": 0.4}  # a step of 1/200, as every threshold of the sweep
MARGIN = 0.05
SIZES = {"a": (12, 16), "b": (16, 12), "c": (10, 10), "d": (9, 17)}  # height and width by id
NAMES = ("cat", "dog", "hen")


def write_data(folder, *, sizes=SIZES, classes=NAMES, with_truth=True):
    """A data set whose images are noise; their masks have two or three of the first classes."""
    rows = [",".join(["id", *(f'"{name}"' for name in classes)])]
    for image_id, size in sizes.items():
        generator = numpy_generator(0, "explorer", image_id)
        mask = generator.integers(0, min(3, len(classes)) + 1, size, dtype=np.uint8)
        pixels = generator.integers(256, size=(*size, 3), dtype=np.uint8)
        write_image(folder / f"data/JPEGImages/{image_id}.png", pixels)
        present = labels_of_mask(mask, num_classes=len(classes))
        mask[0] = 255
        if with_truth:
            write_mask(folder / f"data/SegmentationClass/{image_id}.png", mask)
        rows.append(",".join([image_id, *(str(int(p)) for p in present)]))
    (folder / "data/labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "data/classes.txt").write_text("".join(f"{name}\n" for name in classes))


def write_maps(folder, method, stage, *, sizes=SIZES, indices=(0, 2)):
    """Score maps of classes ``indices``, with many ties between scores and thresholds."""
    for image_id, size in sizes.items():
        generator = numpy_generator(0, "explorer", method, stage, image_id)
        steps = generator.integers(0, 21, size=(len(indices), *size))
        scores = (steps / 20).astype(np.float32)
        path = folder / f"results/seed0/{method}/{stage}/{image_id}.npz"
        save_scores(path, ScoredClasses(scores=scores, classes=np.array(indices, np.int64)))


def write_run(folder, method, *, sizes=SIZES, indices=(0, 2), saliency=""):
    """A run with maps of both stages and the cut of its pseudo masks."""
    for stage in CUTS:
        write_maps(folder, method, stage, sizes=sizes, indices=indices)
    threshold = CUTS["scores"]
    numbers = {"background": threshold, "threshold": threshold, "margin": MARGIN}
    numbers |= {"saliency": saliency} if saliency else {}
    write_record(folder / f"results/seed0/{method}/cut.json", numbers)


def evaluate(folder, method, *, sizes=SIZES, classes=NAMES):
    """Add the evaluation of the run's maps."""
    run = folder / f"results/seed0/{method}"
    masks = folder / "data/SegmentationClass"
    truth = GroundTruth(ids=tuple(sizes), masks=masks, classes=classes)
    scored = {
        name: score_maps(run / stage, truth, threshold=CUTS[stage])
        for stage, name in {"cams": "cams", "scores": "pseudo"}.items()
    }
    stages = zip(scored.items(), CUTS.values(), strict=True)
    metrics = {
        name: {"split": "train"} | scores.metrics(threshold=cut) for (name, scores), cut in stages
    }
    write_record(run / "metrics.json", metrics)
    counts = counts_table({name: scores.counts for name, scores in scored.items()})
    counts.to_csv(run / "counts.csv", index=False)


def write_experiment(folder, methods=("cam", "recam")):
    """A finished experiment of these methods, with ground truth."""
    write_data(folder)
    for method in methods:
        write_run(folder, method)
        evaluate(folder, method)
    return folder
