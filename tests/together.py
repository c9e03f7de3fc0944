"""Trains every kind of network for a few steps, as one of the processes of torchrun.

``torchrun --nproc-per-node 2 tests/together.py DATA MASKS OUT [DEVICE]``
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from recam.catalogue.methods import make_classifier
from recam.catalogue.refiners import make_irn
from recam.catalogue.segmenters import make_segmenter
from recam.core.labels import IGNORE
from recam.data.augmentation import Augmentation
from recam.data.layout import load_weak_split
from recam.data.loading import LabelledImages, MaskedImages, training_batches
from recam.io.checkpoints import ModelConfig
from recam.models.backbones import backbone_of, freeze_batch_norm
from recam.models.initialisation import seeded_initialisation
from recam.pipeline.optimizer import Recipe
from recam.pipeline.training import train
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first, process_group

BATCH, EPOCHS, PARTS = 4, 2, 2
AUGMENTATION = Augmentation(
    resize_min=40, resize_max=72, crop=64, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)
)
KINDS = {
    "recam": (make_classifier, {"": 0.001}),
    "deeplabv2": (make_segmenter, {"": 0.0001}),
    "irn": (make_irn, {"": 0.01}),
}


def write_noise(root):
    """Eight noisy images of 60 x 48 pixels; masks of which some are almost wholly ignored."""
    random = np.random.default_rng(0)
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    rows = ["id,cat,dog"]
    for number in range(8):
        pixels = random.integers(0, 256, (48, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{number}.png")
        mask = np.full((48, 60), IGNORE, np.uint8)
        rows_known = 48 if number % 2 else 6  # so the parts of a batch differ in what they judge
        mask[:rows_known, :30], mask[:rows_known, 30:] = number % 3, 0
        Image.fromarray(mask).save(root / f"SegmentationClass/{number}.png")
        rows.append(f"{number},{number % 2},{int(number % 3 == 0)}")
    (root / "classes.txt").write_text("cat\ndog\n")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join("01234567") + "\n")


def trained(data, masks, folder, *, device="cpu"):
    """By kind of network: its tensors after training, and its curve's values."""
    torch.set_num_threads(1)
    split = load_weak_split(data, "train")
    found = {}
    for kind, (make, rates) in KINDS.items():
        dataset = (
            LabelledImages(split, AUGMENTATION, random_seed=0)
            if kind == "recam"
            else MaskedImages(split, masks, AUGMENTATION, random_seed=0)
        )
        model = made(make, kind, split.classes)
        curve = train(
            model,
            training_batches(dataset, batch_size=BATCH, workers=0),
            steps_per_epoch=len(dataset) // BATCH,
            recipe=Recipe(
                epochs=EPOCHS,
                learning_rates=rates,
                momentum=0.9,
                weight_decay=1e-4,
                gradient_accumulation_steps=PARTS if kind == "recam" else 1,
            ),
            device=make_device(str(device)),
            state=folder / f"{kind}.last.pt",
            key=kind,
        )
        losses = {f"loss {line.epoch} {line.loss}": torch.tensor(line.value) for line in curve}
        found[kind] = {**model.state_dict(), **losses}
    return found


def made(make, kind, classes):
    """A small network of that kind, whose batch norms are frozen."""
    with seeded_initialisation(0, kind):
        model = make(model_config_of(kind, classes))
        settle(model)
    return model


def model_config_of(kind, classes):
    """The small configuration of that kind."""
    return ModelConfig(
        method=kind,
        backbone="resnet18",
        output_stride=16,
        classes=classes,
        frozen_batch_norm=False,
        frozen_stem=False,
        weight=1.0,
        rates=(1, 2),
        radius=3,
    )


def settle(model):
    """Freeze batch norms at statistics of noise: with fresh ones activations would explode."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train().momentum = None
    with torch.no_grad():
        backbone_of(model)(torch.randn(8, 3, 64, 64))
    freeze_batch_norm(model)


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    with process_group():
        name = str(given[3]) if len(given) > 3 else "cpu"
        tensors = trained(given[0], given[1], given[2].parent, device=name)
        if is_first():
            torch.save(tensors, given[2])
