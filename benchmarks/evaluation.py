"""Evaluation on one core: confusions of arrays and of files, and a sweep over all thresholds."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from protocol import Comparison, Maker, Setting, Variant
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from recam.core.labels import BACKGROUND, IGNORE
from recam.core.metrics import (
    LEVELS,
    confusion_matrix,
    confusions_by_threshold,
    level_histogram,
    thresholds,
)
from recam.io.images import read_mask, write_mask
from recam.pipeline.evaluation import Truth, score_masks

IMAGES = 16
HEIGHT, WIDTH = 375, 500  # pixels, of most images of VOC
NUM_IDS = 21
BLOCK = 63  # pixels, of the regions of a mask
BACKGROUND_SHARE = 0.7  # of the regions, about what VOC's masks have
SHIFT = 7  # pixels, of a prediction against its truth: 3 in 4 pixels or more are right

Mask = UInt8[np.ndarray, "H W"]
PerImage = Callable[["Case"], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An image's true mask, with ignored borders, and what was predicted."""

    truth: Mask
    top_id: Mask
    top_score: Float[np.ndarray, "H W"]


@cache
def cases() -> tuple[Case, ...]:
    """Masks of large regions: long runs of equal pixels are what real masks consist of."""
    generator = np.random.default_rng(0)
    return tuple(_draw_case(generator) for _ in range(IMAGES))


@cache
def truth_and_predictions(folder: Path) -> tuple[Truth, Path]:
    """The masks of ``cases`` as palette PNG files."""
    ids = tuple(f"{number:04d}" for number in range(IMAGES))
    for image_id, case in zip(ids, cases(), strict=True):
        write_mask(folder / "truth" / f"{image_id}.png", case.truth)
        write_mask(folder / "predicted" / f"{image_id}.png", case.top_id)
    classes = tuple(f"class {k}" for k in range(NUM_IDS - 1))
    return Truth(ids=ids, masks=folder / "truth", classes=classes), folder / "predicted"


def all_reduce_sum(per_image: PerImage) -> Maker:
    """The sum over all images of what one image gives."""

    def make(_: Setting) -> Variant:
        given = cases()
        return lambda: np.sum([per_image(case) for case in given], axis=0)

    return make


def our_confusion(case: Case) -> np.ndarray:
    """The library's count."""
    return confusion_matrix(case.truth, case.top_id, num_ids=NUM_IDS)


def sklearn_confusion(case: Case) -> np.ndarray:
    """scikit-learn's count; it knows no ignored pixels, so they are taken out first."""
    judged = case.truth != IGNORE
    return sklearn_confusion_matrix(
        case.truth[judged], case.top_id[judged], labels=np.arange(NUM_IDS)
    )


def swept_at_once(_: Setting) -> Variant:
    """One histogram for all thresholds."""
    given = cases()

    def run() -> np.ndarray:
        histogram = np.zeros((NUM_IDS, NUM_IDS, LEVELS + 1), np.int64)
        for c in given:
            histogram += level_histogram(c.truth, c.top_id, c.top_score, num_ids=NUM_IDS)
        return confusions_by_threshold(histogram)

    return run


def cut_and_counted(case: Case) -> np.ndarray:
    """A mask and its confusion for each threshold."""
    masks = (
        np.where(case.top_score > threshold, case.top_id, np.uint8(BACKGROUND))
        for threshold in thresholds().astype(np.float32)
    )
    return np.stack([confusion_matrix(case.truth, mask, num_ids=NUM_IDS) for mask in masks])


def read_and_counted(setting: Setting) -> Variant:
    """Both masks of an image from their files, then their confusion."""
    truth, predicted = truth_and_predictions(setting.folder)

    def run() -> np.ndarray:
        confusion = np.zeros((NUM_IDS, NUM_IDS), np.int64)
        for image_id in truth.ids:
            name = f"{image_id}.png"
            masks = read_mask(truth.masks / name), read_mask(predicted / name)
            confusion += confusion_matrix(*masks, num_ids=NUM_IDS)
        return confusion

    return run


def whole_step(setting: Setting) -> Variant:
    """What the step `evaluate` does for masks: it also checks sizes and ids of every file."""
    truth, predicted = truth_and_predictions(setting.folder)
    return lambda: score_masks(predicted, truth)[0]


def _draw_case(generator: np.random.Generator) -> Case:
    grid = (-(-HEIGHT // BLOCK), -(-WIDTH // BLOCK))
    is_background = generator.random(grid) < BACKGROUND_SHARE
    regions = np.where(is_background, BACKGROUND, generator.integers(1, NUM_IDS, grid))
    blocks = np.ones((BLOCK, BLOCK), np.uint8)
    mask = np.kron(regions.astype(np.uint8), blocks)[:HEIGHT, :WIDTH]
    truth = np.where(_is_border(mask), np.uint8(IGNORE), mask)
    scores = generator.random((HEIGHT, WIDTH)).astype(np.float16)  # as cams are stored
    return Case(
        truth=truth,
        top_id=np.roll(mask, SHIFT, axis=(0, 1)),
        top_score=scores.astype(np.float32),
    )


def _is_border(mask: Mask) -> np.ndarray:
    changes = [mask != np.roll(mask, shift, axis) for axis in (0, 1) for shift in (-2, -1, 1, 2)]
    return np.any(changes, axis=0)


COMPARISONS = [
    Comparison(
        name=name,
        variants=variants,
        rounds=rounds,
        memory=False,
        tolerance=0.0,
        images=IMAGES,
        on_cpu=True,
        images_at_least=at_least,
    )
    for name, variants, rounds, at_least in (
        (
            "confusion of arrays",
            {
                "confusion_matrix": all_reduce_sum(our_confusion),
                "scikit-learn": all_reduce_sum(sklearn_confusion),
            },
            20,
            300.0,
        ),
        (
            f"sweep of {LEVELS} thresholds",
            {
                "level_histogram": swept_at_once,
                "a mask and a confusion each": all_reduce_sum(cut_and_counted),
            },
            7,
            None,
        ),
        (
            "confusion of PNG files",
            {
                "read_mask, confusion_matrix": read_and_counted,
                "score_masks, checks included": whole_step,
            },
            20,
            300.0,
        ),
    )
]
