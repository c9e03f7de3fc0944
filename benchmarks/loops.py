"""Training loops beside those of torchvision and smp, with files, augmentation and saved states.

The usual loop is that of torchvision's reference scripts: a data set with torchvision's transforms,
`DataLoader`, forward and backward pass, SGD, the loss as a number after every step, and a
checkpoint after every epoch. Networks, images and sizes are those of presets/shapes.yaml.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import cast

import numpy as np
import segmentation_models_pytorch as smp
import timm
import torch
from harness import Make, Run, Setting, Work, Works, answer
from images import TorchvisionImages
from inputs import DEFAULT, SIZES, Logits, draw
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD
from torch.utils.data import DataLoader
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from recam.catalogue.methods import make_classifier
from recam.catalogue.segmenters import make_segmenter
from recam.core.labels import IGNORE
from recam.data.augmentation import Augmentation
from recam.data.layout import WeakSplit
from recam.data.loading import LabelledImages, MaskedImages, Views, training_batches
from recam.io.images import write_mask
from recam.models.backbones import IMAGENET_MEAN, IMAGENET_STD
from recam.models.segmenters import Segmenter
from recam.pipeline.optimizer import Recipe
from recam.pipeline.training import train
from recam.runtime.devices import loader_workers
from recam.runtime.precision import make_precision

IMAGES = 64  # of an epoch
SIDE = DEFAULT.side
CLASSES = DEFAULT.model_config.classes
NUM_IDS = len(CLASSES) + 1
BACKBONE = DEFAULT.model_config.backbone
AUGMENTATION = Augmentation(
    resize_min=112, resize_max=160, crop=SIDE, mean=IMAGENET_MEAN, std=IMAGENET_STD
)
RATE = 1e-6  # so small that labels without meaning make no loss infinite

Criterion = Callable[[Tensor, Tensor], Tensor]


def train_cam(device: torch.device) -> Work:
    """An epoch of stage one, and of timm's network with a linear layer in torchvision's loop."""
    batch_size = 16

    def ours(setting: Setting) -> Run:
        split, _ = drawn(setting.folder)
        model = make_classifier(replace(DEFAULT.model_config, method="cam"))
        rates = {"backbone": RATE, "classifier": RATE}
        images = LabelledImages(split, AUGMENTATION, random_seed=0)
        return our_epoch(model, images, rates, setting, batch_size=batch_size)

    def theirs(setting: Setting) -> Run:
        split, _ = drawn(setting.folder)
        model = timm.create_model(BACKBONE, num_classes=len(CLASSES), output_stride=16)
        images = TorchvisionImages(split, None, resized="PIL", augmentation=AUGMENTATION)
        criterion = nn.BCEWithLogitsLoss()
        return their_epoch(
            model,
            images,
            lambda found, labels: criterion(found, labels.float()),
            setting,
            batch_size=batch_size,
        )

    forms: dict[str, Make | None] = {"ours": ours, "timm's network, torchvision's loop": theirs}
    name = f"train_cam, {BACKBONE}, {batch_size} x {SIDE} px, an epoch from files"
    return Work(name=name, forms=forms, images=IMAGES, tolerance=None, by_clock=on_gpu(device))


def train_seg(device: torch.device) -> Work:
    """An epoch of the segmenter, and of three others in torchvision's loop."""
    batch_size = 8

    def ours(setting: Setting) -> Run:
        split, masks = drawn(setting.folder)
        images = MaskedImages(split, masks, AUGMENTATION, random_seed=0)
        rates = {"backbone": RATE, "": RATE}
        return our_epoch(segmenter(), images, rates, setting, batch_size=batch_size)

    def theirs(setting: Setting, *, make: Callable[[], nn.Module]) -> Run:
        split, masks = drawn(setting.folder)
        images = TorchvisionImages(split, masks, resized="PIL", augmentation=AUGMENTATION)
        return their_epoch(make(), images, pixel_loss, setting, batch_size=batch_size)

    forms: dict[str, Make | None] = {"ours": ours}
    others = {
        "our network": alone,
        "smp DeepLabV3+": of_smp,
        "torchvision DeepLabV3": of_torchvision,
    }
    forms |= {f"{n}, torchvision's loop": partial(theirs, make=m) for n, m in others.items()}
    name = f"train_seg, {BACKBONE}, {batch_size} x {SIDE} px, an epoch from files"
    return Work(name=name, forms=forms, images=IMAGES, tolerance=None, by_clock=on_gpu(device))


