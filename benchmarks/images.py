"""Files of images: loading them for training beside torchvision, and drawing COCO's masks.

Training images have VOC's sizes and the published augmentation: a long side of 320 to 640 px,
bicubic; mirrored or not; a crop of 512 px, outside zeros and 255.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Make, Run, Setting, Work, Works, answer
from inputs import AUGMENTATION, photographs
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from recam.core.labels import IGNORE
from recam.data.augmentation import Augmentation
from recam.data.layout import WeakSplit
from recam.data.loading import LabelledImages, MaskedImages, training_batches
from recam.datasets.coco14 import TRAIN, read_annotations

IMAGES = 64
BATCH, WORKERS = 16, 2
EPOCHS = 2  # of a run with workers, so that starting them counts for little
RESIZED = ("PIL", "tensors")  # before or after an image becomes a tensor

ANNOTATED = 4_000  # images with COCO's statistics
WIDTH, HEIGHT = 640, 480
OBJECTS = 7.3  # an image, on average
POINTS = (10, 50)  # of a polygon
SIDE = (3.74, 1.16)  # mean and deviation of log(side / pixel): 41 % below 32, 24 % above 96 pixels
CROWDS, RUNS = 0.01, 400  # share of the objects, runs of each
CATEGORIES = 80

# In a process of its own: those that it starts import no more than it does.
DRAW_MASKS = """
import sys
from pathlib import Path
from recam.datasets.coco14 import TRAIN, read_annotations
from recam.datasets.regions import write_masks
file, masks, workers = sys.argv[1:]
write_masks(read_annotations(Path(file), part=TRAIN)[1], Path(masks), workers=int(workers))
"""

Epoch = Callable[[int], Iterable[object]]


class RandomLongSide(v2.Transform):
    """A resize that torchvision lacks: the long side is drawn at random."""

    def __init__(self, augmentation: Augmentation):
        super().__init__()
        self.lengths = (augmentation.resize_min, augmentation.resize_max)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the length."""
        del flat_inputs
        low, high = self.lengths
        return {"max_size": int(torch.randint(low, high + 1, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize; masks are never interpolated."""
        bicubic = v2.InterpolationMode.BICUBIC
        return functional.resize(inpt, None, interpolation=bicubic, **params)


class TorchvisionImages(Dataset[tuple[Tensor, Tensor]]):
    """The same images and augmentation by torchvision's transforms."""

    def __init__(
        self,
        split: WeakSplit,
        masks: Path | None,
        *,
        resized: str,
        augmentation: Augmentation = AUGMENTATION,
    ):
        self.split, self.masks = split, masks
        steps = {"PIL": [RandomLongSide(augmentation), v2.ToImage()]}
        steps["tensors"] = steps["PIL"][::-1]
        outside: dict[type | str, Any] = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORE}
        self.transform = v2.Compose(
            [
                *steps[resized],
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(augmentation.mean, augmentation.std),
                v2.RandomCrop(augmentation.crop, pad_if_needed=True, fill=outside),
            ]
        )

    def __len__(self) -> int:
        return len(self.split.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = Image.open(self.split.images[index]).convert("RGB")
        if self.masks is None:
            return self.transform(image), torch.from_numpy(self.split.labels[index])
        mask = Image.open(self.masks / f"{self.split.ids[index]}.png")
        varied, ids = self.transform(image, tv_tensors.Mask(mask))
        return varied, ids[0]


def loading(_: torch.device, *, masked: bool, workers: int) -> Work:
    """Training images with labels or masks: one by one on one core, or batches by workers."""
    epochs = EPOCHS if workers else 1

    def make(setting: Setting, *, resized: str) -> Run:
        split, masks = photographs(setting.folder, IMAGES)
        given = masks if masked else None
        if resized:
            epoch = _theirs(TorchvisionImages(split, given, resized=resized), workers)
        else:
            epoch = _ours(split, given, workers)
        numbers = count(1)

        def run() -> None:
            for _ in range(epochs):
                for _ in epoch(next(numbers)):
                    pass

        return run

    forms: dict[str, Make | None] = {"ours": partial(make, resized="")}
    forms |= {f"torchvision, {resized}": partial(make, resized=resized) for resized in RESIZED}
    where = f"batches of {BATCH} by {workers} workers" if workers else "one core"
    return Work(
        name=f"images with {'masks' if masked else 'labels'}, {where}",
        forms=forms,
        images=epochs * IMAGES,
        has_memory=False,
        on_cpu=True,
        by_clock=workers > 0,
    )


def _ours(split: WeakSplit, masks: Path | None, workers: int) -> Epoch:
    if masks is None:
        images = LabelledImages(split, AUGMENTATION, random_seed=0)
    else:
        images = MaskedImages(split, masks, AUGMENTATION, random_seed=0)
    if workers:
        return training_batches(images, batch_size=BATCH, workers=workers)
    return lambda epoch: (images[epoch, index] for index in range(IMAGES))


def _theirs(images: TorchvisionImages, workers: int) -> Epoch:
    """The same, from a data set without epochs."""
    if not workers:
        return lambda _: (images[index] for index in range(IMAGES))
    loader = DataLoader(images, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=workers)
    return lambda _: loader


def coco_masks(_: torch.device) -> Work:
    """Masks of made annotations with COCO's statistics, drawn by two processes and by one.

    By the clock, with the start of the processes and the annotations read, without torch.
    """
    numbers = count(1)

    def make(setting: Setting, *, workers: int) -> Run:
        file = _annotations(setting.folder)

        def run() -> None:
            masks = setting.folder / f"masks-{next(numbers)}"
            words = [sys.executable, "-c", DRAW_MASKS, file, masks, str(workers)]
            subprocess.run(words, check=True, capture_output=True)  # noqa: S603 ours

        return run

    return Work(
        name=f"COCO's masks, {WIDTH} x {HEIGHT} px",
        forms={"ours": partial(make, workers=2), "one process": partial(make, workers=1)},
        images=ANNOTATED,
        has_memory=False,
        on_cpu=True,
        by_clock=True,
    )


def coco_annotations(_: torch.device) -> Work:
    """Reading those annotations; one process does it."""

    def make(setting: Setting) -> Run:
        file = _annotations(setting.folder)

        def run() -> None:
            read_annotations(file, part=TRAIN)

        return run

    name = "COCO's annotations"
    return Work(name=name, forms={"ours": make}, images=ANNOTATED, has_memory=False, on_cpu=True)


def _annotations(folder: Path) -> Path:
    """A file in COCO's format."""
    generator = np.random.default_rng(0)
    images = [
        {"id": i, "file_name": f"COCO_{TRAIN}_{i:012d}.jpg", "height": HEIGHT, "width": WIDTH}
        for i in range(ANNOTATED)
    ]
    numbers = count(1)
    annotations = [
        _annotation(generator, number=next(numbers), image=image)
        for image in range(ANNOTATED)
        for _ in range(generator.poisson(OBJECTS))
    ]
    categories = [{"id": i + 1, "name": f"class {i}"} for i in range(CATEGORIES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    file = folder / "instances.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def _annotation(generator: np.random.Generator, *, number: int, image: int) -> dict[str, object]:
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
        "segmentation": _runs(generator) if is_crowd else _polygon(generator, side),
    }


def _polygon(generator: np.random.Generator, side: float) -> list[list[float]]:
    """Points around a centre, cut off at the border, with COCO's two decimals."""
    points = int(generator.integers(POINTS[0], POINTS[1] + 1))
    angles = np.sort(generator.uniform(0, 2 * np.pi, points))
    radii = side / np.sqrt(np.pi) * generator.uniform(0.8, 1.2, points)
    centre = generator.uniform((0, 0), (WIDTH, HEIGHT))
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    return [np.clip(centre + around, 0, (WIDTH, HEIGHT)).round(2).ravel().tolist()]


def _runs(generator: np.random.Generator) -> dict[str, object]:
    """Uncompressed RLE."""
    ends = np.sort(generator.choice(HEIGHT * WIDTH, RUNS, replace=False))
    counts = np.diff(ends, prepend=0, append=HEIGHT * WIDTH)
    return {"counts": counts.tolist(), "size": [HEIGHT, WIDTH]}


WORKS: Works = {
    "load_labels": partial(loading, masked=False, workers=0),
    "load_masks": partial(loading, masked=True, workers=0),
    "load_labels_by_workers": partial(loading, masked=False, workers=WORKERS),
    "load_masks_by_workers": partial(loading, masked=True, workers=WORKERS),
    "coco_masks": coco_masks,
    "coco_annotations": coco_annotations,
}


if __name__ == "__main__":
    answer(WORKS, __doc__)
