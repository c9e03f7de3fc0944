"""Pseudo masks from cams: propagation of the maps, a threshold, and a cut."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
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
from recam.pipeline.saliency import Saliency
from recam.refine.crf_masks import EVEN, Crf, crf_refined
from recam.refine.interface import Need, Propagate
from recam.runtime.progress import progress
from recam.runtime.threads import read_ahead

MIB = 1 << 20
AHEAD = 8  # batches queued for each thread, so that one slow batch keeps none waiting
RGBImage = UInt8[np.ndarray, "H W 3"]

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[list[T]], R], batches: list[list[T]], *, what: str) -> Iterator[R]:
    """Yield ``work(batch)`` in order, with progress; each of torch's threads works on one batch.

    One small image on each core is far faster than all cores on one image.
    """
    sizes = [len(batch) for batch in batches]
    workers = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        made = read_ahead(work, batches, ahead=AHEAD * workers, threads=workers)
        yield from progress(made, total=sum(sizes), what=what, unit="image", each=sizes)
    finally:
        torch.set_num_threads(workers)


def alike_batches(
    cams: dict[Path, Path], *, batch_size: int, need: Need | None = None, memory: int = 0
) -> list[list[tuple[Path, Path]]]:
    """Group (CAM file, image) pairs into batches of equal image size and class count.

    A batch has at most ``batch_size`` images; with ``need``, the bytes of one image, at most as
    many as fit into ``memory`` bytes. Raises UserError if one image does not fit.
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
                f"{pairs[0][1]}: propagating its maps needs {needed / MIB:.0f} MiB, memory is "
                f"{memory // MIB}; raise memory, or with irn lower irn_radius"
            )
        step = min(batch_size, fitting)
        batches += [pairs[start : start + step] for start in range(0, len(pairs), step)]
    return batches


def load_cams(file: Path, image: RGBImage, *, num_classes: int) -> ScoredClasses:
    """The score maps of an image. Raises UserError for another size or a class index beyond K-1."""
    scored = load_scores(file)
    if scored.scores.shape[1:] != image.shape[:2]:
        raise UserError(
            f"{file}: expected maps of {image.shape[:2]} pixels, as its image, got "
            f"{scored.scores.shape[1:]}; make the cams again"
        )
    if len(scored.classes) and scored.classes.max() >= num_classes:
        raise UserError(
            f"{file}: expected class indices below {num_classes}, got {scored.classes.max()}; make "
            "the cams again"
        )
    return scored


def propagate_maps(
    batch: list[tuple[Path, Path]],
    folder: Path,
    *,
    propagate: Propagate,
    num_classes: int,
    device: torch.device,
) -> None:
    """Propagate the cams of a batch of ``alike_batches`` and save the maps in ``folder``."""
    images = [read_image(path) for _, path in batch]
    loaded = [
        load_cams(file, image, num_classes=num_classes)
        for (file, _), image in zip(batch, images, strict=True)
    ]
    scores = torch.from_numpy(np.stack([scored.scores for scored in loaded])).to(device)
    if scores.shape[1]:
        with torch.inference_mode():
            scores = propagate(scores, pixels_of(images, device))
    for (file, _), scored, own in zip(batch, loaded, scores.cpu().numpy(), strict=True):
        save_scores(folder / file.name, ScoredClasses(scores=own, classes=scored.classes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The parameters of the cut of masks from propagated maps."""

    background: float  # background score, 0 to 1
    margin: float  # pixels with a best score within this distance of the threshold are ignored
    crf: Crf | None  # refines the maps first
    saliency: Saliency | None = None  # background where it is low, after the CRF

    @property
    def threshold(self) -> float:
        """The cut through the saved scores: the background score, or 0.5 after a CRF."""
        return EVEN if self.crf else self.background

    def numbers(self) -> dict[str, float | str]:
        """The content of ``cut.json``; see ``recam.io.records.CutNumbers``."""
        scores = {"background": self.background, "threshold": self.threshold, "margin": self.margin}
        return scores | ({"saliency": self.saliency.source} if self.saliency else {})


def cut_masks(
    batch: list[tuple[Path, Path]],
    *,
    scores: Path,
    masks: Path,
    cut: Cut,
    num_classes: int,
    device: torch.device,
) -> None:
    """Write final scores and masks of a batch of ``alike_batches``, named as its files.

    Masks are cut from the saved, rounded scores. Where saliency is low, scores are 0: the same as a
    background score of 1.
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
    for (file, _), scored, refined in zip(batch, loaded, final, strict=True):
        own = refined
        if cut.saliency:
            own = refined * cut.saliency.salient(file.stem, refined.shape[1:])
        save_scores(scores / file.name, ScoredClasses(scores=own, classes=scored.classes))
        saved = load_scores(scores / file.name)
        mask = banded_mask(saved.scores, saved.classes, background=low, foreground=high)
        write_mask(masks / f"{file.stem}.png", mask, num_classes=num_classes)


def yen_threshold(counts: Int64[np.ndarray, "levels"]) -> float:
    """A background score without ground truth, from the histogram of best scores over levels.

    Yen, Chang & Chang, "A New Criterion for Automatic Multilevel Thresholding", IEEE Transactions
    on Image Processing, 1995: the cut maximises the sum of the entropic correlations of the two
    distributions over levels, below and above it. Raises UserError for an empty histogram.
    """
    if not counts.any():
        raise UserError("threshold: yen expects an image with a class, got none; set fixed")
    # Not scikit-image's: in single precision its criterion is noise if few pixels have high scores.
    share = counts / counts.sum()
    low, low_squares = share.cumsum()[:-1], (share**2).cumsum()[:-1]
    high, high_squares = (v[::-1].cumsum()[::-1][1:] for v in (share, share**2))
    both = (low > 0) & (high > 0)
    if not both.any():
        return float(counts.argmax() / LEVELS)  # one level only: everything becomes background
    criterion = np.full(LEVELS, -np.inf)
    sides = low[both] * high[both]
    criterion[both] = np.log(sides**2 / (low_squares[both] * high_squares[both]))
    return float(criterion.argmax() / LEVELS)


def score_histogram(files: Iterable[Path]) -> Int64[np.ndarray, "levels"]:
    """The number of pixels with their best score on each level, over files of score maps.

    Level l holds scores in ((l-1)/100, l/100], as in a threshold sweep. Images without a class do
    not count.
    """
    counts = np.zeros(LEVELS + 1, np.int64)
    for file in files:
        scored = load_scores(file)
        if len(scored.classes):
            _, best = top_class(scored.scores, scored.classes)
            counts += np.bincount(levels_of(best.ravel()), minlength=LEVELS + 1)
    return counts
