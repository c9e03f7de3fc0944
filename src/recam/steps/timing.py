"""Seconds per image of every step, from a few repetitions on made images.

Training is timed on noise of the crop's size, without loading; all other steps on files, with
reading and writing.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from recam.catalogue.methods import make_classifier
from recam.catalogue.names import METHODS, PLAIN, SUPERVISED, TRAININGS, Method
from recam.catalogue.readouts import READOUTS, make_readout
from recam.core.labels import IGNORE
from recam.io.checkpoints import ModelConfig
from recam.io.resumable import ResumableFolder
from recam.models.backbones import backbone_of
from recam.models.segmenters import Segmenter
from recam.pipeline.cams import write_cams
from recam.pipeline.clusters import cluster_features
from recam.pipeline.optimizer import optimizer_of
from recam.pipeline.own_masks import write_own_masks
from recam.pipeline.predictions import write_predictions
from recam.runtime.precision import autocast
from recam.steps.bench import PRESENT, Bench
from recam.steps.clock import Run, completed, least_seconds
from recam.steps.clusters import cluster_numbers
from recam.steps.crf import crf_of
from recam.steps.estimate import (
    CAM_FEATURES,
    CONFIDENT,
    OWN_MASKS,
    SECOND_ROUND,
    SEG_FEATURES,
    work_name,
)
from recam.steps.readout import readout_numbers
from recam.steps.sections.shared import Training
from recam.steps.sections.train_seg import TrainSegRun
from recam.steps.segmenter import initial_segmenter
from recam.steps.self_training import own_masks_of
from recam.steps.timing_frozen import features_run, fed_features
from recam.steps.timing_refinement import confident_pixels, refinement, untrained_irn

PIXELS = 16 * 128 * 128  # of a training batch on a CPU; larger batches are timed in part
TEXT_CHANNELS, WORDS = 512, 25  # of text vectors of CLIP ViT-B/16, and background words
LEAST = 2  # images that batch norms need


def seconds_per_image(step: str, bench: Bench, *, threads: int) -> float:
    """Seconds of a step of ``WORKS`` for one image; in training, for one pass of it.

    On a CPU these are the seconds that its ``threads`` compute: other programs on the machine do
    not count.
    """
    torch.set_num_threads(threads)
    run, images = WORKS[step](bench)
    if bench.device.type == "cpu":
        return least_seconds(run, time.process_time) / (threads * images)
    return least_seconds(partial(completed, run, bench.device), time.perf_counter) / images


def _classifier_config(bench: Bench, method: str) -> ModelConfig:
    numbers = bench.numbers.train_cam
    backbone, output_stride = numbers.network_of(method)
    return ModelConfig(
        method=method,
        backbone=backbone,
        output_stride=output_stride,
        classes=bench.split.classes,
        frozen_batch_norm=numbers.frozen_batch_norm,
        frozen_stem=numbers.frozen_stem,
        frozen_backbone=numbers.frozen_backbone,
        weight=bench.numbers.train_recam.weight,
        view_scale=numbers.seam_scale,
        pcm=numbers.seam_pcm,
        text_channels=TEXT_CHANNELS,
        background_texts=WORDS,
    )


def _training(
    model: nn.Module, numbers: Training, bench: Bench, *, with_masks: bool, parts: int = 1
) -> tuple[Run, int]:
    """A training step on noise, and its images: all, or on a CPU as many as PIXELS allow."""
    count, side = numbers.batch_size // parts, numbers.crop
    if bench.device.type == "cpu":
        count = min(count, max(LEAST, PIXELS // side**2))
    generator = torch.Generator().manual_seed(0)
    shape = fed_features(model, side) or (3, side, side)
    images = torch.randn(count, *shape, generator=generator).to(bench.device)
    images = images.contiguous(memory_format=torch.channels_last)
    num_classes = len(bench.split.classes)
    targets = torch.arange(num_classes).expand(count, num_classes) < PRESENT
    if with_masks:
        shape = (count, side, side)
        targets = torch.randint(0, num_classes + 1, shape, generator=generator, dtype=torch.uint8)
        targets[:, ::2] = IGNORE
    model.train().to(bench.device).to(memory_format=torch.channels_last)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # Too small a rate to change anything: the noise must not make a loss infinite.
    optimizer = optimizer_of(
        [{"params": trained, "lr": 1e-9}],
        numbers.optimizer,
        momentum=numbers.momentum,
        weight_decay=0.0,
        fused=True,
    )
    loss: Callable[[Tensor, Tensor], dict[str, Tensor]] = getattr(model, "loss")  # noqa: B009
    targets = targets.to(bench.device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(bench.precision, bench.device):
            losses = loss(images, targets)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()

    return step, count


def _train_cam(bench: Bench, training: str) -> tuple[Run, int]:
    model = make_classifier(_classifier_config(bench, training))
    return _training(model, bench.numbers.train_cam, bench, with_masks=False)


def _train_recam(bench: Bench, training: str) -> tuple[Run, int]:
    method = Method(training, "recam", "").name
    model = make_classifier(_classifier_config(bench, method))
    return _training(model, bench.numbers.train_recam, bench, with_masks=False)


def _make_clusters(bench: Bench) -> tuple[Run, int]:
    model = make_classifier(_classifier_config(bench, "recam")).eval()
    model.to(bench.device).to(memory_format=torch.channels_last)
    numbers = cluster_numbers(bench.numbers.make_clusters)
    return (
        lambda: cluster_features(
            model, bench.split, numbers, random_seed=0, precision=bench.precision
        ),
        len(bench.split.ids),
    )


def _make_cams(bench: Bench, method: str) -> tuple[Run, int]:
    numbers = bench.numbers.make_cams
    model = make_classifier(_classifier_config(bench, METHODS[method].classifier)).eval()
    model.to(bench.device).to(memory_format=torch.channels_last)

    def run() -> None:
        folder = ResumableFolder(bench.folder / "maps", key="")
        write_cams(
            make_readout(method, model, readout_numbers(numbers)),
            backbone_of(model),
            bench.split,
            folder,
            scales=numbers.scales,
            batch_size=numbers.batch_size,
            precision=bench.precision_for(numbers.inference_precision),
        )
        folder.drop()

    return run, len(bench.split.ids)


def _train_irn(bench: Bench) -> tuple[Run, int]:
    irn = untrained_irn(bench, _classifier_config(bench, PLAIN))
    return _training(irn, bench.numbers.train_irn, bench, with_masks=True)


def _make_pseudo(bench: Bench) -> tuple[Run, int]:
    """That of the first method, whose classifier may give the affinities."""
    mapped = (method for method in bench.numbers.methods if method != SUPERVISED)
    return refinement(bench, _classifier_config(bench, next(mapped, PLAIN)))


def _train_seg(bench: Bench) -> tuple[Run, int]:
    numbers = bench.numbers.train_seg
    parts = numbers.gradient_accumulation_steps
    return _training(_segmenter(bench), numbers, bench, with_masks=True, parts=parts)


def _segmenter(bench: Bench) -> Segmenter:
    numbers = TrainSegRun(**bench.numbers.train_seg.model_dump(), random_seed=0)
    return initial_segmenter(numbers, bench.split.classes)[0]


def _own_masks(bench: Bench) -> tuple[Run, int]:
    numbers, split = own_masks_of(bench.numbers.train_seg), bench.split
    model = _segmenter(bench).to(bench.device).to(memory_format=torch.channels_last)

    def run() -> None:
        folder = ResumableFolder(bench.folder / "own_masks", key="")
        write_own_masks(model, split, folder, numbers=numbers, precision=bench.precision)
        folder.drop()

    return run, len(split.ids)


def _evaluate(bench: Bench) -> tuple[Run, int]:
    numbers, split = bench.numbers.evaluate, bench.split
    model = _segmenter(bench).eval().to(bench.device).to(memory_format=torch.channels_last)

    def run() -> None:
        folder = ResumableFolder(bench.folder / "predictions", key="")
        write_predictions(
            model,
            dict(zip(split.ids, split.images, strict=True)),
            folder,
            num_classes=len(split.classes),
            scales=numbers.scales,
            batch_size=numbers.batch_size,
            crf=crf_of(numbers) if numbers.crf else None,
            precision=bench.precision_for(numbers.inference_precision),
        )
        folder.drop()

    return run, len(bench.split.ids)


# By the names of recam.steps.estimate: a function and the number of images that it processes.
WORKS: Mapping[str, Callable[[Bench], tuple[Run, int]]] = {
    **{work_name("train_cam", name): partial(_train_cam, training=name) for name in TRAININGS},
    **{work_name("train_recam", name): partial(_train_recam, training=name) for name in TRAININGS},
    "make_clusters": _make_clusters,
    **{
        work_name("make_cams", name, readout): partial(
            _make_cams, method=Method(name, "recam", readout).name
        )
        for name, readout in product(TRAININGS, ("", *READOUTS))
        if readout != "lpcam"  # as fast as none
    },
    CAM_FEATURES: lambda bench: features_run(
        bench, make_classifier(_classifier_config(bench, "cam")), bench.numbers.train_cam
    ),
    SEG_FEATURES: lambda bench: features_run(bench, _segmenter(bench), bench.numbers.train_seg),
    CONFIDENT: confident_pixels,
    "train_irn": _train_irn,
    "make_pseudo": _make_pseudo,
    "train_seg": _train_seg,
    OWN_MASKS: _own_masks,
    SECOND_ROUND: _train_seg,
    "evaluate": _evaluate,
}
