"""A folder of the user with many small images, for large.py and large_parts.py."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32  # pixels
CLASSES = ("red", "green", "blue", "grey")
VAL = 10  # every 10th image


def draw_photos(root: Path, number: int) -> None:
    """Different JPEGs with a rectangle each, masks, a table of labels, and the lists of splits."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    ids = [f"photo_{index:07d}" for index in range(number)]
    rows = [["id", *CLASSES]]
    for index, image_id in enumerate(ids):
        kind = index % len(CLASSES)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[index % 16 : 16 + index % 16, 8:24] = kind + 1
        pixels = np.repeat(mask[..., None], 3, axis=2) * 50
        pixels[:8, :8] = generator.integers(256, size=(8, 8, 3))
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{image_id}.jpg")
        Image.fromarray(mask).save(root / "SegmentationClass" / f"{image_id}.png")
        rows.append([image_id, *(str(int(k == kind)) for k in range(len(CLASSES)))])
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    lists = {"train": [i for n, i in enumerate(ids) if n % VAL], "val": ids[::VAL]}
    for name, chosen in lists.items():
        path = root / "ImageSets/Segmentation" / f"{name}.txt"
        path.write_text("".join(f"{i}\n" for i in chosen), encoding="utf-8")