def on_gpu(device: torch.device) -> bool:
    """True if processes load the images, so that the clock counts."""
    return device.type == "cuda"


def segmenter() -> Segmenter:
    """The default's network."""
    return make_segmenter(replace(DEFAULT.model_config, method="deeplab", rates=(1, 2, 3)))


def alone() -> nn.Module:
    """The default's network for the usual loop."""
    return Logits(segmenter())


def of_smp() -> nn.Module:
    """DeepLabV3+ on the same encoder."""
    return smp.DeepLabV3Plus(
        f"tu-{BACKBONE}", encoder_weights=None, encoder_output_stride=16, classes=NUM_IDS
    )


def of_torchvision() -> nn.Module:
    """DeepLabV3 of torchvision, of its smallest encoder, MobileNetV3."""
    return deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=NUM_IDS, aux_loss=False
    )


def pixel_loss(found: object, masks: Tensor) -> Tensor:
    """Cross-entropy at the size of the masks, of logits in one of three forms."""
    logits = cast(dict[str, Tensor], found)["out"] if isinstance(found, dict) else found
    grid = cast(Tensor, logits)
    if grid.shape[2:] != masks.shape[1:]:
        grid = functional.interpolate(grid, size=masks.shape[1:], mode="bilinear")
    return functional.cross_entropy(grid, masks.long(), ignore_index=IGNORE)


def drawn(folder: Path) -> tuple[WeakSplit, Path]:
    """JPEG files of the default's size with made labels, and the folder of their masks."""
    generator = np.random.default_rng(0)
    ids = tuple(f"{number:04d}" for number in range(IMAGES))
    for image_id in ids:
        image, mask = draw(SIZES[0], generator)
        image.resize((SIDE, SIDE)).save(folder / f"{image_id}.jpg", quality=90)
        small = np.asarray(mask)[:SIDE, :SIDE]
        write_mask(folder / "masks" / f"{image_id}.png", np.where(small < NUM_IDS, small, IGNORE))
    labels = generator.random((IMAGES, len(CLASSES))) < 0.3
    images = tuple(folder / f"{image_id}.jpg" for image_id in ids)
    split = WeakSplit(name="train", ids=ids, images=images, labels=labels, classes=CLASSES)
    return split, folder / "masks"


def our_epoch(
    model: nn.Module,
    images: Views[tuple[Tensor, ...]],
    rates: dict[str, float],
    setting: Setting,
    *,
    batch_size: int,
) -> Run:
    """An epoch of ``recam.pipeline.training``, its state saved."""
    device, keys = setting.device, count()
    batches = training_batches(images, batch_size=batch_size, workers=loader_workers(device))
    recipe = Recipe(
        epochs=1,
        learning_rates=rates,
        batch_size=batch_size,
        precision=make_precision("auto", device),
        momentum=0.9,
        weight_decay=1e-4,
    )

    def run() -> None:
        train(
            model,
            batches,
            steps_per_epoch=IMAGES // batch_size,
            recipe=recipe,
            device=device,
            state=setting.folder / "state.pt",
            key=str(next(keys)),
        )

    return run


def their_epoch(
    model: nn.Module,
    images: TorchvisionImages,
    criterion: Criterion,
    setting: Setting,
    *,
    batch_size: int,
) -> Run:
    """An epoch of the usual loop, its state saved."""
    device = setting.device
    model.to(device).train()
    optimizer = SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(
        images,
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=loader_workers(device),
        pin_memory=device.type == "cuda",
    )

    def run() -> None:
        for batch, targets in loader:
            loss = criterion(model(batch.to(device)), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()  # for the meter
        parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(parts, setting.folder / "theirs.pt")

    return run


WORKS: Works = {"train_cam": train_cam, "train_seg": train_seg}


if __name__ == "__main__":
    answer(WORKS, __doc__)
