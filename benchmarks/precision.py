"""Precision and threads of a CPU: cams, prediction and training in bf16, and with 1, 2, 4 threads.

The default's networks and sizes, and ResNet-50 on photographs for cams. Rows of threads are timed
by the clock; more threads than free cores wait for each other.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from forms import as_ours, prepared, step_of
from harness import Make, Run, Setting, Work, Works, answer
from inputs import DEFAULT, Setup, noise_batch, published
from torch import Tensor

from recam.catalogue.methods import make_classifier
from recam.catalogue.segmenters import make_segmenter
from recam.methods.recam import ReCam
from recam.methods.variant import both_views
from recam.pipeline.inference import averaged, averaged_maps

SCALES, PUBLISHED_SCALES = (1.0, 1.5), (1.0, 0.5, 1.5, 2.0)  # of presets shapes and voc12
AT_ONCE = 4  # images of a batch of cams and of predictions, in both files
PRECISIONS = {"ours": "fp32", "bf16": "bf16"}
THREADS = (1, 2, 4)
TOWER = "vit_small_patch16_224"

Form = Callable[[torch.device, str], Run]


def cams(
    device: torch.device,
    precision: str,
    *,
    setup: Setup,
    size: tuple[int, int],
    scales: tuple[float, ...],
) -> Run:
    """Cams of a batch of noise in memory."""
    torch.manual_seed(0)
    model = cast(ReCam, prepared(make_classifier(setup.model_config).eval(), device))
    images = torch.randn(AT_ONCE, 3, *size).to(device, memory_format=torch.channels_last)
    present = torch.ones(AT_ONCE, len(setup.model_config.classes), dtype=torch.bool, device=device)
    readout = both_views(partial(model.maps, combine="product"))
    compute = partial(averaged, readout, images, present, scales=scales)
    return torch.no_grad()(as_ours(compute, device, precision=precision))


def predictions(device: torch.device, precision: str) -> Run:
    """Probabilities of the default's segmenter for a batch of noise in memory."""
    torch.manual_seed(0)
    config = replace(DEFAULT.model_config, method="deeplab", rates=(1, 2, 3))
    model = prepared(make_segmenter(config).eval(), device)
    images = torch.randn(AT_ONCE, 3, DEFAULT.side, DEFAULT.side)
    given = images.to(device, memory_format=torch.channels_last)
    compute = partial(averaged_maps, model.maps, given, scales=SCALES)
    return torch.inference_mode()(as_ours(compute, device, precision=precision))


def steps(device: torch.device, precision: str) -> Run:
    """A step of train_recam of the default."""
    torch.manual_seed(0)
    model = prepared(make_classifier(DEFAULT.model_config).train(), device)
    losses = as_ours(cast(ReCam, model).loss, device, precision=precision)
    images, labels = noise_batch(DEFAULT, device)
    return step_of(model, lambda: losses(images, labels), plain=False)


def by_precision(_: torch.device, *, name: str, form: Form, images: int) -> Work:
    """fp32 beside bf16; networks with drawn weights differ more than trained ones."""

    def make(setting: Setting, *, precision: str) -> Run:
        return form(setting.device, precision)

    forms: dict[str, Make] = {n: partial(make, precision=p) for n, p in PRECISIONS.items()}
    return Work(
        name=name, forms=forms, images=images, tolerance=None, has_memory=False, on_cpu=True
    )


def by_threads(_: torch.device, *, name: str, form: Form, images: int) -> Work:
    """One thread beside two and four, in one process."""

    def make(setting: Setting, *, threads: int) -> Run:
        compute = form(setting.device, "fp32")

        def run() -> Tensor:
            torch.set_num_threads(threads)
            return cast(Tensor, compute())

        return run

    forms: dict[str, Make] = {_words(n): partial(make, threads=n) for n in THREADS}
    return Work(
        name=name,
        forms=forms,
        images=images,
        tolerance=None,
        on_cpu=True,
        by_clock=True,
        has_memory=False,
    )


def _words(threads: int) -> str:
    return "one thread" if threads == 1 else f"{threads} threads"


def _on(backbone: str) -> Setup:
    setup = published(torch.device("cpu"))
    return replace(setup, model_config=replace(setup.model_config, backbone=backbone))


BACKBONE = DEFAULT.model_config.backbone
FORMS: dict[str, tuple[str, Form, int]] = {
    "cams": (
        f"cams, {BACKBONE}, 128 px, 2 scales",
        partial(cams, setup=DEFAULT, size=(128, 128), scales=SCALES),
        AT_ONCE,
    ),
    "published_cams": (
        "cams, resnet50, 250 x 188 px, 4 scales",
        partial(cams, setup=_on("resnet50"), size=(188, 250), scales=PUBLISHED_SCALES),
        AT_ONCE,
    ),
    "tokens": (
        f"cams, {TOWER}, 224 px, one scale",
        partial(cams, setup=_on(TOWER), size=(224, 224), scales=(1.0,)),
        AT_ONCE,
    ),
    "prediction": (f"prediction, deeplab on {BACKBONE}, 128 px, 2 scales", predictions, AT_ONCE),
    "step": (f"train_recam, {BACKBONE}, 16 x 128 px", steps, DEFAULT.batch),
}
WORKS: Works = {
    f"{of}_{key}": partial(make, name=name, form=form, images=images)
    for of, make in (("bf16", by_precision), ("threads", by_threads))
    for key, (name, form, images) in FORMS.items()
}


if __name__ == "__main__":
    answer(WORKS, __doc__)
