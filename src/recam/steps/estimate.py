"""The work of an experiment in images by step, and its wall-clock time from seconds per image."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from recam.catalogue.names import (
    CLUSTERED,
    METHODS,
    PLAIN,
    SUPERVISED,
    WITH_TEXTS,
    Method,
    needs_irn,
)
from recam.data.augmentation import longer_sides
from recam.steps.params import Experiment
from recam.steps.sections.train_cam import TrainCam
from recam.steps.sections.train_irn import TrainIrn
from recam.steps.sections.train_recam import TrainRecam
from recam.steps.sections.train_seg import TrainSeg

Trained = TrainCam | TrainRecam | TrainIrn | TrainSeg

# The parts of trainings that compute features of a frozen backbone, once for all runs.
CAM_FEATURES, SEG_FEATURES = "train_cam, features", "train_seg, features"
CONFIDENT = "train_irn, confident pixels"  # the first part of train_irn
# The beginnings of the names of the works that ``machine.shards`` splits.
SHARED = ("make_cams", CONFIDENT, "make_pseudo", "evaluate")
OWN_MASKS = "train_seg, own masks"  # between the two rounds of self-training
SECOND_ROUND = "train_seg, second round"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSize:
    """The parts of a data set that decide how long steps take."""

    images: Mapping[str, int]  # by split
    size: tuple[int, int]  # usual width and height of an image, in pixels
    num_classes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """The work of one step: ``runs`` runs, for methods and random seeds, of ``images`` images."""

    step: str  # a rule of the Snakefile
    runs: int
    images: int  # of one run; in training, of all its epochs together
    threads: int = 1  # of one run, on a CPU

    def seconds(self, per_image: float, *, start: float) -> float:
        """Seconds of one run, of which ``start`` pass before the first image."""
        return start + self.images * per_image


def work_name(step: str, *parts: str) -> str:
    """``train_cam`` of CAM, ``train_cam, seam`` of SEAM: CAM and no read-out are left out."""
    return ", ".join([step, *(part for part in parts if part not in ("", PLAIN))])


def works_of(numbers: Experiment, data: DataSize) -> list[StepWork]:
    """The work of every step that takes long, in the order of the Snakefile."""
    seeds, methods = len(numbers.random_seeds), len(numbers.methods)
    mapped = [method for method in numbers.methods if method != SUPERVISED]
    methods_with_maps = [METHODS[name] for name in mapped]
    with_maps = seeds * len(mapped)
    threads = numbers.machine.threads
    clustered = seeds * sum(method in CLUSTERED for method in numbers.methods)
    twice = with_maps * (numbers.train_seg.self_training == "second_round")
    of, final = data.images, numbers.evaluate
    scored = of[final.seg_split] + min(final.examples, of[final.maps_split])
    counts = {
        **_retrained(methods_with_maps, seeds, _trained(numbers.train_recam, of)),
        "make_clusters": (
            clustered,
            min(of[numbers.make_clusters.split], numbers.make_clusters.images),
        ),
        **_read(methods_with_maps, seeds, of[numbers.make_cams.split]),
        CONFIDENT: (with_maps, of[numbers.train_irn.split]),
        "train_irn": (with_maps, _trained(numbers.train_irn, of)),
        "make_pseudo": (with_maps, of[numbers.make_cams.split]),
        "train_seg": (seeds * methods, _trained(numbers.train_seg, of)),
        OWN_MASKS: (twice, of[numbers.train_seg.split]),
        SECOND_ROUND: (twice, _trained(numbers.train_seg, of)),
        "evaluate": (seeds * methods, scored),
    }
    if not needs_irn(numbers.make_pseudo.refiner):
        del counts[CONFIDENT], counts["train_irn"]
    counts |= _features(numbers, data.images, methods_with_maps)
    trained = {PLAIN, *(method.training for method in methods_with_maps)}
    trainings = sorted(trained.difference(WITH_TEXTS))
    works = [
        *_first(numbers.train_cam, trainings, seeds, of),
        *(
            StepWork(step=step, runs=runs, images=images, threads=threads)
            for step, (runs, images) in counts.items()
            if runs
        ),
    ]
    return [_shared(work, numbers.machine.shards) for work in works]


def _shared(work: StepWork, shards: int) -> StepWork:
    """The work of each shard of a step that works image by image; others have none."""
    if shards == 1 or not work.step.startswith(SHARED):
        return work
    return replace(work, runs=work.runs * shards, images=ceil(work.images / shards))


def _features(
    numbers: Experiment, of: Mapping[str, int], methods: list[Method]
) -> dict[str, tuple[int, int]]:
    """Runs, and views of images that frozen backbones compute, if ``feature_cache`` holds all.

    Methods share the views of a random seed. Random seeds share the weights, unless the segmenter
    starts from classifiers whose backbone was trained.
    """
    cam, again, seg = numbers.train_cam, numbers.train_recam, numbers.train_seg
    seeds, found = len(numbers.random_seeds), dict[str, tuple[int, int]]()
    if cam.frozen_backbone:
        passes = cam.epochs_for(of[cam.split])
        passes += again.epochs_for(of[again.split]) if any(m.reactivation for m in methods) else 0
        found[CAM_FEATURES] = 1, _views(cam, of[cam.split], passes=seeds * passes)
    if seg.frozen_backbone:
        is_shared = cam.frozen_backbone or seg.weights != "classifier"
        rounds = 2 if methods and seg.self_training == "second_round" else 1
        passes = rounds * seg.epochs_for(of[seg.split]) * (seeds if is_shared else 1)
        found[SEG_FEATURES] = 1 if is_shared else seeds, _views(seg, of[seg.split], passes=passes)
    return found


def _views(numbers: TrainCam | TrainSeg, images: int, *, passes: int) -> int:
    """The expected number of different views, each drawn evenly in every pass."""
    views = 2 * len(longer_sides(numbers.resize_min, numbers.resize_max))
    return round(images * views * (1 - (1 - 1 / views) ** passes))


def _first(
    numbers: TrainCam, trainings: list[str], seeds: int, images: Mapping[str, int]
) -> list[StepWork]:
    """The work of train_cam by training."""
    return [
        StepWork(
            step=work_name("train_cam", training),
            runs=seeds,
            images=_trained(numbers, images),
            threads=numbers.threads,
        )
        for training in trainings
    ]


def _retrained(methods: list[Method], seeds: int, images: int) -> dict[str, tuple[int, int]]:
    """Runs and images of train_recam by training; read-outs share its classifiers."""
    classifiers = {method[:2] for method in methods if method.reactivation}
    kinds = Counter(training for training, _ in classifiers)
    return {
        work_name("train_recam", training): (seeds * count, images)
        for training, count in sorted(kinds.items())
    }


def _read(methods: list[Method], seeds: int, images: int) -> dict[str, tuple[int, int]]:
    """Runs and images of make_cams by training and read-out; LPCAM takes as long as none."""
    kinds = Counter((m.training, "" if m.readout == "lpcam" else m.readout) for m in methods)
    return {
        work_name("make_cams", *kind): (seeds * count, images)
        for kind, count in sorted(kinds.items())
    }


def wall_seconds(works: list[StepWork], run_seconds: Mapping[str, float], *, slots: int) -> float:
    """The least time of all runs on ``slots`` cores or GPUs.

    ``run_seconds`` are the seconds of one run of a step. A run takes as many slots as threads, at
    most all. The result is the work over the slots, and no less than one run of each step in turn.
    """
    total = sum(work.runs * run_seconds[work.step] * min(work.threads, slots) for work in works)
    in_turn = sum(run_seconds[work.step] for work in works)
    return max(total / slots, in_turn)


def _trained(numbers: Trained, images: Mapping[str, int]) -> int:
    """Images that a training sees: whole batches of every epoch."""
    count = images[numbers.split]
    count -= round(getattr(numbers, "held_out", 0.0) * count)
    return numbers.epochs_for(count) * (count // numbers.batch_size) * numbers.batch_size
