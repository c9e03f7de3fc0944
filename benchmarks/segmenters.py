"""Segmenters beside torchvision's DeepLabV3 of the same backbone: training step and prediction."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
from protocol import Comparison, Maker, Setting, Variant
from steps import DEFAULT, LEARNING_RATE
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD
from torchvision.models.segmentation import deeplabv3_resnet50, deeplabv3_resnet101

from recam.catalogue.segmenters import make_segmenter
from recam.core.labels import IGNORE
from recam.models.segmenters import Segmenter
from recam.pipeline.inference import averaged_maps

NUM_IDS = 21
CROPS, VIEWS = 10, 4  # images of a training step, and of a prediction
RATES = (6, 12, 18, 24)
SCALES = (0.5, 1.0, 1.5)
IGNORED_ROWS = 8  # at the top of every mask
TORCHVISION = "torchvision DeepLabV3"
OURS = ("deeplab", "deeplabv2", "smp/deeplabv3plus")


def on_gpu(device: torch.device) -> bool:
    """Whether the published sizes can be measured; on a CPU they would take minutes."""
    return device.type == "cuda"


def torchvision_network(device: torch.device) -> nn.Module:
    """DeepLabV3 at output stride 8, without its second classifier."""
    make = deeplabv3_resnet101 if on_gpu(device) else deeplabv3_resnet50
    model = make(weights=None, weights_backbone=None, num_classes=NUM_IDS, aux_loss=False)
    return model.to(device).to(memory_format=torch.channels_last)


@cache
def network(name: str, device: torch.device) -> Segmenter:
    """A segmenter of ours over the same backbone at the same output stride."""
    model_config = replace(
        DEFAULT.model_config,
        method=name,
        backbone="resnet101" if on_gpu(device) else "resnet50",
        output_stride=8,
        classes=tuple(f"class {k}" for k in range(1, NUM_IDS)),
        rates=RATES,
    )
    return make_segmenter(model_config).to(device).to(memory_format=torch.channels_last)


def batch(device: torch.device) -> tuple[Tensor, Tensor]:
    """Crops of 321 pixels and masks; of 96 on a CPU. The same at every call."""
    side = 321 if on_gpu(device) else 96
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(CROPS, 3, side, side, generator=generator)
    masks = torch.randint(NUM_IDS, (CROPS, side, side), generator=generator, dtype=torch.uint8)
    masks[:, :IGNORED_ROWS] = IGNORE
    return images.to(device, memory_format=torch.channels_last), masks.to(device)


def step_of(model: nn.Module, loss: Callable[[], Tensor]) -> Variant:
    """Forward, backward and SGD."""
    optimizer = SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def torchvision_step(setting: Setting) -> Variant:
    """Cross-entropy of the logits at the size of the image, as torchvision's reference trains."""
    model, (images, masks) = torchvision_network(setting.device).train(), batch(setting.device)
    targets = masks.long()

    def loss() -> Tensor:
        return functional.cross_entropy(model(images)["out"], targets, ignore_index=IGNORE)

    return step_of(model, loss)


def our_step(name: str) -> Maker:
    """Our network with its own loss: of ``deeplabv2`` at three scales of the image."""

    def make(setting: Setting) -> Variant:
        model, (images, masks) = network(name, setting.device).train(), batch(setting.device)
        return step_of(model, lambda: torch.stack(list(model.loss(images, masks).values())).sum())

    return make


def views(device: torch.device) -> Tensor:
    """Images of VOC's usual size; of a quarter of its sides on a CPU."""
    height, width = (375, 500) if on_gpu(device) else (94, 125)
    images = torch.randn(VIEWS, 3, height, width, generator=torch.Generator().manual_seed(0))
    return images.to(device, memory_format=torch.channels_last)


def torchvision_views(setting: Setting) -> Variant:
    """One image, one scale and one mirror image at a time."""
    model, images = torchvision_network(setting.device).eval(), views(setting.device)

    @torch.inference_mode()
    def run() -> None:
        for image in images:
            for scale in SCALES:
                size = [round(length * scale) for length in image.shape[1:]]
                scaled = functional.interpolate(image[None], size=size, mode="bilinear")
                for view in (scaled, scaled.flip(3)):
                    out = model(view)["out"].softmax(dim=1)
                    functional.interpolate(out, size=image.shape[1:], mode="bilinear")

    return run


def our_views(name: str) -> Maker:
    """All images and their mirror images of a scale at once."""

    def make(setting: Setting) -> Variant:
        images = views(setting.device)
        if name == TORCHVISION:
            model = torchvision_network(setting.device).eval()
            maps: Callable[[Tensor], Tensor] = lambda x: model(x)["out"].softmax(dim=1)  # noqa: E731
        else:
            maps = network(name, setting.device).eval().maps

        @torch.inference_mode()
        def run() -> None:
            averaged_maps(maps, images, scales=SCALES)

        return run

    return make


COMPARISONS = [
    Comparison(
        name="training step",
        variants={TORCHVISION: torchvision_step, **{name: our_step(name) for name in OURS}},
        rounds=5,
        memory=True,
        images=CROPS,
    ),
    Comparison(
        name="prediction, 3 scales and mirror images",
        variants={
            f"{TORCHVISION}, view by view": torchvision_views,
            f"{TORCHVISION}, our averaged_maps": our_views(TORCHVISION),
            **{name: our_views(name) for name in OURS},
        },
        rounds=3,
        memory=True,
        images=VIEWS,
    ),
]
