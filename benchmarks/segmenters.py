"""Segmenters: training steps and predictions, beside torchvision's DeepLabV3 and plain forms."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from forms import as_ours, prepared, step_of
from harness import Make, Run, Setting, Work, Works, answer
from inputs import CLASSES, DEFAULT
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.segmentation import deeplabv3_resnet50, deeplabv3_resnet101

from recam.catalogue.segmenters import make_segmenter
from recam.core.labels import IGNORE
from recam.models.segmenters import Segmenter
from recam.pipeline.inference import averaged_maps

NUM_IDS = len(CLASSES) + 1
CROPS, VIEWS = 10, 4  # images of a training step, and of a prediction
RATES = (6, 12, 18, 24)  # of DeepLabV2's branches
SCALES = (0.5, 1.0, 1.5)
IGNORED_ROWS = 8  # at the top of every mask
TORCHVISION = "torchvision DeepLabV3"
OURS = ("deeplab", "deeplabv2", "smp/deeplabv3plus")


def is_gpu(device: torch.device) -> bool:
    """True if the published sizes are measured; on a CPU they would take minutes."""
    return device.type == "cuda"


def torchvision_network(device: torch.device) -> nn.Module:
    """DeepLabV3 at output stride 8, without its second classifier."""
    make = deeplabv3_resnet101 if is_gpu(device) else deeplabv3_resnet50
    model = make(weights=None, weights_backbone=None, num_classes=NUM_IDS, aux_loss=False)
    return prepared(model, device)


def network(name: str, *, backbone: str, frozen: bool) -> Segmenter:
    """The same segmenter at every call, at torchvision's output stride."""
    torch.manual_seed(0)
    model_config = replace(
        DEFAULT.model_config,
        method=name,
        backbone=backbone,
        output_stride=8,
        classes=CLASSES,
        frozen_batch_norm=frozen,
        rates=RATES,
    )
    return make_segmenter(model_config)


def of_the_same_backbone(name: str, device: torch.device) -> Segmenter:
    """A segmenter of ours over the backbone of ``torchvision_network``."""
    return network(name, backbone="resnet101" if is_gpu(device) else "resnet50", frozen=False)


def batch(device: torch.device, *, crops: int, side: int) -> tuple[Tensor, Tensor]:
    """Noise and masks whose first rows are ignored, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(crops, 3, side, side, generator=generator)
    masks = torch.randint(NUM_IDS, (crops, side, side), generator=generator, dtype=torch.uint8)
    masks[:, :IGNORED_ROWS] = IGNORE
    return images.to(device, memory_format=torch.channels_last), masks.to(device)


def train_seg(device: torch.device) -> Work:
    """DeepLabV2's step with its losses at three scales; plain as in ``forms``."""
    crops, side = (CROPS, 321) if is_gpu(device) else (2, 161)

    def make(_: Setting, *, plain: bool) -> Run:
        model = network("deeplabv2", backbone="resnet101", frozen=True).train()
        images, masks = batch(device, crops=crops, side=side)
        if plain:
            images, losses = images.contiguous(), model.to(device).loss
        else:
            losses = as_ours(prepared(model, device).loss, device)
        return step_of(model, lambda: losses(images, masks), plain=plain)

    return Work(
        name=f"train_seg, ResNet-101, {crops} x {side} px, {NUM_IDS} ids",
        forms={name: partial(make, plain=name == "plain") for name in ("ours", "plain")},
        has_limit=True,
    )


def step(name: str, device: torch.device) -> Work:
    """A step with the segmenter's own loss, beside torchvision's with cross-entropy."""
    side = 321 if is_gpu(device) else 96

    def ours(_: Setting) -> Run:
        model = prepared(of_the_same_backbone(name, device).train(), device)
        images, masks = batch(device, crops=CROPS, side=side)
        losses = as_ours(model.loss, device)
        return step_of(model, lambda: losses(images, masks), plain=False)

    def theirs(_: Setting) -> Run:
        model = torchvision_network(device).train()
        images, masks = batch(device, crops=CROPS, side=side)

        def losses() -> dict[str, Tensor]:
            logits = model(images)["out"]
            return {"ce": functional.cross_entropy(logits, masks.long(), ignore_index=IGNORE)}

        return step_of(model, as_ours(losses, device), plain=False)

    return Work(
        name=f"training step, {name}, {CROPS} x {side} px",
        forms={"ours": ours, TORCHVISION: theirs},
        tolerance=None,
    )


def prediction(name: str, device: torch.device) -> Work:
    """All images and mirror images of a scale at once; torchvision's one view at a time, too."""
    height, width = (375, 500) if is_gpu(device) else (94, 125)
    noise = torch.randn(VIEWS, 3, height, width, generator=torch.Generator().manual_seed(0))
    images = noise.to(device, memory_format=torch.channels_last)

    def ours(_: Setting) -> Run:
        model = prepared(of_the_same_backbone(name, device).eval(), device)
        return _averaged(model.maps, images)

    def theirs(_: Setting) -> Run:
        return _averaged(_torchvision_maps(device), images)

    def views(_: Setting) -> Run:
        maps = _torchvision_maps(device)
        return as_ours(lambda: _view_by_view(maps, images), device)

    forms: dict[str, Make | None] = {
        "ours": ours,
        f"{TORCHVISION}, our averaged_maps": theirs,
        f"{TORCHVISION}, view by view": views,
    }
    title = f"prediction, {name}, {height} x {width} px, {len(SCALES)} scales"
    return Work(name=title, forms=forms, images=VIEWS, tolerance=None)


def _torchvision_maps(device: torch.device) -> Callable[[Tensor], Tensor]:
    model = torchvision_network(device).eval()
    return lambda images: model(images)["out"].float().softmax(dim=1)


def _averaged(maps: Callable[[Tensor], Tensor], images: Tensor) -> Run:
    compute = partial(averaged_maps, maps, images, scales=SCALES)
    return torch.inference_mode()(as_ours(compute, images.device))


@torch.inference_mode()
def _view_by_view(maps: Callable[[Tensor], Tensor], images: Tensor) -> None:
    for image in images:
        for scale in SCALES:
            size = [round(length * scale) for length in image.shape[1:]]
            scaled = functional.interpolate(image[None], size=size, mode="bilinear")
            for view in (scaled, scaled.flip(3)):
                functional.interpolate(maps(view), size=image.shape[1:], mode="bilinear")


WORKS: Works = {
    "train_seg": train_seg,
    **{f"step_{name.removeprefix('smp/')}": partial(step, name) for name in OURS},
    **{f"prediction_{name.removeprefix('smp/')}": partial(prediction, name) for name in OURS},
}


if __name__ == "__main__":
    answer(WORKS, __doc__)
