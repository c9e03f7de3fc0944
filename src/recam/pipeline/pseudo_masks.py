"""From cams to pseudo masks: maps are fitted to their images, a threshold is set, masks are cut."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int64, UInt8

from recam.core.errors import UserError
from recam.core.labels import banded_mask, top_class
from recam.core.metrics import LEVELS, levels_of
from recam.data.loading import pixels_of
from recam.io.images import image_size, read_image, write_mask
from recam.io.scores import ScoredClasses, load_classes, load_scores, save_scores
from recam.refine.crf_masks import EVEN, Crf, crf_refined
from recam.refine.interface import Need, Propagate
from recam.runtime.progress import progress

MIB = 1 << 20
Picture = UInt8[np.ndarray, "H W 3"]

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[list[T]], R], batches: list[list[T]], *, what: str) -> Iterator[R]:
    """Results in order, made on all of torch's threads, one batch a thread, with progress.

    One image a core is far faster than all cores on one small image.
    """
    sizes = [len(batch) for batch in batches]
    workers = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            made = pool.map(work, batches)
            yield from progress(made, total=sum(sizes), what=what, unit="image", each=sizes)
    finally:
        torch.set_num_threads(workers)


def alike_batches(
    cams: dict[Path, Path], *, batch_size: int, need: Need | None = None, memory: int = 0
) -> list[list[tuple[Path, Path]]]:
    """Pairs of cams and image, in batches of one size and one number of classes.

    A batch has ``batch_size`` images or as many as ``memory`` bytes are enough for, where there
    is a ``need``. Raises UserError where they are not enough for one.
    """
    alike: dict[tuple[int, int, int], list[tuple[Path, Path]]] = defaultdict(list)
    for file, image in cams.items():
        alike[(*image_size(image), len(load_classes(file)))].append((file, image))
    batches: list[list[tuple[Path, Path]]] = []
    for (height, width, count), pairs in alike.items():
        needed = need(height, width, count) if need and count else 0
        fitting = memory // needed if needed else batch_size
        if not fitting:
            raise UserError(
                f"{pairs[0][1]}: its random walk takes {needed / MIB:.0f} MiB, memory allows "
                f"{memory // MIB}; raise memory, or lower irn_radius"
            )
        step = min(batch_size, fitting)
        batches += [pairs[start : start + step] for start in range(0, len(pairs), step)]
    return batches


def load_cams(file: Path, image: Picture, *, num_classes: int) -> ScoredClasses:
    """The maps of an image. Raises UserError where they are of another image or other classes."""
    scored = load_scores(file)
    if scored.scores.shape[1:] != image.shape[:2]:
        raise UserError(
            f"{file}: has maps of {scored.scores.shape[1:]} pixels, its image has "
            f"{image.shape[:2]}; make the cams anew"
        )
    if len(scored.classes) and scored.classes.max() >= num_classes:
        raise UserError(
            f"{file}: has a map of class {scored.classes.max()}, the data set has {num_classes} "
            "classes, numbered from 0; make the cams anew"
        )
    return scored


def propagate_maps(
    batch: list[tuple[Path, Path]],
    folder: Path,
    *,
    spread: Propagate,
    num_classes: int,
    device: torch.device,
) -> None:
    """Fit the cams of a batch of ``alike_batches`` to their images and save them in ``folder``."""
    images = [read_image(path) for _, path in batch]
    loaded = [
        load_cams(file, image, num_classes=num_classes)
        for (file, _), image in zip(batch, images, strict=True)
    ]
    scores = torch.from_numpy(np.stack([scored.scores for scored in loaded])).to(device)
    if scores.shape[1]:
        with torch.inference_mode():
            scores = spread(scores, pixels_of(images, device))
    for (file, _), scored, spread_scores in zip(batch, loaded, scores.cpu().numpy(), strict=True):
        save_scores(folder / file.name, ScoredClasses(scores=spread_scores, classes=scored.classes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How masks are cut from maps that follow the image."""

    background: float  # the background's score against them
    margin: float  # pixels whose best score is no farther from the cut are ignored
    crf: Crf | None  # sharpens them first

    @property
    def threshold(self) -> float:
        """The cut through the scores that are saved: after a CRF 0.5, where classes draw level."""
        return EVEN if self.crf else self.background

    def numbers(self) -> dict[str, float]:
        """What evaluation must know, and what a reader may want to."""
        return {"background": self.background, "threshold": self.threshold, "margin": self.margin}


def cut_masks(
    batch: list[tuple[Path, Path]],
    *,
    scores: Path,
    masks: Path,
    cut: Cut,
    num_classes: int,
    device: torch.device,
) -> None:
    """From a batch of ``alike_batches`` to final scores and masks, both under the files' names.

    Masks are cut from the scores as they are saved.
    """
    loaded = [load_scores(file) for file, _ in batch]
    final = np.stack([scored.scores for scored in loaded])
    if cut.crf and final.shape[1]:
        refined = crf_refined(
            torch.from_numpy(final).to(device),
            pixels_of([read_image(path) for _, path in batch], device),
            background=cut.background,
            crf=cut.crf,
        )
        final = refined.cpu().numpy()
    low, high = (max(0.0, cut.threshold - cut.margin), min(1.0, cut.threshold + cut.margin))
    for (file, _), scored, own in zip(batch, loaded, final, strict=True):
        save_scores(scores / file.name, ScoredClasses(scores=own, classes=scored.classes))
        saved = load_scores(scores / file.name)
        mask = banded_mask(saved.scores, saved.classes, background=low, foreground=high)
        write_mask(masks / f"{file.stem}.png", mask, num_classes=num_classes)


def yen_threshold(counts: Int64[np.ndarray, "levels"]) -> float:
    """A background score that needs no truth, from how often each level is a pixel's best score.

    Yen, Chang & Chang, "A New Criterion for Automatic Multilevel Thresholding", IEEE Transactions
    on Image Processing, 1995: the two sides of the cut, each as a distribution over levels, are to
    be as spread out as can be, by the correlation that stands there for entropy. Raises UserError
    where nothing was counted.
    """
    if not counts.any():
        raise UserError("threshold: yen needs an image that shows a class, got none; set fixed")
    # Not scikit-image's: in single precision it finds noise where few pixels of many are on top.
    share = counts / counts.sum()
    low, low_squares = share.cumsum()[:-1], (share**2).cumsum()[:-1]
    high, high_squares = (v[::-1].cumsum()[::-1][1:] for v in (share, share**2))
    both = (low > 0) & (high > 0)
    if not both.any():
        return float(counts.argmax() / LEVELS)  # nothing to tell apart: all is background
    criterion = np.full(LEVELS, -np.inf)
    sides = low[both] * high[both]
    criterion[both] = np.log(sides**2 / (low_squares[both] * high_squares[both]))
    return float(criterion.argmax() / LEVELS)


def score_histogram(files: Iterable[Path]) -> Int64[np.ndarray, "levels"]:
    """How many pixels have their best score on each level; images without a class do not count.

    Level l holds scores in ((l-1)/100, l/100], as in a threshold sweep.
    """
    counts = np.zeros(LEVELS + 1, np.int64)
    for file in files:
        scored = load_scores(file)
        if len(scored.classes):
            _, best = top_class(scored.scores, scored.classes)
            counts += np.bincount(levels_of(best.ravel()), minlength=LEVELS + 1)
    return counts
