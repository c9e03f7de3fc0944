"""Training images of the published sizes, beside torchvision: `python benchmarks/loading.py`.

Long side of 320 to 640 px, bicubic; mirrored or not; a crop of 512 px, outside zeros and 255.
Prints one table: of this process's time on one core, then of the clock's with worker processes.
"""

import time
from collections.abc import Callable, Iterable
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measure import machine, timing
from PIL import Image, ImageDraw
from protocol import Comparison, Maker, Setting, Variant
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from recam.core.labels import IGNORE
from recam.data.layout import WeakSplit
from recam.data.loading import Augmentation, LabelledImages, MaskedImages, training_batches
from recam.io.images import write_mask

IMAGES = 64
SIZES = ((500, 375), (375, 500))  # width and height, of most images of VOC
QUALITY = 90
CLASSES = tuple(f"class {k}" for k in range(20))
AUGMENTATION = Augmentation(
    resize_min=320, resize_max=640, crop=512, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
BATCH, WORKERS = 16, 2
EPOCHS = 2  # of a round with workers, so that starting them counts for little
ROUNDS = 7

Epoch = Callable[[int], Iterable[object]]


class RandomLongSide(v2.Transform):
    """The one part that torchvision has not got."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the length."""
        del flat_inputs
        low, high = AUGMENTATION.resize_min, AUGMENTATION.resize_max
        return {"max_size": int(torch.randint(low, high + 1, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize; masks are never interpolated."""
        bicubic = v2.InterpolationMode.BICUBIC
        return functional.resize(inpt, None, interpolation=bicubic, **params)


class TorchvisionImages(Dataset[tuple[Tensor, Tensor]]):
    """The same images, varied by the same law in torchvision's words."""

    def __init__(self, split: WeakSplit, masks: Path | None, *, resized: str):
        self.split, self.masks = split, masks
        steps = {"PIL": [RandomLongSide(), v2.ToImage()]}
        steps["tensors"] = steps["PIL"][::-1]
        outside: dict[type | str, Any] = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORE}
        self.transform = v2.Compose(
            [
                *steps[resized],
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(AUGMENTATION.mean, AUGMENTATION.std),
                v2.RandomCrop(AUGMENTATION.crop, pad_if_needed=True, fill=outside),
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


def main() -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        setting = Setting(device=torch.device("cpu"), folder=Path(folder))
        rows = [row for comparison in COMPARISONS for row in rows_of(timing(comparison, setting))]
        for masked in (False, True):
            rows += rows_of(with_workers(setting.folder, masked=masked))
    print("| of | variant | time | images a second |\n| --- | --- | --- | --- |")
    print("\n".join(rows))
    print(f"\nMachine: {machine(setting.device)}.")


def rows_of(found: dict[str, Any]) -> list[str]:
    """A comparison's lines of the table."""
    lines = []
    for name, (lower, median, upper) in found["times"].items():
        ratio = f"**{median:.2f}** ({lower:.2f} to {upper:.2f})" if lines else "1"
        lines.append(f"| {found['name']} | {name} | {ratio} | {found['rates'][name]:,.0f} |")
    return lines


def with_workers(folder: Path, *, masked: bool) -> dict[str, Any]:
    """As ``measure.timing``, by the clock: the work is done in other processes."""
    loaders = epochs(folder, masked=masked, workers=WORKERS)
    seconds = np.empty((ROUNDS, len(loaders)))
    for row in seconds:
        for column, epoch in enumerate(loaders.values()):
            start = time.perf_counter()
            for number in range(EPOCHS):
                exhaust(epoch(number))
            row[column] = time.perf_counter() - start
    ratios = np.quantile(seconds / seconds[:, :1], (0.25, 0.5, 0.75), axis=0)
    rates = EPOCHS * IMAGES / np.median(seconds, axis=0)
    return {
        "name": f"{kind(masked=masked)}, batches of {BATCH} by {WORKERS} workers",
        "times": dict(zip(loaders, ratios.T.tolist(), strict=True)),
        "rates": dict(zip(loaders, rates.tolist(), strict=True)),
    }


def on_one_core(variant: str, *, masked: bool) -> Maker:
    """All images once, one after the other, without batches."""

    def make(setting: Setting) -> Variant:
        epoch = epochs(setting.folder, masked=masked, workers=None)[variant]
        numbers = count(1)
        return lambda: exhaust(epoch(next(numbers)))

    return make


def epochs(folder: Path, *, masked: bool, workers: int | None) -> dict[str, Epoch]:
    """By variant, the images of an epoch, or with workers its batches."""
    split, masks = photographs(folder)
    if masked:
        ours = MaskedImages(split, masks, AUGMENTATION, random_seed=0)
    else:
        ours = LabelledImages(split, AUGMENTATION, random_seed=0)
    made: dict[str, Epoch] = {"ours": lambda epoch: (ours[epoch, i] for i in range(IMAGES))}
    if workers is not None:
        made["ours"] = training_batches(ours, batch_size=BATCH, workers=workers)
    for resized in ("PIL", "tensors"):
        theirs = TorchvisionImages(split, masks if masked else None, resized=resized)
        made[f"torchvision, {resized}"] = torchvision_epoch(theirs, workers)
    return made


def torchvision_epoch(images: TorchvisionImages, workers: int | None) -> Epoch:
    """As ``epochs``; the data set knows of no epochs."""
    if workers is None:
        return lambda _: (images[index] for index in range(IMAGES))
    loader = DataLoader(images, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=workers)
    return lambda _: loader


def exhaust(things: Iterable[object]) -> None:
    """Make each and keep none."""
    for _ in things:
        pass


@cache
def photographs(folder: Path) -> tuple[WeakSplit, Path]:
    """JPEG files as large as VOC's, smooth with fine grain, and the masks of what is drawn in."""
    generator = np.random.default_rng(0)
    ids = tuple(f"{number:04d}" for number in range(IMAGES))
    for number, image_id in enumerate(ids):
        image, mask = draw(SIZES[number % len(SIZES)], generator)
        image.save(folder / f"{image_id}.jpg", quality=QUALITY)
        write_mask(folder / "masks" / f"{image_id}.png", mask)
    split = WeakSplit(
        name="train",
        ids=ids,
        images=tuple(folder / f"{image_id}.jpg" for image_id in ids),
        labels=generator.random((IMAGES, len(CLASSES))) < 0.1,
        classes=CLASSES,
    )
    return split, folder / "masks"


def draw(size: tuple[int, int], generator: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """An image and its mask: three ellipses on clouds, under grain."""
    width, height = size
    clouds = generator.integers(256, size=(height // 25, width // 25, 3), dtype=np.uint8)
    image = Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC)
    mask = Image.new("L", size)
    for _ in range(3):
        x, y = generator.uniform(0, (width / 2, height / 2))
        box = (x, y, x + generator.uniform(50, 200), y + generator.uniform(50, 200))
        colour = tuple(generator.integers(256, size=3).tolist())
        ImageDraw.Draw(image).ellipse(box, fill=colour)
        ImageDraw.Draw(mask).ellipse(
            box, fill=int(generator.integers(1, len(CLASSES) + 1)), outline=IGNORE, width=5
        )
    grain = generator.integers(-12, 13, size=(height, width, 1))
    grainy = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(grainy), np.asarray(mask)


def kind(*, masked: bool) -> str:
    """What the images come with."""
    return "images with masks" if masked else "images with labels"


VARIANTS = ("ours", "torchvision, PIL", "torchvision, tensors")
COMPARISONS = [
    Comparison(
        name=f"{kind(masked=masked)}, one core",
        variants={variant: on_one_core(variant, masked=masked) for variant in VARIANTS},
        rounds=ROUNDS,
        memory=False,
        images=IMAGES,
        on_cpu=True,
    )
    for masked in (False, True)
]


if __name__ == "__main__":
    main()
