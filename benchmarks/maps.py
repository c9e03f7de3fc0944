"""Making cams, and evaluating maps and masks.

Plain are one image, scale and mirror image at a time for cams (the authors' public code, Chen et
al., CVPR 2022), and for evaluation a mask and a confusion matrix for each threshold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from forms import as_ours, as_plain, prepared
from harness import Make, Run, Setting, Target, Work, Works, answer
from inputs import CLASSES, DEFAULT, Setup, made_photographs, published
from jaxtyping import Float, UInt8
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from torch import Tensor
from torch.nn import functional

from recam.catalogue.methods import make_classifier
from recam.core.labels import BACKGROUND, IGNORE
from recam.core.metrics import (
    LEVELS,
    confusion_matrix,
    confusions_by_threshold,
    level_histogram,
    thresholds,
)
from recam.io.images import read_image, read_mask, write_mask
from recam.methods.cam import peak_normalised
from recam.methods.recam import ReCam
from recam.methods.variant import both_views
from recam.models.backbones import TimmBackbone
from recam.pipeline.evaluation import GroundTruth, score_masks
from recam.pipeline.inference import maps_of_images

SCALES = (1.0, 0.5, 1.5, 2.0)  # of presets/voc12.yaml
DEFAULT_SCALES = (1.0, 1.5)  # of presets/shapes.yaml
AT_ONCE = 4  # images of a batch, in params.yaml and presets/voc12.yaml
PRESENT = [3, 7]  # classes whose cams are kept

MASKS = 16
HEIGHT, WIDTH = 375, 500  # pixels, of most images of VOC
NUM_IDS = len(CLASSES) + 1
BLOCK = 63  # pixels, of the regions of a mask
BACKGROUND_SHARE = 0.7  # of the regions, about as in VOC's masks
SHIFT = 7  # pixels, of a prediction against its ground truth: 3 in 4 pixels or more are right

Mask = UInt8[np.ndarray, "H W"]
PerImage = Callable[["Case"], np.ndarray]


def make_cams(device: torch.device) -> Work:
    """Reading, four scales with mirror images, maps of the present classes on the CPU."""
    on_gpu = device.type == "cuda"
    size, count = ((500, 375), 4 * AT_ONCE) if on_gpu else ((250, 188), AT_ONCE)
    given = {"size": size, "count": count, "scales": SCALES, "setup": published(device)}
    return Work(
        name=f"make_cams, {size[0]} x {size[1]} px, {len(SCALES)} scales, K = {len(CLASSES)}",
        forms={
            "ours": partial(cams, batch_size=AT_ONCE, **given),
            "plain": partial(cams, batch_size=0, **given),
        },
        images=count,
        has_limit=True,
        targets=(
            Target(form="plain", what="time", at_least=5, device="cuda"),
            Target(form="plain", what="time", at_least=1, device="cpu"),
        ),
    )


def default_cams(_: torch.device) -> Work:
    """The default's network and images, in batches of other sizes."""
    size, count = (128, 128), 32
    given = {"size": size, "count": count, "scales": DEFAULT_SCALES, "setup": DEFAULT}
    sizes = {"ours": AT_ONCE, f"batches of {count}": count, "image by image": 1, "plain": 0}
    forms: dict[str, Make | None] = {
        n: partial(cams, batch_size=b, **given) for n, b in sizes.items()
    }
    name = f"make_cams, {DEFAULT.model_config.backbone}, {size[0]} px, {len(DEFAULT_SCALES)} scales"
    return Work(name=name, forms=forms, images=count, has_memory=False)


def cams(
    setting: Setting,
    *,
    setup: Setup,
    size: tuple[int, int],
    count: int,
    scales: tuple[float, ...],
    batch_size: int,
) -> Run:
    """Cams of all images in batches of the library's, or plain in batches of 0."""
    device, paths = setting.device, made_photographs(setting.folder, count, size=size)
    torch.manual_seed(0)
    model = make_classifier(setup.model_config).eval()
    model = prepared(model, device) if batch_size else model.to(device)
    maps = partial(cast(ReCam, model).maps, combine="product")
    normalise = cast(TimmBackbone, model.backbone).normalise
    if not batch_size:
        return as_plain()(partial(view_by_view, maps, paths, normalise, device, scales=scales))

    def run() -> Tensor:
        pairs = maps_of_images(
            both_views(as_ours(maps, device)),
            paths,
            np.ones((len(paths), len(CLASSES)), bool),
            scales=scales,
            batch_size=batch_size,
            normalise=normalise,
            device=device,
        )
        return torch.stack([peak_normalised(found[PRESENT]).cpu() for _, found in pairs])

    return run


