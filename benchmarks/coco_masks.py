"""Drawing COCO's masks with one and with two processes: `python benchmarks/coco_masks.py`.

On made annotations with COCO's statistics, side by side, in turns (A, B, A, B, ...), in wall time
with the start of the processes. Says how long all images of COCO 2014 should take on 16 cores.
"""

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np

from recam.datasets.coco14 import TRAIN, read_annotations
from recam.datasets.regions import write_masks

IMAGES, ROUNDS = 4_000, 3
WIDTH, HEIGHT = 640, 480
OBJECTS = 7.3  # an image, on average
POINTS = (10, 50)  # of a polygon
SIDE = (3.74, 1.16)  # mean and deviation of log(side / pixel): 41 % below 32, 24 % above 96 pixels
CROWDS, RUNS = 0.01, 400  # share of the objects, runs of each
CATEGORIES = 80
ALL_IMAGES, CORES = 123_287, 16


def main() -> None:
    """Measure and print the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = folder / "instances.json"
        file.write_text(json.dumps(made_annotations()), encoding="utf-8")
        reading = seconds(lambda: read_annotations(file, part=TRAIN))
        pictures = read_annotations(file, part=TRAIN)[1]
        times: dict[int, list[float]] = {1: [], 2: []}
        for number in range(ROUNDS):
            for workers, measured in times.items():
                masks = folder / f"masks-{workers}-{number}"
                measured.append(seconds(partial(write_masks, pictures, masks, workers=workers)))
    rates = {workers: IMAGES / median(measured) for workers, measured in times.items()}
    print("| processes | images a second | of one process |\n| --- | --- | --- |")
    for workers, rate in rates.items():
        print(f"| {workers} | {rate:,.0f} | {rate / rates[1]:.2f} |")
    of_reading = ALL_IMAGES * reading / IMAGES
    of_drawing = ALL_IMAGES / (CORES * rates[2] / 2)
    print(
        f"\n{ALL_IMAGES:,} images on {CORES} cores, each as fast as one of the two: "
        f"{(of_reading + of_drawing) / 60:.1f} minutes, of which {of_reading / 60:.1f} for reading "
        "the annotations with one."
    )


def made_annotations() -> dict[str, object]:
    """What a file of COCO says of as many images, in its format."""
    generator = np.random.default_rng(0)
    images = [
        {
            "id": i,
            "file_name": f"COCO_{TRAIN}_{i:012d}.jpg",
            "height": HEIGHT,
            "width": WIDTH,
        }
        for i in range(IMAGES)
    ]
    numbers = count(1)
    annotations = [
        made_annotation(generator, number=next(numbers), image=image)
        for image in range(IMAGES)
        for _ in range(generator.poisson(OBJECTS))
    ]
    categories = [{"id": i + 1, "name": f"class {i}"} for i in range(CATEGORIES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def made_annotation(
    generator: np.random.Generator, *, number: int, image: int
) -> dict[str, object]:
    """One object as a star-shaped polygon, or a crowd as runs."""
    is_crowd = generator.random() < CROWDS
    side = float(np.exp(generator.normal(*SIDE)))
    return {
        "id": number,
        "image_id": image,
        "category_id": int(generator.integers(1, CATEGORIES + 1)),
        "iscrowd": int(is_crowd),
        "area": side**2,
        "bbox": [0, 0, WIDTH, HEIGHT],
        "segmentation": made_runs(generator) if is_crowd else made_polygon(generator, side),
    }


def made_polygon(generator: np.random.Generator, side: float) -> list[list[float]]:
    """Points around a centre, cut off at the border, with COCO's two decimals."""
    points = int(generator.integers(POINTS[0], POINTS[1] + 1))
    angles = np.sort(generator.uniform(0, 2 * np.pi, points))
    radii = side / np.sqrt(np.pi) * generator.uniform(0.8, 1.2, points)
    centre = generator.uniform((0, 0), (WIDTH, HEIGHT))
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    return [np.clip(centre + around, 0, (WIDTH, HEIGHT)).round(2).ravel().tolist()]


def made_runs(generator: np.random.Generator) -> dict[str, object]:
    """Uncompressed RLE."""
    ends = np.sort(generator.choice(HEIGHT * WIDTH, RUNS, replace=False))
    counts = np.diff(ends, prepend=0, append=HEIGHT * WIDTH)
    return {"counts": counts.tolist(), "size": [HEIGHT, WIDTH]}


def seconds(run: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
