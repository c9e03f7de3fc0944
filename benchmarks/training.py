"""Training steps of both methods, and their parts.

Plain is, beside the layout and precision of ``forms``, re-activation by the (B, K, C, h, w) product
and then image by image, as in the authors' public code (Chen et al., CVPR 2022).
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, count, repeat

import numpy as np
import torch
from forms import as_ours, prepared, step_of
from harness import Make, Run, Setting, Target, Work, Works, answer
from inputs import AUGMENTATION, DEFAULT, Setup, noise_batch, photographs, published
from torch import Tensor, nn
from torch.nn import functional

from recam.catalogue.methods import make_classifier
from recam.data.loading import LabelledImages, training_batches
from recam.methods.cam import EPSILON
from recam.methods.recam import ReCam, pool_by_class
from recam.models.depthwise import DilatedDepthwise, use_fast_depthwise_gradients
from recam.runtime.devices import loader_workers

PHOTOGRAPHS, REPEATS = 64, 200  # so many that one epoch of the loader is enough
POOLED = (16, 20, 2048, 32)  # B, K, C, h = w: VOC with ResNet-50, crops of 512 px, stride 16
DEPTHWISE = (16, 1152, 8)  # B, C, h = w of the default's last stage but one
WITHOUT = "without softmax loss"

Losses = Callable[[Tensor, Tensor], dict[str, Tensor]]


def classifier(setup: Setup, device: torch.device, *, plain: bool) -> tuple[nn.Module, Losses]:
    """The same network at every call, and its losses."""
    torch.manual_seed(0)
    model = make_classifier(setup.model_config).train()
    if not plain:
        model = prepared(model, device)
        return model, as_ours(model.loss, device)
    model.to(device)
    return model, partial(plain_losses, model) if isinstance(model, ReCam) else model.loss


def classifier_step(setup: Setup, *, plain: bool = False, compared: bool = True) -> Make:
    """A step of train_cam or train_recam on noise; with its loss where it is compared."""

    def make(setting: Setting) -> Run:
        model, losses = classifier(setup, setting.device, plain=plain)
        images, labels = noise_batch(setup, setting.device)
        images = images.contiguous() if plain else images
        step = step_of(model, lambda: losses(images, labels), plain=plain)
        return step if compared else _silent(step)

    return make


def plain_losses(model: ReCam, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Every map times all features; then image by image the features of its present classes."""
    features = model.features(images)
    pooled = functional.adaptive_avg_pool2d(features, 1)
    logits = functional.conv2d(pooled, model.weights[:, :, None, None]).flatten(1)
    maps = functional.conv2d(features, model.weights[:, :, None, None]).relu()
    evidence = maps / (functional.adaptive_max_pool2d(maps, 1) + EPSILON)
    sce = logits.new_zeros(())
    for of_image, present in zip(explicit_pool(evidence, features), labels, strict=True):
        targets = present.nonzero().flatten()
        if len(targets):
            scores = functional.linear(of_image[targets], model.reclassifier)
            sce = sce + functional.cross_entropy(scores, targets)
    bce = functional.multilabel_soft_margin_loss(logits, labels.to(logits.dtype))
    return {"bce": bce, "sce": model.weight * sce / len(labels)}


def explicit_pool(evidence: Tensor, features: Tensor) -> Tensor:
    """The (B, K, C, h, w) product of maps and features, and its mean over space, term by term."""
    return (evidence[:, :, None] * features[:, None]).mean(dim=(3, 4))


def train_cam(device: torch.device, *, backbone: str | None = None) -> Work:
    """Stage one: forms differ in layout, precision and optimiser only."""
    setup, kind = _of_method(published(device), "cam"), ""
    if backbone:
        setup = replace(setup, model_config=replace(setup.model_config, backbone=backbone))
        kind = f"{backbone}, "
    forms = {"ours": classifier_step(setup), "plain": classifier_step(setup, plain=True)}
    name = f"train_cam, {kind}{_words(setup)}"
    return Work(name=name, forms={**forms}, has_limit=True)


def train_recam(device: torch.device, *, classes: int) -> Work:
    """Stage two, beside its plain form and stage one's step."""
    setup = published(device, classes=classes)
    return Work(
        name=f"train_recam, {_words(setup)}",
        forms={
            "ours": classifier_step(setup),
            "plain": classifier_step(setup, plain=True),
            WITHOUT: classifier_step(_of_method(setup, "cam"), compared=False),
        },
        has_limit=True,
        targets=(
            Target(form="plain", what="time", at_least=3, device="cuda"),
            Target(form="plain", what="memory", at_least=3, device="cuda"),
            Target(form=WITHOUT, what="time", at_least=1 / 1.05, device="cpu"),
        ),
    )


def default_step(device: torch.device) -> Work:
    """The default's step of train_recam, without its softmax loss, and with PyTorch's gradients."""

    def theirs(setting: Setting) -> Run:
        model, losses = classifier(DEFAULT, setting.device, plain=False)
        for module in model.modules():
            if isinstance(module, DilatedDepthwise):
                module.__class__ = nn.Conv2d  # pyright: ignore[reportAttributeAccessIssue]
        images, labels = noise_batch(DEFAULT, setting.device)
        return step_of(model, lambda: losses(images, labels), plain=False)

    forms: dict[str, Make | None] = {
        "ours": classifier_step(DEFAULT),
        WITHOUT: classifier_step(_of_method(DEFAULT, "cam"), compared=False),
    }
    if device.type == "cpu":
        forms["PyTorch's depthwise gradients"] = theirs
    bounds = [Target(form=WITHOUT, what=what, at_least=1 / 1.05) for what in ("time", "memory")]
    name = f"train_recam, {DEFAULT.model_config.backbone}, {_words(DEFAULT)}"
    return Work(name=name, forms=forms, targets=tuple(bounds))