@torch.inference_mode()
def view_by_view(
    maps: Callable[[Tensor], Tensor],
    paths: list[Path],
    normalise: Callable[[Tensor], Tensor],
    device: torch.device,
    *,
    scales: tuple[float, ...],
) -> Tensor:
    """One image, one scale and one mirror image at a time, each resized to the image's size."""
    found: list[Tensor] = []
    for path in paths:
        pixels = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1)[None]
        image = normalise(pixels.to(device) / 255).contiguous()
        size, total = image.shape[2:], image.new_zeros(())
        for scale in scales:
            target = [round(length * scale) for length in size]
            scaled = functional.interpolate(image, size=target, mode="bicubic", antialias=True)
            for mirrored in (False, True):
                of_view = maps(scaled.flip(3) if mirrored else scaled)
                of_view = of_view.flip(3) if mirrored else of_view
                total = total + functional.interpolate(of_view, size=size, mode="bilinear")
        found.append(peak_normalised(total[0, PRESENT]).cpu())
    return torch.stack(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An image's ground truth, with ignored borders, and its prediction."""

    truth: Mask
    top_id: Mask
    top_score: Float[np.ndarray, "H W"]


@cache
def cases() -> tuple[Case, ...]:
    """Masks of large regions: long runs of equal pixels, of which real masks consist."""
    generator = np.random.default_rng(0)
    return tuple(_draw_case(generator) for _ in range(MASKS))


def confusions(_: torch.device) -> Work:
    """Confusion matrices of arrays; scikit-learn's has no ignored pixels, so they are left out."""

    def ours(case: Case) -> np.ndarray:
        return confusion_matrix(case.truth, case.top_id, num_ids=NUM_IDS)

    def theirs(case: Case) -> np.ndarray:
        judged = case.truth != IGNORE
        ids = np.arange(NUM_IDS)
        return sklearn_confusion_matrix(case.truth[judged], case.top_id[judged], labels=ids)

    return _evaluation(
        "confusion of arrays", {"ours": _summed(ours), "scikit-learn": _summed(theirs)}
    )


def sweep(_: torch.device) -> Work:
    """All thresholds from one histogram, and a mask and its confusion for each of them."""

    def ours(case: Case) -> np.ndarray:
        top = (case.truth, case.top_id, case.top_score)
        return level_histogram(*top, num_ids=NUM_IDS)

    def plain(case: Case) -> np.ndarray:
        masks = (
            np.where(case.top_score > threshold, case.top_id, np.uint8(BACKGROUND))
            for threshold in thresholds().astype(np.float32)
        )
        return np.stack([confusion_matrix(case.truth, mask, num_ids=NUM_IDS) for mask in masks])

    def at_once() -> np.ndarray:
        return confusions_by_threshold(np.sum([ours(case) for case in cases()], axis=0))

    return _evaluation(
        f"sweep of {LEVELS} thresholds", {"ours": lambda _: at_once, "plain": _summed(plain)}
    )


def masks_of_files(_: torch.device) -> Work:
    """The step ``evaluate`` for masks, with its checks of sizes and ids, and reading them alone."""

    def files(folder: Path) -> tuple[GroundTruth, Path]:
        ids = tuple(f"{number:04d}" for number in range(MASKS))
        for image_id, case in zip(ids, cases(), strict=True):
            write_mask(folder / "truth" / f"{image_id}.png", case.truth)
            write_mask(folder / "predicted" / f"{image_id}.png", case.top_id)
        return GroundTruth(ids=ids, masks=folder / "truth", classes=CLASSES), folder / "predicted"

    def ours(setting: Setting) -> Run:
        truth, predicted = files(setting.folder)
        return lambda: score_masks(predicted, truth)[0]

    def unchecked(setting: Setting) -> Run:
        truth, predicted = files(setting.folder)
        pairs = [(truth.masks / f"{i}.png", predicted / f"{i}.png") for i in truth.ids]

        def run() -> np.ndarray:
            masks = ((read_mask(one), read_mask(other)) for one, other in pairs)
            return np.sum([confusion_matrix(*both, num_ids=NUM_IDS) for both in masks], axis=0)

        return run

    return _evaluation("confusion of PNG files", {"ours": ours, "without checks": unchecked})


def _evaluation(name: str, forms: dict[str, Make | None]) -> Work:
    title = f"{name}, {WIDTH} x {HEIGHT} px"
    return Work(name=title, forms=forms, images=MASKS, tolerance=0.0, has_memory=False, on_cpu=True)


def _summed(per_image: PerImage) -> Make:
    return lambda _: lambda: np.sum([per_image(case) for case in cases()], axis=0)


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


WORKS: Works = {
    "make_cams": make_cams,
    "default_cams": default_cams,
    "confusions": confusions,
    "sweep": sweep,
    "masks_of_files": masks_of_files,
}


if __name__ == "__main__":
    answer(WORKS, __doc__)
