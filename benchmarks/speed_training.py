"""The training steps of ``speed.py``, and what all its works have in common.

Plain are, by the authors' public code (Chen et al., CVPR 2022): networks in contiguous layout and
float32 as torch has it by default, and re-activation by the (B, K, C, h, w) product and then image
by image.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, count, repeat
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from contraction import explicit_pool
from loading import AUGMENTATION, photographs
from protocol import Setting
from steps import Setup, noise_batch
from steps_large import RESNET
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from recam.catalogue.methods import make_classifier
from recam.catalogue.segmenters import make_segmenter
from recam.data.loading import LabelledImages, training_batches
from recam.methods.cam import EPSILON
from recam.methods.recam import ReCam
from recam.runtime.devices import loader_workers
from recam.runtime.precision import autocast, make_precision

LEARNING_RATE = 1e-12  # next to none: on noise a fresh network would soon have no finite loss
RATES = (6, 12, 18, 24)  # of DeepLabV2's branches
REPEATS = 200  # of the photographs, so that one epoch of the loader is enough

Run = Callable[[], Tensor | None]  # once; may return a result to compare
Make = Callable[[Setting], Run]
Losses = Callable[[Tensor, Tensor], dict[str, Tensor]]
Network = TypeVar("Network", bound=nn.Module)
Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One kind of work in some forms; ratios are to the first."""

    name: str
    forms: dict[str, Make | None]  # None: needs what is not installed
    images: int = 1  # of one run
    unit: str = "image"  # whose milliseconds are told: an image or a step
    least_bytes: dict[str, int] = field(default_factory=dict[str, int])  # by form, moved at least
    ahead: int = 0  # runs before every turn that do not count
    agree: bool = True  # whether results must
    has_memory: bool = True


def prepared(model: Network, device: torch.device) -> Network:
    """Ours: a network as the library's steps lay it out before they train it or predict with it."""
    return model.to(device).to(memory_format=torch.channels_last)


def as_ours(compute: Callable[Given, Result], device: torch.device) -> Callable[Given, Result]:
    """Ours: losses or maps, computed in the precision that the library's steps have on a device."""

    def computed(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with autocast(make_precision("auto", device), device):
            return compute(*args, **kwargs)

    return computed


@contextmanager
def as_plain() -> Iterator[None]:
    """Plain, a decorator: float32 as torch has it by default, whatever ours has set.

    That lets a GPU round the factors of convolutions to TF32.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def step_of(
    model: nn.Module, losses: Callable[[], dict[str, Tensor]], *, momentum: float, plain: bool
) -> Run:
    """Forward, backward and SGD, ours fused as in ``recam.pipeline.training``; returns the loss."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = SGD(
        trained,
        lr=LEARNING_RATE,
        momentum=momentum,
        weight_decay=1e-4,
        fused=None if plain else True,
    )

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        total = torch.stack(list(losses().values())).sum()
        total.backward()
        optimizer.step()
        return total.detach()

    return as_plain()(step) if plain else step


def classifier_step(setup: Setup, *, plain: bool) -> Make:
    """A step of train_cam or train_recam on noise."""

    def make(setting: Setting) -> Run:
        model, losses = classifier(setup, setting.device, plain=plain)
        images, labels = noise_batch(setup, device=setting.device)
        if plain:
            images = images.contiguous()
        return step_of(model, lambda: losses(images, labels), momentum=1e-4, plain=plain)

    return make


def classifier(setup: Setup, device: torch.device, *, plain: bool) -> tuple[nn.Module, Losses]:
    """The same network at every call, and its losses."""
    torch.manual_seed(0)
    model = make_classifier(setup.model_config).train()
    if not plain:
        model = prepared(model, device)
        return model, as_ours(model.loss, device)
    model.to(device)
    return model, partial(plain_losses, model) if isinstance(model, ReCam) else model.loss