def compiled(device: torch.device) -> Work:
    """The step of train_cam beside ``torch.compile``, which needs a C++ compiler on a CPU."""
    setup = _of_method(published(device) if device.type == "cuda" else DEFAULT, "cam")

    def make(setting: Setting) -> Run:
        model, losses = classifier(setup, setting.device, plain=False)
        images, labels = noise_batch(setup, setting.device)
        faster = torch.compile(losses)
        return _silent(step_of(model, lambda: faster(images, labels), plain=False))

    can_compile = device.type == "cuda" or shutil.which("c++")
    ours = classifier_step(setup, compared=False)
    forms: dict[str, Make | None] = {"ours": ours, "compiled": make if can_compile else None}
    return Work(name=f"compiled step, {_words(setup)}", forms=forms, has_memory=False)


def starvation(device: torch.device) -> Work:
    """train_cam's step on batches from the loader, and on one constant batch.

    Before every turn as many steps are taken as the loader's processes may have batches ready.
    """
    setup, workers = _of_method(published(device), "cam"), loader_workers(device)

    def make(setting: Setting, *, loaded: bool) -> Run:
        model, losses = classifier(setup, device, plain=False)
        constant = repeat(list(noise_batch(setup, device)))
        batches = _loaded_batches(setup, setting) if loaded else constant

        def of_next() -> dict[str, Tensor]:
            images, labels = next(batches)
            images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
            return losses(images, labels.to(device, non_blocking=True))

        return step_of(model, of_next, plain=False)

    return Work(
        name=f"starvation: train_cam, {_words(setup)}, {workers} loading processes",
        forms={"ours": partial(make, loaded=True), "constant batch": partial(make, loaded=False)},
        tolerance=None,
        has_memory=False,
        has_limit=True,
        ahead=2 * workers,
    )


def pooling(device: torch.device, *, backward: bool) -> Work:
    """Features pooled by class: one contraction, and the product that spells every term out.

    Contiguous, as the product is slower still on channels-last tensors.
    """
    batch, classes, channels, side = POOLED
    generator = torch.Generator().manual_seed(0)
    shapes = ((batch, classes, side, side), (batch, channels, side, side))
    maps, features, back = (
        torch.rand(shape, generator=generator).to(device)
        for shape in (*shapes, (batch, classes, channels))
    )

    def make(pool: Callable[[Tensor, Tensor], Tensor]) -> Make:
        def once() -> Tensor:
            if not backward:
                return pool(maps, features)
            given = (maps.requires_grad_(), features.requires_grad_())
            return torch.autograd.grad(pool(*given), given, grad_outputs=back)[1]

        return lambda _: once

    name = f"pooling by class, {batch} x {classes} x {channels} x {side} x {side}"
    return Work(
        name=f"{name}, with gradients" if backward else name,
        forms={"ours": make(pool_by_class), "plain": make(explicit_pool)},
        tolerance=4e-4,
    )


def depthwise(_: torch.device) -> Work:
    """Gradients of a dilated depthwise layer of 5 x 5 weights on a CPU."""
    batch, channels, side = DEPTHWISE

    def make(_: Setting, *, ours: bool) -> Run:
        torch.manual_seed(0)
        layer = nn.Conv2d(channels, channels, 5, padding=4, dilation=2, groups=channels, bias=False)
        if ours:
            use_fast_depthwise_gradients(layer)
        images, back = (
            torch.randn(batch, channels, side, side).to(memory_format=torch.channels_last)
            for _ in range(2)
        )
        made: Tensor = layer(images.requires_grad_())
        wanted = (layer.weight, images)
        return lambda: torch.autograd.grad(made, wanted, grad_outputs=back, retain_graph=True)[0]

    return Work(
        name=f"gradients of a depthwise layer, {batch} x {channels} x {side} x {side}",
        forms={"ours": partial(make, ours=True), "PyTorch's": partial(make, ours=False)},
        tolerance=1e-4,
        has_memory=False,
        on_cpu=True,
    )


def _of_method(setup: Setup, method: str) -> Setup:
    return replace(setup, model_config=replace(setup.model_config, method=method))


def _words(setup: Setup) -> str:
    return f"{setup.batch} x {setup.side} px, K = {len(setup.model_config.classes)}"


def _silent(run: Run) -> Run:
    def silent() -> None:
        run()

    return silent


def _loaded_batches(setup: Setup, setting: Setting) -> Iterator[list[Tensor]]:
    """Augmented photographs of VOC's sizes, from files, without end."""
    split, _ = photographs(setting.folder, PHOTOGRAPHS)
    many = replace(
        split,
        ids=split.ids * REPEATS,
        images=split.images * REPEATS,
        labels=np.tile(split.labels, (REPEATS, 1)),
    )
    images = LabelledImages(many, replace(AUGMENTATION, crop=setup.side), random_seed=0)
    workers = loader_workers(setting.device)
    batches = training_batches(images, batch_size=setup.batch, workers=workers)
    stream = chain.from_iterable(batches(epoch) for epoch in count(1))
    return chain([next(stream)], stream)  # begun: its processes must not inherit a count of FLOPs


WORKS: Works = {
    "train_cam": train_cam,
    "train_cam_vit": partial(train_cam, backbone="vit_small_patch16_224"),
    "train_recam_20": partial(train_recam, classes=20),
    "train_recam_80": partial(train_recam, classes=80),
    "default_step": default_step,
    "starvation": starvation,
    "pooling": partial(pooling, backward=False),
    "pooling_gradients": partial(pooling, backward=True),
    "depthwise": depthwise,
    "compiled": compiled,
}


if __name__ == "__main__":
    answer(WORKS, __doc__)
