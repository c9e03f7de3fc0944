"""Made images of a data set's size, on which the steps of an experiment are timed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from recam.data.layout import WeakSplit
from recam.io.images import image_size
from recam.io.scores import ScoredClasses, save_scores
from recam.runtime.precision import make_precision
from recam.steps.estimate import DataSize
from recam.steps.params import Experiment

IMAGES, PIXELS = 4, 4 * 256 * 256  # at most as many images, and together as many pixels
PRESENT = 2  # classes of an image
CELL, GRAIN = 24, 12  # pixels of a cloud, largest change of a pixel by the grain
COARSE = 8  # cells of a score map on each side, before it is enlarged


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The experiment, and the made images on which its steps are timed."""

    numbers: Experiment
    split: WeakSplit
    folder: Path
    device: torch.device

    def precision_for(self, chosen: str) -> torch.dtype:
        """The dtype of autocast in a step with ``chosen`` as its ``inference_precision``."""
        return make_precision(self.numbers.machine.precision_for(chosen), self.device)

    @property
    def precision(self) -> torch.dtype:
        """The dtype of autocast."""
        return make_precision(self.numbers.machine.precision, self.device)

    def cams(self) -> dict[Path, Path]:
        """Write smooth score maps of the present classes; return their files, with the images."""
        generator = torch.Generator().manual_seed(0)
        files = {self.folder / "cams" / f"{path.stem}.npz": path for path in self.split.images}
        for (file, path), labels in zip(files.items(), self.split.labels, strict=True):
            present = np.flatnonzero(labels)
            coarse = torch.rand(1, len(present), COARSE, COARSE, generator=generator)
            scores = functional.interpolate(coarse, size=image_size(path), mode="bilinear")
            save_scores(file, ScoredClasses(scores=scores[0].numpy(), classes=present))
        return files


def make_bench(numbers: Experiment, data: DataSize, folder: Path, *, device: torch.device) -> Bench:
    """Write made images of the size of ``data`` into ``folder``."""
    classes = tuple(f"class {k}" for k in range(data.num_classes))
    count = min(IMAGES, max(1, PIXELS // (data.size[0] * data.size[1])))
    labels = np.zeros((count, len(classes)), bool)
    labels[:, :PRESENT] = True
    generator = np.random.default_rng(0)
    ids = tuple(str(number) for number in range(count))
    for image_id in ids:
        _made_image(data.size, generator).save(folder / f"{image_id}.png")
    images = tuple(folder / f"{image_id}.png" for image_id in ids)
    split = WeakSplit(name="made", ids=ids, images=images, labels=labels, classes=classes)
    return Bench(numbers=numbers, split=split, folder=folder, device=device)


def _made_image(size: tuple[int, int], generator: np.random.Generator) -> Image.Image:
    """Ellipses on clouds, under grain: noise alone would give a CRF far more work."""
    width, height = size
    cells = (height // CELL + 2, width // CELL + 2, 3)
    clouds = generator.integers(256, size=cells, dtype=np.uint8)
    image = Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC)
    for _ in range(PRESENT):
        x, y = generator.uniform(0, (width / 2, height / 2))
        box = (x, y, x + width / 3, y + height / 3)
        ImageDraw.Draw(image).ellipse(box, fill=tuple(generator.integers(256, size=3).tolist()))
    grain = generator.integers(-GRAIN, GRAIN + 1, size=(height, width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))