def plain_losses(model: ReCam, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Every map times all features; then image by image the features of its present classes."""
    features = model.backbone(images)
    pooled = functional.adaptive_avg_pool2d(features, 1)
    logits = functional.conv2d(pooled, model.classifier[:, :, None, None]).flatten(1)
    maps = functional.conv2d(features, model.classifier[:, :, None, None]).relu()
    evidence = maps / (functional.adaptive_max_pool2d(maps, 1) + EPSILON)
    sce = logits.new_zeros(())
    for of_image, present in zip(explicit_pool(evidence, features), labels, strict=True):
        targets = present.nonzero().flatten()
        if len(targets):
            scores = functional.linear(of_image[targets], model.reclassifier)
            sce = sce + functional.cross_entropy(scores, targets)
    bce = functional.multilabel_soft_margin_loss(logits, labels.to(logits.dtype))
    return {"bce": bce, "sce": model.weight * sce / len(labels)}


def published(device: torch.device, *, method: str, classes: int = 20) -> tuple[str, Setup]:
    """A training step's sizes in words, and its setup: on a CPU the whole would take minutes."""
    on_gpu = device.type == "cuda"
    names = tuple(f"class {k}" for k in range(classes))
    model_config = replace(RESNET, method=method, classes=names)
    setup = Setup(model_config=model_config, batch=16 if on_gpu else 2, side=512 if on_gpu else 224)
    return f"{setup.batch} x {setup.side} px, K = {classes}", setup


def train_cam(device: torch.device) -> Work:
    """Stage one: forms differ in layout, precision and optimiser only."""
    words, setup = published(device, method="cam")
    forms: dict[str, Make | None] = {
        "ours": classifier_step(setup, plain=False),
        "plain": classifier_step(setup, plain=True),
    }
    return Work(name=f"train_cam, {words}", forms=forms, images=setup.batch, unit="step")


def train_recam(device: torch.device, *, classes: int) -> Work:
    """Stage two, beside stage one's step as well."""
    words, setup = published(device, method="recam", classes=classes)
    _, without = published(device, method="cam", classes=classes)
    return Work(
        name=f"train_recam, {words}",
        forms={
            "ours": classifier_step(setup, plain=False),
            "plain": classifier_step(setup, plain=True),
            "train_cam, ours": without_result(classifier_step(without, plain=False)),
        },
        images=setup.batch,
        unit="step",
    )


def without_result(make: Make) -> Make:
    """The same, not to be compared."""

    def made(setting: Setting) -> Run:
        run = make(setting)

        def silent() -> None:
            run()

        return silent

    return made


def train_seg(device: torch.device) -> Work:
    """DeepLabV2's step, with its losses at three scales; forms differ as in train_cam."""
    batch, side = (10, 321) if device.type == "cuda" else (2, 161)
    model_config = replace(
        RESNET,
        method="deeplabv2",
        backbone="resnet101",
        output_stride=8,
        frozen_stem=False,
        rates=RATES,
    )
    ids = len(model_config.classes) + 1

    def make(_: Setting, *, plain: bool) -> Run:
        torch.manual_seed(0)
        model = make_segmenter(model_config).train()
        images = torch.randn(batch, 3, side, side).to(device)
        masks = torch.randint(ids, (batch, side, side), dtype=torch.uint8).to(device)
        if plain:
            losses = model.to(device).loss
        else:
            losses = as_ours(prepared(model, device).loss, device)
            images = images.contiguous(memory_format=torch.channels_last)
        return step_of(model, lambda: losses(images, masks), momentum=0.9, plain=plain)

    return Work(
        name=f"train_seg, ResNet-101, {batch} x {side} px, {ids} ids",
        forms={name: partial(make, plain=name == "plain") for name in ("ours", "plain")},
        images=batch,
        unit="step",
    )


def starvation(device: torch.device) -> Work:
    """train_cam's step, ours, on batches as the loader brings them and on one that is there.

    Before every turn as many steps are taken as the loader's processes may have batches ready.
    """
    words, setup = published(device, method="cam")
    workers = loader_workers(device)

    def make(setting: Setting, *, loaded: bool) -> Run:
        model, losses = classifier(setup, device, plain=False)
        constant = repeat(list(noise_batch(setup, device=device)))
        batches = loaded_batches(setup, setting) if loaded else constant

        def of_next() -> dict[str, Tensor]:
            images, labels = next(batches)
            images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
            return losses(images, labels.to(device, non_blocking=True))

        return step_of(model, of_next, momentum=1e-4, plain=False)

    return Work(
        name=f"starvation: train_cam, {words}, {workers} loading processes",
        forms={
            "one constant batch": partial(make, loaded=False),
            "from the loader": partial(make, loaded=True),
        },
        images=setup.batch,
        unit="step",
        ahead=2 * workers,
        agree=False,
        has_memory=False,
    )


def loaded_batches(setup: Setup, setting: Setting) -> Iterator[list[Tensor]]:
    """Augmented photographs of VOC's sizes, from files, without end."""
    split, _ = photographs(setting.folder)
    many = replace(
        split,
        ids=split.ids * REPEATS,
        images=split.images * REPEATS,
        labels=np.tile(split.labels, (REPEATS, 1)),
    )
    images = LabelledImages(many, replace(AUGMENTATION, crop=setup.side), random_seed=0)
    batches = training_batches(
        images, batch_size=setup.batch, workers=loader_workers(setting.device)
    )
    stream = chain.from_iterable(batches(epoch) for epoch in count(1))
    return chain([next(stream)], stream)  # begun: its processes are not to inherit a count of FLOPs
